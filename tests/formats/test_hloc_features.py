"""Features in hloc's layout: what hloc would read of ours, and what we read of hloc's."""

import json
import re

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.feature_records import random_features, write_as_hloc
from support.hloc import keypoints_of_hloc

from d2sfm.coordinates import image_from_input, stored_from_upright, upright_size
from d2sfm.features.published import in_colmap_frame
from d2sfm.formats.hloc_features import HlocFeatures, write_hloc_features
from d2sfm.options import Convention, ImportOptions

COLMAP, REFERENCE = Convention.COLMAP, Convention.REFERENCE
SIZE = (160, 120)
FINGERPRINT = json.dumps({"extractor": "d2sfm", "max_edge": 80, "convention": "colmap"})
NAMES = ["a.jpg", "A.jpg", "sub/a.jpg", "sub/deeper/a b.png", "Süd/ä ö.jpg", "sub.x/a.jpg", "写真/東.jpg"]


def write(path, named, fingerprint=FINGERPRINT):
    with h5py.File(path, "w") as file:
        for name, features in named.items():
            write_hloc_features(file, name, features, fingerprint)
    return path


def data_of_hloc(path, name):
    """What hloc's matchers get of an image (FeaturePairsDataset), arrays in place of tensors."""
    with h5py.File(path, "r") as file:
        group = file[name]
        data = {key: dataset.__array__().astype(np.float32) for key, dataset in group.items()}
        data["image"] = np.empty((1, *tuple(group["image_size"])[::-1]))
    return data


def names_of_hloc(path):
    """hloc's list_h5_names."""
    names = []

    def visit(_, found):
        if isinstance(found, h5py.Dataset):
            names.append(found.parent.name.strip("/"))

    with h5py.File(str(path), "r", libver="latest") as file:
        file.visititems(visit)
    return sorted(set(names))


def test_hloc_reads_what_we_write(tmp_path):
    named = {name: random_features(seed) for seed, name in enumerate(NAMES)}
    path = write(tmp_path / "f.h5", named)
    assert names_of_hloc(path) == sorted(NAMES)
    for name, features in named.items():
        np.testing.assert_allclose(keypoints_of_hloc(path, name), features.keypoints[:, :2], rtol=1e-6)
        data = data_of_hloc(path, name)
        assert data["image"].shape == (1, 120, 160)
        assert data["descriptors"].shape == (512, 6)
        np.testing.assert_array_equal(data["descriptors"].T, features.descriptors)
        np.testing.assert_array_equal(data["scores"], features.scores)
        with h5py.File(path) as file:
            assert file[name]["keypoints"].dtype == np.float32
            assert file[name]["keypoints"].attrs["uncertainty"] == 2


def test_the_published_codes_frame_is_left(tmp_path):
    features = random_features(0, convention=REFERENCE)
    path = write(tmp_path / "f.h5", {"a.jpg": features}, json.dumps({"convention": "reference"}))
    np.testing.assert_allclose(keypoints_of_hloc(path, "a.jpg"), features.keypoints[:, :2] + 5, rtol=1e-5)
    with HlocFeatures(path) as file:
        assert json.loads(file.fingerprint("a.jpg")) == {"convention": "colmap, moved from reference"}


@settings(max_examples=examples(40))
@given(
    st.integers(0, 9),
    st.sampled_from(["float16", "float32"]),
    st.sampled_from([SIZE, (4001, 2999), (5, 7)]),
    st.sampled_from([(1.0,), (0.5, 1.0, 2.0)]),
    st.integers(0, 2**32 - 1),
)
def test_what_is_written_is_read(tmp_path_factory, count, dtype, size, scales, seed):
    features = random_features(seed, count, dtype, image_size=size, scales=scales)
    path = write(tmp_path_factory.getbasetemp() / "f.h5", {"sub/a.jpg": features})
    with HlocFeatures(path) as file:
        assert file.names() == ["sub/a.jpg"]
        assert file.fingerprint("sub/a.jpg") == FINGERPRINT
        assert file.tells_convention("sub/a.jpg")
        found = file.read("sub/a.jpg", size)
    # Half a pixel less and more again, in float32.
    np.testing.assert_allclose(found.keypoints, features.keypoints, rtol=2**-23, atol=2**-24)
    np.testing.assert_array_equal(found.descriptors, features.descriptors)
    assert found.descriptors.dtype == dtype
    for field in ("image_size", "input_size", "scales", "convention"):
        assert getattr(found, field) == getattr(features, field)


def test_hlocs_keypoints_as_hloc_takes_them(tmp_path):
    in_input = np.array([[1.5, 9.5], [70, 50.25]])
    path = write_as_hloc(tmp_path / "f.h5", "db/a.jpg", in_input, ((80, 60), SIZE))
    with HlocFeatures(path) as file:
        assert not file.tells_convention("db/a.jpg")
        assert file.fingerprint("db/a.jpg") is None
        found = file.read("db/a.jpg", SIZE)
    np.testing.assert_allclose(found.keypoints[:, :2], keypoints_of_hloc(path, "db/a.jpg"))
    np.testing.assert_allclose(found.keypoints[:, :2], image_from_input(in_input, (80, 60), SIZE, COLMAP))
    np.testing.assert_allclose(found.keypoints[:, 2:], [[2, 1], [2, 0.5]])
    assert (found.input_size, found.scales, found.convention) == ((80, 60), (1.0,), COLMAP)
    np.testing.assert_array_equal(found.descriptors, np.eye(2, 512))


@pytest.mark.parametrize("sizes", [((80, 60), SIZE), ((1600, 1067), (4001, 2668)), ((640, 480), (640, 480))])
def test_hlocs_d2net_is_moved_to_its_cells(tmp_path, sizes):
    """The published code has cell (i, j) at 4i + 1.5 of the input, where it is at 4i + 3.5."""
    cells = np.array([[0, 0], [3, 7], [10, 12]])
    path = write_as_hloc(tmp_path / "f.h5", "a.jpg", 4 * cells + 1.5, sizes)
    with HlocFeatures(path, ImportOptions(convention=REFERENCE)) as file:
        found = file.read("a.jpg", sizes[1])
    assert found.input_size == sizes[0]
    np.testing.assert_allclose(
        found.keypoints[:, :2], image_from_input(4 * cells + 3.5, *sizes, COLMAP), rtol=1e-5, atol=1e-3
    )
    assert found.convention is COLMAP


def test_half_of_the_precision(tmp_path, caplog):
    in_input = np.array([[700.3, 500.2]])
    path = write_as_hloc(tmp_path / "f.h5", "a.jpg", in_input, ((1600, 1200),) * 2, as_half=True)
    with HlocFeatures(path) as file:
        found, _ = (file.read("a.jpg", (1600, 1200)) for _ in range(2))
    assert (
        caplog.text.count(
            "f.h5 has keypoints in float16, up to half a pixel off at 1600 px: better is float32 (a.jpg the first)"
        )
        == 1
    )
    assert np.abs(found.keypoints[:, :2] - in_input - 0.5).max() < 0.5
    assert found.descriptors.dtype == np.float16


def test_without_uncertainty_the_options_tell_the_input(tmp_path):
    path = write_as_hloc(tmp_path / "f.h5", "a.jpg", np.zeros((1, 2)), ((80, 60), SIZE))
    with h5py.File(path, "a") as file:
        del file["a.jpg/keypoints"].attrs["uncertainty"]
    for options, expected in (({}, SIZE), ({"max_edge": 40}, (40, 30)), ({"max_sum_edges": 140}, (80, 60))):
        with HlocFeatures(path, ImportOptions(**options)) as file:
            assert file.read("a.jpg", SIZE).input_size == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints": None}, "f.h5 has no dataset a.jpg/keypoints"),
        ({"scores": None}, "f.h5 has no dataset a.jpg/scores"),
        ({"descriptors": None}, "f.h5 has no dataset a.jpg/descriptors"),
        ({"image_size": None}, "f.h5 has no dataset a.jpg/image_size"),
        ({"keypoints": np.zeros((3, 3), np.float32)}, "a.jpg/keypoints has shape (3, 3), expected (N, 2)"),
        ({"scores": np.zeros(2)}, "a.jpg/scores has shape (2,), expected (3,)"),
        ({"descriptors": np.zeros((256, 3))}, "a.jpg/descriptors has shape (256, 3), expected (512, 3)"),
        ({"descriptors": np.zeros((3, 512))}, "a.jpg/descriptors has shape (3, 512), expected (512, 3)"),
        (
            {"image_size": np.array([120, 160])},
            "a.jpg is for a picture of 120 x 160 px, but the photograph has 160 x 120",
        ),
        ({"image_size": np.array([160.0, 120.0])}, "a.jpg/image_size holds float64, expected integers"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, changes, message):
    write_as_hloc(tmp_path / "f.h5", "a.jpg", np.zeros((3, 2)), ((80, 60), SIZE), **changes)
    with HlocFeatures(tmp_path / "f.h5") as file, pytest.raises(ValueError, match=re.escape(message)):
        file.read("a.jpg", SIZE)


def test_images_that_are_not_there(tmp_path):
    write_as_hloc(tmp_path / "f.h5", "sub/a.jpg", np.zeros((3, 2)), ((80, 60), SIZE))
    with HlocFeatures(tmp_path / "f.h5") as file:
        for name in ("b.jpg", "sub/a.jpg/keypoints", "sub/a.jpg/x"):
            with pytest.raises(ValueError, match=f"f.h5 has no features of {name}"):
                file.read(name, SIZE)


@pytest.mark.parametrize(
    "noted",
    [
        "{",
        "[]",
        "{}",
        '{"input_size": [80], "scales": [1], "fingerprint": "{}"}',
        '{"input_size": [80, 0], "scales": [1], "fingerprint": "{}"}',
        '{"input_size": [80, 60], "scales": [-1], "fingerprint": "{}"}',
        '{"input_size": [80, 60], "scales": [1], "fingerprint": 3}',
        '{"input_size": [80, 60], "scales": ["a"], "fingerprint": "{}"}',
        '{"input_size": [80, 1e999], "scales": [1], "fingerprint": "{}"}',
        '{"input_size": [80, NaN], "scales": [1], "fingerprint": "{}"}',
    ],
)
def test_damage_in_what_d2sfm_added(tmp_path, noted):
    path = write(tmp_path / "f.h5", {"a.jpg": random_features(0)})
    with h5py.File(path, "a") as file:
        file["a.jpg"].attrs["d2sfm"] = np.bytes_(noted)
    with HlocFeatures(path) as file, pytest.raises(ValueError, match=r"the attribute d2sfm of a.jpg is damaged"):
        file.read("a.jpg", SIZE)


@pytest.mark.parametrize("name", ["", "/a.jpg", "./a.jpg", "sub//a.jpg", "sub/../a.jpg", "a.jpg/"])
def test_names_that_no_group_can_have(tmp_path, name):
    with h5py.File(tmp_path / "f.h5", "w") as file, pytest.raises(ValueError, match="can't be the name of a group"):
        write_hloc_features(file, name, random_features(0), FINGERPRINT)


def test_moved_features_are_those_of_the_record(tmp_path):
    features = random_features(1, convention=REFERENCE, scales=(0.5, 1.0))
    path = write(tmp_path / "f.h5", {"a.jpg": features})
    with HlocFeatures(path) as file:
        found = file.read("a.jpg", SIZE)
    np.testing.assert_allclose(found.keypoints, in_colmap_frame(features).keypoints, rtol=1e-6)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_what_hloc_found_in_a_turned_picture_is_turned_back(tmp_path, orientation):
    in_input = np.array([[3.0, 4.0], [50.5, 71.25]])
    upright = upright_size(SIZE, orientation)
    path = write_as_hloc(tmp_path / "f.h5", "a.jpg", in_input, ((60, 80), upright))
    with HlocFeatures(path) as source:
        features = source.read("a.jpg", SIZE, orientation)
    in_upright = image_from_input(in_input, (60, 80), upright, COLMAP)
    expected = stored_from_upright(in_upright, SIZE, orientation)
    np.testing.assert_allclose(features.keypoints[:, :2], expected, rtol=1e-5)
    assert (features.image_size, features.input_size, features.orientation) == (SIZE, (80, 60), orientation)


def test_features_of_the_stored_picture_stay_and_sizes_must_tell(tmp_path):
    in_input = np.array([[3.0, 4.0]])
    path = write_as_hloc(tmp_path / "f.h5", "a.jpg", in_input, ((80, 60), SIZE))
    write_as_hloc(path, "square.jpg", in_input, ((60, 60), (120, 120)))
    with HlocFeatures(path) as source:
        assert source.read("a.jpg", SIZE, 6).orientation == 1
        for name, size, orientation in (("a.jpg", SIZE, 3), ("square.jpg", (120, 120), 6)):
            with pytest.raises(ValueError, match="its size does not show whether hloc turned it"):
                source.read(name, size, orientation)
        with pytest.raises(ValueError, match="is for a picture of 160 x 120 px, but the photograph has 100 x 90"):
            source.read("a.jpg", (100, 90), 6)


def test_our_own_turned_features_come_back(tmp_path):
    features = random_features(0, orientation=8)
    path = write(tmp_path / "f.h5", {"a.jpg": features})
    with HlocFeatures(path) as source:
        found = source.read("a.jpg", SIZE, 8)
    assert (found.orientation, found.input_size) == (8, features.input_size)
    np.testing.assert_allclose(found.keypoints, features.keypoints, rtol=1e-6)
