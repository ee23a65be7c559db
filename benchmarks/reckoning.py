"""What sets of up to a million photographs take, reckoned from what was measured on small ones.

    python benchmarks/reckoning.py [--images 1000 10000 100000 1000000] [--keypoints 5000] [--pairs 20]

Nothing here is measured: every row is proportional to the numbers below, whose pages say how they were measured, but
for mapping, which continues from the largest measured runs as a power of the number of images.
"""

import argparse
import math

from pages import add_update, update

from d2sfm.text import aligned

# By photograph of 1.6 megapixels with 5,000 keypoints, in float32 on a CPU, seconds of one core.
EXTRACTION_S = 20.0  # docs/performance.md
REFINEMENT_S = 19.0  # docs/performance.md: all stages, where no maps are cached
# By pair, with 4,000 keypoints each.
PAIR_S, PAIR_KEYPOINTS = 0.22, 4000  # docs/performance.md, docs/verification.md: a tenth of it is verification
PAIR_BYTES = 10_000  # matches, similarities and geometry
DESCRIPTOR_BYTES, KEYPOINT_BYTES = 1024, 20  # float16; x, y, scale, orientation and score
MAPPED = ((300, 14.0, 295e6), (1000, 94.0, 630e6))  # docs/large.md: images, seconds, peak
LARGEST_MAPPED = 20_000  # images, beyond which one machine's time and memory are not to be hoped for

HEADER = ("images", "descriptors", "database", "extraction", "matching", "refinement", "mapping", "its memory")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--keypoints", type=int, default=5000, help="of each photograph")
    parser.add_argument("--pairs", type=int, default=20, help="for each photograph")
    add_update(parser)
    arguments = parser.parse_args()
    rows = [HEADER, *(row(count, arguments.keypoints, arguments.pairs) for count in arguments.images)]
    print(aligned(rows))
    update(arguments.update, rows)


def row(images: int, keypoints: int, pairs: int) -> tuple[str, ...]:
    """Cells below HEADER; times are hours of one core."""
    descriptors = images * keypoints * DESCRIPTOR_BYTES
    database = images * (keypoints * KEYPOINT_BYTES + pairs * PAIR_BYTES)
    of_pair = PAIR_S * (keypoints / PAIR_KEYPOINTS) ** 2
    hours = (images * seconds / 3600 for seconds in (EXTRACTION_S, pairs * of_pair, REFINEMENT_S))
    mapping = _mapping(images) if images <= LARGEST_MAPPED else ("by parts", "")
    return (f"{images:,}", _bytes(descriptors), _bytes(database), *(f"{each:,.0f} h" for each in hours), *mapping)


def _mapping(images: int) -> tuple[str, str]:
    (few, seconds, peak), (many, more_seconds, higher) = MAPPED
    power = math.log(more_seconds / seconds) / math.log(many / few)
    of_each = (higher - peak) / (many - few)
    return f"{more_seconds * (images / many) ** power / 3600:.2f} h", _bytes(higher + of_each * (images - many))


def _bytes(count: float) -> str:
    unit = next((unit for unit in ("MB", "GB", "TB") if count < 1000 * _UNITS[unit]), "TB")
    return f"{count / _UNITS[unit]:.1f} {unit}"


_UNITS = {"MB": 1e6, "GB": 1e9, "TB": 1e12}


if __name__ == "__main__":
    main()
