"""Which images to match. Pairs are arrays of image ids, see ``arrays``; ``selection`` chooses among the ways."""

from d2sfm.pairs.arrays import among, exhaustive, in_tiles
from d2sfm.pairs.pair_files import read_pairs, require_writable, write_pairs

__all__ = ["among", "exhaustive", "in_tiles", "read_pairs", "require_writable", "write_pairs"]
