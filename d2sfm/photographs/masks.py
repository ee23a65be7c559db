"""Masks of photographs in COLMAP's layout: black (0) is out, any other value is in.

The mask of ``sub/a.jpg`` is ``sub/a.jpg.png`` below the folder of masks or else ``sub/a.png``, as in COLMAP.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from d2sfm.coordinates import Size, stored_array, upright_size
from d2sfm.options import MaskOptions, PhotographOptions
from d2sfm.photographs.headers import decoded, named_damage, read_size
from d2sfm.text import first_of

logger = logging.getLogger(__name__)

_GREY_MODES = {"1", "L", "I", "I;16", "I;16B", "F"}  # Pillow's


class Masks:
    """The masks of the photographs below a folder, and one that all photographs share.

    folder: of the masks by photograph; camera_mask: the shared one, for what every picture shows (a bonnet, a logo);
    max_megapixels: what it may have, before its photographs are known.

    Raises FileNotFoundError if either is missing, ValueError if the shared one can't be read.
    """

    def __init__(
        self,
        folder: Path | str | None = None,
        camera_mask: Path | str | None = None,
        max_megapixels: float = PhotographOptions.max_megapixels,
    ):
        self.folder = None if folder is None else Path(folder)
        if self.folder is not None and not self.folder.is_dir():
            raise FileNotFoundError(f"no folder of masks {folder}")
        self._shared, self._is_told = None, False
        if camera_mask is not None:
            try:
                read_size(Path(camera_mask), max_megapixels)
                self._shared = read_mask(Path(camera_mask))
            except ValueError as error:
                raise ValueError(f"the mask {camera_mask} {error}") from error

    @classmethod
    def of(cls, options: MaskOptions | None, max_megapixels: float = PhotographOptions.max_megapixels) -> "Masks":
        """Those that the options name; none without options. Raises as the class."""
        return cls(options.masks, options.camera_mask, max_megapixels) if options else cls()

    @property
    def settings(self) -> dict:
        """What decides features, for the fingerprint: whether masks are used, and the shared one.

        Pixels of masks by photograph are not part of it: all would have to be read to find out what is done.
        """
        settings = {} if self.folder is None else {"masks": True}
        if self._shared is not None:
            size = np.array(self._shared.shape, "<i8").tobytes()
            settings["camera_mask"] = hashlib.sha256(size + np.packbits(self._shared).tobytes()).hexdigest()[:16]
        return settings

    def noted_in(self, fingerprint: str) -> str:
        """A fingerprint of features, with what masks decide of them."""
        return json.dumps(json.loads(fingerprint) | self.settings)

    def check(self, images: Path, names: list[str]) -> None:
        """Raise ValueError if no photograph of the folder has a mask, or masks would count as photographs."""
        if self.folder is None:
            return
        if self.folder.resolve().is_relative_to(images.resolve()):
            raise ValueError(f"the masks in {self.folder} lie among the photographs of {images}: move them elsewhere")
        if len(self.without(names)) == len(names):
            raise ValueError(f"{self.folder} has no mask of any photograph: expected {names[0]}.png for {names[0]}")

    def warn_of_lacking(self, names: Iterable[str]) -> None:
        """Warn of photographs that have no mask of their own."""
        if unmasked := self.without(names):
            logger.warning("no mask, so all pixels are used: %s", first_of(unmasked, "photograph"))

    def without(self, names: Iterable[str]) -> list[str]:
        """The photographs that have no mask of their own; none without a folder of masks."""
        return [] if self.folder is None else [name for name in names if self.path(name) is None]

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        """Bytes of the files of those photographs that have a mask of their own: what tells masks from others where
        reading all of them would take too long."""
        return {name: path.stat().st_size for name in names if (path := self.path(name)) is not None}

    def has(self, name: str) -> bool:
        """Whether a photograph has a mask, of its own or the shared one."""
        return self._shared is not None or self.path(name) is not None

    def __call__(self, name: str, size: Size, orientation: int = 1) -> np.ndarray | None:
        """The pixels to use of a photograph of that size (width, height): [H, W] bool, None for all.

        Size and result are those of the stored photograph. orientation: EXIF's; a mask may be stored as its photograph
        or upright, which its size shows. If not, it counts as stored, with a warning. Safe to call from several
        threads. Raises ValueError if a mask has another size or can't be read.
        """
        path = self.path(name)
        masks = [] if self._shared is None else [("the camera mask", self._shared)]
        if path is not None:
            try:
                _require_fit("its mask", read_size(path), tuple(size), orientation)  # what does not fit is not decoded
                masks.append(("its mask", read_mask(path)))
            except _Misfit:
                raise
            except (ValueError, OSError) as error:
                raise ValueError(f"has a mask that can't be used: {path} {error}") from error
        return joined(*(self._as_stored(name, what, mask, tuple(size), orientation) for what, mask in masks))

    def _as_stored(self, name: str, what: str, mask: np.ndarray, size: Size, orientation: int) -> np.ndarray:
        _require_fit(what, mask.shape[::-1], size, orientation)
        upright = upright_size(size, orientation)
        if mask.shape[::-1] == upright != size:
            return stored_array(mask, orientation)
        if orientation != 1 and upright == size and not self._is_told:
            self._is_told = True
            logger.warning(
                "%s has an EXIF orientation, but the size of %s does not show whether it was turned: taken as stored",
                name,
                what,
            )
        return mask

    def path(self, name: str) -> Path | None:
        """The file of a photograph's own mask; None if it has none."""
        if self.folder is None:
            return None
        paths = (self.folder / f"{name}.png", (self.folder / name).with_suffix(".png"))
        return next((path for path in paths if os.path.isfile(path)), None)  # False also of a name that is too long


class _Misfit(ValueError):
    """A mask of another size than its photograph."""


def _require_fit(what: str, found: Size, size: Size, orientation: int) -> None:
    if found not in (size, upright_size(size, orientation)):
        raise _Misfit(f"is {size[0]} x {size[1]} px, {what} {found[0]} x {found[1]} px")


def read_mask(path: Path) -> np.ndarray:
    """Whether each pixel of a mask is in: [H, W] bool. Grey, colour, palette, of 1 to 16 bits; alpha does not count.

    Raises ValueError with the reason in one line (without the path) where the file can't be used, FileNotFoundError if
    it is missing.
    """
    with decoded(Path(path)) as (picture, deep, _):
        if deep is not None:
            return deep.any(axis=2)
        if picture.mode in _GREY_MODES:
            return np.asarray(picture) != 0
        with named_damage():
            return np.asarray(picture.convert("RGB")).any(axis=2)


def joined(*masks: np.ndarray | None) -> np.ndarray | None:
    """What is in by all of the masks, [H, W] bool each; None if all is."""
    found = [mask for mask in masks if mask is not None]
    return np.logical_and.reduce(found) if found else None


def visible(keypoints: np.ndarray, image_size: Size, border: int, mask: np.ndarray | None) -> np.ndarray:
    """Which keypoints lie on pixels that are in: [N] bool.

    keypoints: [N, 2 or more], x and y first; the pixel of one is (floor(x), floor(y)), as in COLMAP. border: pixels at
    each edge of the photograph that are out. mask: [H, W] bool, None if all is in.
    """
    width, height = image_size
    columns, rows = np.floor(keypoints[:, :2]).astype(np.int64).T
    inside = (columns >= border) & (columns < width - border) & (rows >= border) & (rows < height - border)
    if mask is not None:
        inside[inside] = mask[rows[inside], columns[inside]]
    return inside
