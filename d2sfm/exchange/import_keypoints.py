"""Keypoints of other features than D2-Net's: imported without descriptors, with given matches.

They can be verified, mapped and triangulated; commands that need descriptors refuse them.
"""

import logging
from pathlib import Path

import numpy as np

from d2sfm.coordinates import Size
from d2sfm.database import FeatureStore, ForeignStore, outdated_images
from d2sfm.features.record import DESCRIPTOR_SIZE
from d2sfm.formats.hloc_features import HlocFeatures
from d2sfm.formats.hloc_keypoints import OUTSIDE_PX
from d2sfm.options import Convention, ImportOptions
from d2sfm.photographs.photograph import Photograph
from d2sfm.progress import Bar
from d2sfm.skipped import Skipped
from d2sfm.text import counted, first_of

logger = logging.getLogger(__name__)


class OtherKeypoints:
    """The keypoints of a file of other features. size: how many numbers their descriptors have, 0 for none.

    Raises ValueError if nothing could be done with them, or options are of D2-Net's.
    """

    def __init__(self, source: HlocFeatures, size: int, matches: Path | str | None, options: ImportOptions):
        self.source = source
        self._kind = f"{source.path.name} ({f'{size} numbers each' if size else 'without descriptors'})"
        self._what = f"{source.path} has {_descriptors(size)}, D2-Net's have {DESCRIPTOR_SIZE} numbers"
        if matches is None:
            raise ValueError(
                f"{self._what}: features without D2-Net descriptors can be imported only with their matches: add "
                "--matches FILE"
            )
        if options.convention is Convention.REFERENCE:
            raise ValueError(f"{self._what}: --convention reference is for D2-Net's keypoints, leave it out")

    def pending(self, database: Path, names: list[str]) -> list[str]:
        """The names that have no keypoints yet. RuntimeError if the database holds those of another kind."""
        with FeatureStore(database) as store:
            ours = list(store.extracted())
        ours += outdated_images(database)
        with ForeignStore(database) as store:
            held, there, extractor = store.described(), set(store.images()), store.extractor()
        if ours or extractor not in (None, self._kind):
            if ours:
                held = f"keypoints of d2sfm for {first_of(ours, 'image')}"
            raise RuntimeError(
                f"{database} holds {held}, but these are of {self._kind}: import each kind into a database of its own"
            )
        return [name for name in names if name not in there]

    def positions(self, photograph: Photograph) -> np.ndarray:
        """The keypoints of a photograph in COLMAP's frame, [N, 2]. Raises ValueError as ``HlocFeatures.positions``."""
        return self.source.positions(photograph.name, photograph.size, photograph.orientation)

    def write(self, database: Path, photographs: list[Photograph], skipped: Skipped, progress: bool) -> list[int]:
        """Write the keypoints of these photographs, and return the number of written ones."""
        counts = []
        if photographs:
            logger.warning(
                "%s: importing keypoints and matches alone, which d2sfm match and d2sfm refine can't use", self._what
            )
        with ForeignStore(database) as store:
            for photograph in Bar(photographs, desc="import", unit="image", disable=not progress):
                with skipped.catching(photograph.name):
                    xy = self.positions(photograph)
                    require_inside(xy, photograph.size, OUTSIDE_PX)
                    store.write(photograph.name, xy, self._kind)
                    counts.append(len(xy))
        return counts


def descriptor_size(source: HlocFeatures, names: list[str], skipped: Skipped) -> int:
    """How many numbers the descriptors of these images have, 0 for none; what can't be read is skipped.

    Raises ValueError if these numbers differ.
    """
    sizes: dict[int, str] = {}
    for name in names:
        with skipped.catching(name):
            sizes.setdefault(source.descriptor_size(name), name)
    if len(sizes) > 1:
        (one, name), (other, other_name) = list(sizes.items())[:2]
        described = f"{name} has {_descriptors(one)}, {other_name} has {_descriptors(other)}"
        raise ValueError(f"{source.path} mixes features: {described}")
    return next(iter(sizes), DESCRIPTOR_SIZE)


def require_inside(xy: np.ndarray, image_size: Size, margin_px: float) -> None:
    """ValueError for impossible positions. xy: [N, 2]; margin_px: how far outside of the picture they may be."""
    if not np.isfinite(xy).all():
        raise ValueError("its keypoints are not all finite")
    outside = ((xy < -margin_px) | (xy > np.add(image_size, margin_px))).any(axis=1)
    if outside.any():
        (x, y), several = xy[outside][0], outside.sum() > 1
        raise ValueError(
            f"{outside.sum()} of {counted(len(xy), 'keypoint')} {'lie' if several else 'lies'} outside of the "
            f"{image_size[0]} x {image_size[1]} px: ({x:.1f}, {y:.1f}){' the first' if several else ''}"
        )


def _descriptors(size: int) -> str:
    return f"descriptors of {size} numbers" if size else "no descriptors"
