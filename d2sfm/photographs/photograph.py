"""A photograph as its header tells of it: a record that is made once and goes through all stages."""

import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath

from d2sfm.coordinates import Size, upright_size
from d2sfm.options import GreyRange
from d2sfm.photographs.headers import read_header
from d2sfm.skipped import Skipped
from d2sfm.text import counted, first_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Photograph:
    """A photograph on disk.

    name: relative to its folder, with '/' between parts. size: (width, height) in pixels as they are stored, on
    COLMAP's grid: of its header, or of the camera that a database has for it. orientation: 1 to 8 as EXIF's, that makes
    it upright. grey_range: of 16 bits, what becomes black and white for the network; None if it is all. tag: EXIF's own
    orientation, where the photograph is to be turned in another way; None if ``orientation`` is EXIF's.
    """

    name: str
    path: Path
    size: Size
    orientation: int = 1
    grey_range: GreyRange | None = None
    tag: int | None = None

    @property
    def exif_orientation(self) -> int:
        """EXIF's own, by which others turn the photograph: so may its mask be."""
        return self.orientation if self.tag is None else self.tag

    @property
    def upright_size(self) -> Size:
        """(width, height) in pixels of the upright picture."""
        return upright_size(self.size, self.orientation)


def missing_photographs(folder: Path, names: Collection[str]) -> list[str]:
    """Those of the names that are not in the folder.

    Raises RuntimeError if these are more than half: the disk is not mounted, or it is another folder.
    """
    missing = [name for name in names if not (folder / name).exists()]
    if 2 * len(missing) > len(names):
        raise RuntimeError(
            f"{folder} lacks {len(missing)} of {counted(len(names), 'photograph')}: check the folder and its disk"
        )
    return missing


def gone_photographs(folder: Path, names: Collection[str]) -> list[str]:
    """Those of the names that were taken out of the folder.

    One that a link still names is missing, but not gone: its disk may not be mounted; a warning tells. Raises as
    ``missing_photographs``.
    """
    is_linked = {name: _is_linked(folder, name) for name in missing_photographs(folder, names)}
    if linked := [name for name in is_linked if is_linked[name]]:
        logger.warning(
            "links in %s lead to no file, so these are not taken for gone: %s: check the disk that they lead to",
            folder,
            first_of(linked, "photograph"),
        )
    return [name for name in is_linked if not is_linked[name]]


def _is_linked(folder: Path, name: str) -> bool:
    """Whether it, or a folder that it lies in, is a link that leads nowhere."""
    path = PurePath(name)
    return any((folder / each).is_symlink() and not (folder / each).exists() for each in (path, *path.parents))


def read_headers(
    folder: Path,
    names: Iterable[str],
    skipped: Skipped,
    check: Callable[[Photograph], None] = lambda photograph: None,
    max_megapixels: float = math.inf,
    sizes: Mapping[str, Size] | None = None,
) -> list[Photograph]:
    """Those of the photographs that can be used, by their headers, in order; ``skipped`` gets the others.

    check: what else they are to pass, called in threads; a ValueError or OSError tells why one can't be used. Pixels
    are looked at once, when it is their turn: a large folder starts at once. max_megapixels: see
    PhotographOptions; sizes: (width, height) that photographs should have, by name, where that is known.
    """

    def read(name: str) -> Photograph | Skipped:
        unusable = Skipped()
        with unusable.catching(name):
            path = Path(folder, name)
            photograph = Photograph(name, path, *read_header(path, sizes and sizes[name], max_megapixels))
            check(photograph)
            return photograph
        return unusable

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(read, names))
    for unusable in found:
        if isinstance(unusable, Skipped):
            skipped.update(unusable)
    return [photograph for photograph in found if isinstance(photograph, Photograph)]
