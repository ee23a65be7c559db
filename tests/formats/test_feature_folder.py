"""A folder of npz and mat files."""

import json
import re

import numpy as np
import pytest
from support.feature_records import random_features

from d2sfm.features.published import in_colmap_frame
from d2sfm.formats.feature_folder import FeatureFolder
from d2sfm.formats.npz_mat import write_features
from d2sfm.options import Convention, ImportOptions, OutputType

SIZE = (160, 120)
NAMES = ["a.jpg", "A.jpg", "sub/a b.jpg", "süd/ä.jpg"]


def write_published(path, keypoints):
    """As the published tool does."""
    with path.open("wb") as stream:
        np.savez(stream, keypoints=keypoints, scores=np.ones(len(keypoints)), descriptors=np.eye(len(keypoints), 512))


@pytest.mark.parametrize("output_type", OutputType)
def test_d2sfms_files(tmp_path, output_type):
    named = {name: random_features(seed, dtype="float32") for seed, name in enumerate(NAMES)}
    for name, features in named.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()  # the photograph
        write_features(tmp_path / f"{name}.feat", features, output_type, fingerprint='{"a": 1}')
    with FeatureFolder(tmp_path, ImportOptions(extension=".feat")) as folder:
        assert folder.names() == sorted(NAMES)
        for name, features in named.items():
            found = folder.read(name, SIZE)
            np.testing.assert_array_equal(found.keypoints, features.keypoints)
            np.testing.assert_array_equal(found.descriptors, features.descriptors)
            assert folder.fingerprint(name) == '{"a": 1}'
            assert folder.tells_convention(name)


def test_files_behind_a_link_to_a_folder_are_found_as_photographs_are(tmp_path):
    (tmp_path / "day 1").mkdir()
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "first").symlink_to(tmp_path / "day 1")
    write_features(tmp_path / "all" / "first" / "a.jpg.d2-net", random_features(0))
    with FeatureFolder(tmp_path / "all") as folder:
        assert folder.names() == ["first/a.jpg"]
        assert len(folder.read("first/a.jpg", SIZE))


def test_published_files_at_two_scales(tmp_path):
    """Half of the size: the photograph has 160 x 120 px, the input 80 x 60 and its coarser level 40 x 30."""
    write_published(tmp_path / "a.jpg.d2-net", np.array([[3, 3, 1], [6, 6, 2]], np.float32))
    options = ImportOptions(convention=Convention.REFERENCE, max_edge=80)
    with FeatureFolder(tmp_path, options) as folder:
        assert folder.fingerprint("a.jpg") is None
        found = folder.read("a.jpg", SIZE)
    assert found.convention is Convention.COLMAP
    # Cell 0 has its centre at 3.5 of its level; levels lie on each other corner to corner.
    coarse = 3.5 * np.array([79 / 39, 59 / 29])
    np.testing.assert_allclose(found.keypoints[:, :2], [[8, 8], 2 * (coarse + 0.5)], rtol=1e-6)
    assert found.keypoints[:, 2].tolist() == [2, 4]
    assert (found.input_size, found.scales) == ((80, 60), (0.5, 1.0))


def test_a_stated_frame_of_colmap_is_taken_as_it_is(tmp_path):
    write_published(tmp_path / "a.jpg.d2-net", np.array([[3, 3, 2]], np.float32))
    with FeatureFolder(tmp_path, ImportOptions(convention=Convention.COLMAP)) as folder:
        assert folder.read("a.jpg", SIZE).keypoints.tolist() == [[3, 3, 2, 1]]


def test_the_frame_of_published_files_has_to_be_stated(tmp_path):
    write_published(tmp_path / "a.jpg.d2-net", np.array([[3, 3, 1]], np.float32))
    message = "a.jpg.d2-net does not say in which frame its keypoints are: give --convention reference"
    with FeatureFolder(tmp_path) as folder, pytest.raises(ValueError, match=re.escape(message)):
        folder.read("a.jpg", SIZE)


def test_d2sfms_files_in_the_published_codes_frame(tmp_path):
    features = random_features(0, convention=Convention.REFERENCE)
    write_features(tmp_path / "a.jpg.d2-net", features, fingerprint='{"convention": "reference"}')
    with FeatureFolder(tmp_path) as folder:
        found = folder.read("a.jpg", SIZE)
        assert json.loads(folder.fingerprint("a.jpg")) == {"convention": "colmap, moved from reference"}
    np.testing.assert_array_equal(found.keypoints, in_colmap_frame(features).keypoints)


def test_files_that_do_not_fit(tmp_path):
    write_features(tmp_path / "a.jpg.d2-net", random_features(0))
    (tmp_path / "b.jpg.d2-net").write_text("text")
    with FeatureFolder(tmp_path) as folder:
        with pytest.raises(ValueError, match="is for a picture of 160 x 120 px, but the photograph has 120 x 160"):
            folder.read("a.jpg", (120, 160))
        for method in (folder.fingerprint, folder.tells_convention):
            with pytest.raises(ValueError, match=r"b.jpg.d2-net is not a feature file"):
                method("b.jpg")
        with pytest.raises(FileNotFoundError, match=r"c.jpg.d2-net"):
            folder.read("c.jpg", SIZE)
    with pytest.raises(FileNotFoundError, match=r"no folder of feature files .*nowhere"):
        FeatureFolder(tmp_path / "nowhere")
