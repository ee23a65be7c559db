"""Keypoints of any features in hloc's HDF5 layout, which ``hloc_features`` describes.

Files of other features have descriptors of other lengths; files of dense matchers have only keypoints, or keypoints and
``score``. deep-image-matching (3DOM-FBK) calls images by the names of their files without folders, and writes
``image_size`` with the height first, in float16 as all else; its dense matchers leave empty arrays of one dimension.
"""

import json
import logging
from pathlib import Path

import h5py
import numpy as np

from d2sfm.coordinates import ORIENTATIONS, Size, image_from_hloc, stored_from_upright, upright_size
from d2sfm.features.record import DESCRIPTOR_SIZE
from d2sfm.formats.hdf5 import FLOATS, INTEGERS, Reader, array, declared_shape, groups_with, member, text_attribute

logger = logging.getLogger(__name__)

OURS = "d2sfm"  # the attribute of a group
MAX_KEYPOINTS = 1_000_000  # of an image: more than a row of the database holds
OUTSIDE_PX = 4.0  # of the photograph, that dense matchers' keypoints may lie outside: they are rounded to cells of 8 px
SIZE_TOLERANCE = 2.0**-10  # of a size in float16


class HlocKeypoints(Reader):
    """A file of features to read. FileNotFoundError if it is missing, ValueError if it is not an HDF5 file."""

    def __init__(self, path: Path | str):
        super().__init__(path)
        self._is_told = False  # that keypoints are float16

    def names(self) -> list[str]:
        """Sorted names of the images with keypoints, of which ``read`` refuses unreadable ones."""
        return groups_with(self._file, "keypoints")

    def descriptor_size(self, name: str) -> int:
        """How many numbers a descriptor of an image has, 0 if there are none.

        D2-Net's number also if d2sfm wrote the group or the shape is not one of descriptors: ``read`` tells what is
        damaged.
        """
        group = self._group(name)
        shape, count = declared_shape(group, "descriptors"), (declared_shape(group, "keypoints") or (None,))[0]
        if noted_by_d2sfm(group) is not None:
            return DESCRIPTOR_SIZE
        if shape in (None, (0,)):
            return 0
        return shape[0] if len(shape) == 2 and shape[1] == count else DESCRIPTOR_SIZE

    @np.errstate(invalid="ignore")
    def positions(self, name: str, image_size: Size, orientation: int = 1) -> np.ndarray:
        """Keypoints of an image, of any features: x, y in COLMAP's frame, [N, 2].

        image_size, orientation: as for ``read``. The size may be missing, or have the height first; so the positions of
        keypoints decide whether the photograph was turned; the size only if they can't. Raises ValueError as ``read``.
        """
        group, image_size = self._group(name), tuple(image_size)
        xy, noted = image_from_hloc(self._keypoints(group, name)), None
        if declared_shape(group, "image_size") is not None:
            noted = array(group, "image_size", (2,), FLOATS + INTEGERS, 2)
            if not np.allclose(sorted(noted), sorted(image_size), rtol=SIZE_TOLERANCE, atol=0):
                raise self._other_picture(name, noted, image_size)
        if orientation == 1 or not len(xy):
            return xy
        sizes = {image_size, upright_size(image_size, orientation)}
        holding = [size for size in sizes if (xy <= np.add(size, OUTSIDE_PX)).all()] or [image_size]
        told = holding[0]
        if len(holding) > 1:
            if noted is None or noted.dtype.kind not in INTEGERS:
                raise ValueError(
                    "has an EXIF orientation, and nothing shows whether it was turned: store the photograph upright"
                )
            told = tuple(noted.tolist())
        return stored_from_upright(xy, image_size, turn_of(told, image_size, orientation))

    def _group(self, name: str) -> h5py.Group:
        group = member(self._file, name)
        if not isinstance(group, h5py.Group):
            raise ValueError(f"{self.path} has no features of {name}")
        return group

    def _keypoints(self, group: h5py.Group, name: str) -> np.ndarray:
        """Keypoints as the file has them, [N, 2]; warns of float16 once."""
        if declared_shape(group, "keypoints") == (0,):
            return np.empty((0, 2))
        keypoints = array(group, "keypoints", (None, 2), FLOATS, MAX_KEYPOINTS)
        if keypoints.dtype == np.float16 and not self._is_told:
            self._is_told = True
            logger.warning(
                "%s has keypoints in float16, up to half a pixel off at 1600 px: better is float32 (%s the first)",
                self.path,
                name,
            )
        return keypoints

    def _other_picture(self, name: str, noted_size: Size, image_size: Size) -> ValueError:
        return ValueError(
            f"{self.path}: {name} is for a picture of {noted_size[0]:g} x {noted_size[1]:g} px, but the photograph has "
            f"{image_size[0]} x {image_size[1]} as it is stored"
        )


def turn_of(noted_size: Size, image_size: Size, orientation: int) -> int:
    """The orientation by which a picture of noted_size was turned. ValueError if the sizes do not show it."""
    if orientation == 1 or noted_size == image_size != upright_size(image_size, orientation):
        return 1
    if upright_size(image_size, orientation) == image_size:
        raise ValueError(
            "has an EXIF orientation, and its size does not show whether hloc turned it: store the photograph upright"
        )
    return orientation


def noted_by_d2sfm(group: h5py.Group) -> dict | None:
    """The entries that d2sfm added to an image's group. ValueError if they are damaged."""
    text = text_attribute(group, OURS)
    if text is None:
        return None
    try:
        noted = json.loads(text)
        width, height = noted["input_size"]
        scales = tuple(float(scale) for scale in noted["scales"])
        fingerprint, orientation = noted["fingerprint"], noted.get("orientation", 1)
        greys = noted.get("grey_range")
        if greys is not None:
            low, high = greys = tuple(int(value) for value in greys)
            if not 0 <= low < high:
                raise ValueError("expected a range of grey values in order")
        if not isinstance(fingerprint, str) or not min(width, height, *scales) > 0 or orientation not in ORIENTATIONS:
            raise ValueError("a value is out of range")
        size = (int(width), int(height))
        seen_as = {"orientation": int(orientation), "grey_range": greys}
        return {"input_size": size, "scales": scales, "fingerprint": fingerprint} | seen_as
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"{group.file.filename}: the attribute {OURS} of {group.name[1:]} is damaged: {error}"
        ) from error
