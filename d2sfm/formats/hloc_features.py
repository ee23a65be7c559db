"""Local features in hloc's HDF5 layout (cvg/Hierarchical-Localization, hloc/extract_features.py), both ways.

A group for each image, called by its name, so that folders are nested groups:

    keypoints    [N, 2] x, y, the centre of the top-left pixel at (0, 0); attribute ``uncertainty``: the detector's, in
                 pixels of the photograph
    scores       [N]
    descriptors  [512, N]
    image_size   [2] width, height of the photograph

hloc turns float32 into float16 unless told otherwise, keypoints as well, which are then up to half a pixel off at 1600.
Its D2-Net leaves the published code's offset in: 2 px of the network's input, see ``coordinates``.

d2sfm writes keypoints in float32, and adds what hloc ignores: ``scales`` [N], the keypoints' in pixels of the
photograph, and in an attribute of the group what the frame, the network's input and the settings were.
"""

import json
from dataclasses import replace
from pathlib import Path, PurePosixPath

import h5py
import numpy as np

from d2sfm.coordinates import (
    Size,
    hloc_from_image,
    image_from_hloc,
    image_from_input,
    input_from_image,
    resize_factor,
    stored_from_upright,
    upright_size,
)
from d2sfm.features.published import colmap_fingerprint, in_colmap_frame
from d2sfm.features.record import DESCRIPTOR_SIZE, Features
from d2sfm.formats.hdf5 import FLOATS, GROUP_BYTES, INTEGERS, LETTER_BYTES, array, member, number_attribute
from d2sfm.formats.hloc_keypoints import MAX_KEYPOINTS, OURS, HlocKeypoints, noted_by_d2sfm, turn_of
from d2sfm.network.input import input_size
from d2sfm.options import Convention, ImportOptions


class HlocFeatures(HlocKeypoints):
    """A file of features to read. FileNotFoundError if it is missing, ValueError if it is not an HDF5 file.

    options: what is assumed if the file does not say. hloc's own files lack the scales of keypoints: these count as of
    one scale, as in its configuration d2net-ss.
    """

    def __init__(self, path: Path | str, options: ImportOptions | None = None):
        super().__init__(path)
        self._options = options or ImportOptions()

    def fingerprint(self, name: str) -> str | None:
        """The settings that made the features of an image, if d2sfm wrote them."""
        ours = noted_by_d2sfm(self._group(name))
        return None if ours is None else ours["fingerprint"]

    def tells_convention(self, name: str) -> bool:
        """Whether the file gives the frame of an image's keypoints beyond hloc's own, as d2sfm's files do."""
        return noted_by_d2sfm(self._group(name)) is not None

    @np.errstate(invalid="ignore")  # NaN stays NaN, which the caller judges
    def read(self, name: str, image_size: Size, orientation: int = 1) -> Features:
        """Features of an image in COLMAP's frame, in the file's order; descriptors have the file's dtype.

        image_size: (width, height) of the stored photograph in pixels; orientation: EXIF's, by which hloc turns: the
        size in the file tells whether it did. Raises ValueError if the file has no such image, its photograph had
        another size, the size does not tell, or a dataset is missing or does not fit the others.
        """
        group = self._group(name)
        keypoints = self._keypoints(group, name)
        count = len(keypoints)
        scores = array(group, "scores", (count,), FLOATS, MAX_KEYPOINTS)
        descriptors = array(group, "descriptors", (DESCRIPTOR_SIZE, count), FLOATS, MAX_KEYPOINTS).T
        noted_size = tuple(array(group, "image_size", (2,), INTEGERS, 2).tolist())
        ours = noted_by_d2sfm(group)
        turn = 1 if ours is not None else turn_of(noted_size, tuple(image_size), orientation)
        if noted_size != upright_size(image_size, turn):
            raise self._other_picture(name, noted_size, image_size)
        xy = image_from_hloc(keypoints)
        if ours is not None:
            scales = array(group, "scales", (count,), FLOATS, MAX_KEYPOINTS)
            kept = ("input_size", "scales", "orientation", "grey_range")
            frame = {key: ours[key] for key in kept} | {"convention": Convention.COLMAP}
        else:
            size = self._network_input(group, noted_size)
            scales = np.full(count, resize_factor(size, noted_size))
            frame = {"input_size": size, "scales": (1.0,), "convention": self._options.convention or Convention.COLMAP}
            if frame["convention"] is Convention.REFERENCE:
                # hloc's wrapper moves what the published code finds in the input by half pixels of both pictures
                in_input = input_from_image(xy, size, noted_size)
                xy, scales = image_from_input(in_input, size, noted_size, Convention.REFERENCE), np.ones(count)
        found = Features(
            keypoints=np.column_stack([xy, scales, scores]).astype(np.float32),
            descriptors=descriptors,
            image_size=noted_size,
            **frame,
        )
        return _as_stored(in_colmap_frame(found), tuple(image_size), turn)

    def descriptors(self, name: str) -> np.ndarray:
        """Descriptors of an image as ``read`` gives them, [N, 512], without the rest. Raises ValueError as ``read``."""
        found = array(self._group(name), "descriptors", (DESCRIPTOR_SIZE, None), FLOATS, MAX_KEYPOINTS)
        return np.ascontiguousarray(found.T)

    def _network_input(self, group: h5py.Group, image_size: Size) -> Size:
        """Size of the network's input. hloc notes the resize factor: the uncertainty of its D2-Net is 1 px there."""
        factor = number_attribute(member(group, "keypoints"), "uncertainty")
        if factor is None:
            return input_size(image_size, self._options.max_edge, self._options.max_sum_edges)
        return tuple(max(1, round(edge / factor)) for edge in image_size)


def write_hloc_features(file: h5py.File, name: str, features: Features, fingerprint: str) -> None:
    """Add the features of an image to a file: keypoints in float32, descriptors as they are.

    The published code's keypoints are moved to their true positions, as the layout has a frame of its own. Raises
    ValueError if the name can't be that of a group, or exists already.
    """
    if PurePosixPath(name).is_absolute() or not name or {"", ".", ".."} & set(name.split("/")):
        raise ValueError(f"{name!r} can't be the name of a group in an HDF5 file")
    features = in_colmap_frame(features)
    group = file.create_group(name)
    group["keypoints"] = hloc_from_image(features.keypoints[:, :2]).astype(np.float32)
    group["keypoints"].attrs["uncertainty"] = resize_factor(features.input_size, features.image_size)
    group["scores"] = features.scores.astype(np.float32)
    group["descriptors"] = np.ascontiguousarray(features.descriptors.T)
    group["image_size"] = np.array(features.image_size, np.int64)
    group["scales"] = features.keypoints[:, 2].astype(np.float32)
    size, scales = list(map(int, features.input_size)), list(map(float, features.scales))
    noted = {"input_size": size, "scales": scales, "fingerprint": colmap_fingerprint(fingerprint)}
    if features.orientation != 1:  # left out if there is none, as earlier versions did
        noted["orientation"] = features.orientation
    if features.grey_range is not None:
        noted["grey_range"] = list(features.grey_range)
    group.attrs[OURS] = np.bytes_(json.dumps(noted).encode())


def hloc_features_size(name: str, fingerprint: str, count: int, descriptors: int) -> int:
    """Bytes that ``write_hloc_features`` adds at the most. descriptors: the bytes of all; count: of keypoints."""
    groups, letters = 4 + name.count("/"), len(name.encode()) + len(fingerprint)
    return groups * GROUP_BYTES + letters * LETTER_BYTES + 16 * count + descriptors


def _as_stored(features: Features, image_size: Size, turn: int) -> Features:
    """Features of a photograph from those of its upright picture; turn: the orientation that made it upright."""
    if turn == 1:
        return features
    keypoints = features.keypoints.copy()
    keypoints[:, :2] = stored_from_upright(keypoints[:, :2], image_size, turn)
    size = upright_size(features.input_size, turn)
    return replace(features, keypoints=keypoints, image_size=image_size, input_size=size, orientation=turn)
