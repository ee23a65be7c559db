"""Keypoints of other features in hloc's layout: SuperPoint's, dense matchers', deep-image-matching's."""

import re

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.feature_records import random_features, write_as_hloc

from d2sfm.coordinates import ORIENTATIONS, stored_from_upright, upright_from_stored, upright_size
from d2sfm.formats.hloc_features import HlocFeatures, write_hloc_features
from d2sfm.formats.hloc_keypoints import HlocKeypoints

SIZE = (160, 120)
XY = np.array([[3.0, 4.0], [150.5, 71.25], [80.0, 110.0]])  # in COLMAP's frame


def write(path, **datasets):
    """An image a.jpg; keypoints as given in COLMAP's frame are written in hloc's."""
    with h5py.File(path, "w") as file:
        for key, values in datasets.items():
            file[f"a.jpg/{key}"] = values - 0.5 if key == "keypoints" and np.ndim(values) == 2 else values
    return path


def read(path, size=SIZE, orientation=1):
    with HlocKeypoints(path) as file:
        return file.positions("a.jpg", size, orientation)


@pytest.mark.parametrize(
    ("datasets", "expected"),
    [
        ({"descriptors": np.zeros((256, 3))}, 256),
        ({"descriptors": np.zeros((512, 3))}, 512),
        ({"keypoints": np.zeros((0, 2)), "descriptors": np.zeros((128, 0))}, 128),
        ({}, 0),
        ({"keypoints": np.zeros(0), "descriptors": np.zeros(0)}, 0),
        ({"descriptors": np.zeros((3, 512))}, 512),  # damaged, which reading tells
        ({"descriptors": np.zeros(3)}, 512),
        ({"descriptors": np.zeros((256, 4))}, 512),
    ],
)
def test_descriptors_are_told_by_their_size(tmp_path, datasets, expected):
    path = write(tmp_path / "f.h5", **({"keypoints": XY} | datasets))
    with HlocFeatures(path) as file:
        assert file.descriptor_size("a.jpg") == expected
        with pytest.raises(ValueError, match=r"f\.h5 has no features of b\.jpg"):
            file.descriptor_size("b.jpg")


def test_what_d2sfm_wrote_has_d2nets_descriptors_whatever_is_missing(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        write_hloc_features(file, "a.jpg", random_features(0), "{}")
        del file["a.jpg/descriptors"]
    with HlocFeatures(tmp_path / "f.h5") as file:
        assert file.descriptor_size("a.jpg") == 512


@pytest.mark.parametrize(
    "size",
    [
        {},
        {"image_size": np.array(SIZE)},
        {"image_size": np.array(SIZE[::-1], np.float16)},
        {"image_size": np.array(SIZE[::-1])},
    ],
)
def test_keypoints_come_in_colmaps_frame_wherever_their_size_stands(tmp_path, size):
    path = write(tmp_path / "f.h5", keypoints=XY, **size)
    np.testing.assert_allclose(read(path), XY)


def test_sizes_in_float16_are_rounded(tmp_path):
    path = write(tmp_path / "f.h5", keypoints=XY, image_size=np.array([3003, 4005], np.float16))
    np.testing.assert_allclose(read(path, (4005, 3003)), XY)
    with pytest.raises(
        ValueError,
        match=r"a\.jpg is for a picture of 3004 x 4004 px, but the photograph has 4020 x "
        "3003",
    ):
        read(path, (4020, 3003))


def test_an_image_without_keypoints(tmp_path):
    """Dense matchers of deep-image-matching leave an empty array where no pair showed any."""
    for number, empty in enumerate((np.zeros(0), np.zeros((0, 2), np.float32))):
        assert read(write(tmp_path / f"{number}.h5", keypoints=empty), orientation=6).shape == (0, 2)


@settings(max_examples=12)
@given(st.sampled_from([5, 6, 7, 8]), st.booleans(), st.sampled_from(["none", "hloc", "height first"]))
def test_where_keypoints_lie_tells_whether_the_picture_was_turned(tmp_path_factory, orientation, is_turned, noted):
    keypoints = upright_from_stored(XY, SIZE, orientation) if is_turned else XY
    size = np.array(upright_size(SIZE, orientation) if is_turned else SIZE)
    sizes = {"none": {}, "hloc": {"image_size": size}, "height first": {"image_size": size[::-1].astype(np.float16)}}
    path = write(tmp_path_factory.getbasetemp() / "turned.h5", keypoints=keypoints, **sizes[noted])
    np.testing.assert_allclose(read(path, orientation=orientation), XY)


def test_the_size_tells_where_keypoints_fit_both_ways_and_else_nothing_does(tmp_path):
    inner = np.array([[50.0, 60.0]])
    for size, expected in ((SIZE, inner), (SIZE[::-1], stored_from_upright(inner, SIZE, 6))):
        path = write(tmp_path / "f.h5", keypoints=inner, image_size=np.array(size))
        np.testing.assert_allclose(read(path, orientation=6), expected)
    for orientation in set(ORIENTATIONS) - {1}:
        path = write(tmp_path / "f.h5", keypoints=inner)
        with pytest.raises(ValueError, match=r"has an EXIF orientation, and .* shows? "):
            read(path, orientation=orientation)


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({"keypoints": np.zeros((3, 3))}, "a.jpg/keypoints has shape (3, 3), expected (N, 2)"),
        ({"keypoints": np.zeros((3, 2), int)}, "a.jpg/keypoints holds int64, expected floats"),
        (
            {"image_size": np.array([100, 120])},
            "a.jpg is for a picture of 100 x 120 px, but the photograph has 160 x 120",
        ),
        ({"image_size": np.array([np.nan, 120])}, "a.jpg is for a picture of nan x 120 px"),
        ({"image_size": np.array([160, 120, 3])}, "a.jpg/image_size has shape (3,), expected (2,)"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, datasets, message):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        for key, values in ({"keypoints": XY} | datasets).items():
            file[f"a.jpg/{key}"] = values
    with pytest.raises(ValueError, match=re.escape(message)):
        read(tmp_path / "f.h5")


def test_hlocs_own_features_lie_where_reading_them_whole_puts_them(tmp_path):
    path = write_as_hloc(tmp_path / "f.h5", "a.jpg", np.array([[1.5, 9.5], [70, 50.25]]), ((80, 60), SIZE))
    with HlocFeatures(path) as file:
        whole = file.read("a.jpg", SIZE)
        np.testing.assert_allclose(file.positions("a.jpg", SIZE), whole.keypoints[:, :2], rtol=1e-6)
