"""Keypoints of others than d2sfm in the database: which they are, and those that come without descriptors."""

import numpy as np
import pycolmap
import pytest
from support.feature_records import random_features

from d2sfm.database import FeatureStore, ForeignStore, MatchStore, require_own_features
from d2sfm.database.connection import open_pycolmap
from d2sfm.matching.match import match_database
from d2sfm.refinement.refine import refine_database

SIZE = (160, 120)
KIND = "superpoint.h5 (256 numbers each)"


@pytest.fixture
def database(tmp_path):
    """A database of five images without features."""
    path = tmp_path / "db.db"
    with open_pycolmap(path) as colmap:
        for name in ("b.jpg", "sub/c.jpg", "a.jpg", "e.jpg", "d.jpg"):
            camera = pycolmap.Camera(model="SIMPLE_RADIAL", width=SIZE[0], height=SIZE[1], params=[170, 80, 60, 0])
            colmap.write_image(pycolmap.Image(name=name, camera_id=colmap.write_camera(camera)))
    return path


def write_ours(path, name):
    with FeatureStore(path) as store:
        store.write(name, random_features(0, 3), "settings")


def foreign(path):
    with ForeignStore(path) as store:
        return store.images(), store.extractor()


def test_keypoints_of_another_extractor_are_foreign(database):
    assert foreign(database) == ([], None)
    with open_pycolmap(database) as colmap:
        colmap.write_keypoints(5, np.ones((4, 4), np.float32))
        colmap.write_keypoints(2, np.ones((0, 4), np.float32))
    before = database.read_bytes()
    assert foreign(database)[0] == ["d.jpg", "sub/c.jpg"]
    assert database.read_bytes() == before
    write_ours(database, "a.jpg")
    assert foreign(database)[0] == ["d.jpg", "sub/c.jpg"]
    with open_pycolmap(database) as colmap:
        colmap.update_keypoints(3, np.ones((9, 4), np.float32))
    assert foreign(database)[0] == ["a.jpg", "d.jpg", "sub/c.jpg"]
    with open_pycolmap(database) as colmap:
        colmap.clear_descriptors()
    assert foreign(database)[0] == ["a.jpg", "d.jpg", "sub/c.jpg"]


def test_our_keypoints_are_ours_without_descriptors_too(database):
    write_ours(database, "a.jpg")
    with open_pycolmap(database) as colmap:
        colmap.clear_descriptors()
    assert foreign(database) == ([], None)


def test_another_extractor_is_named(database):
    kinds = pycolmap.FeatureExtractorType
    write_ours(database, "a.jpg")
    with open_pycolmap(database) as colmap:
        colmap.write_keypoints(4, np.ones((2, 4), np.float32))
        colmap.write_descriptors(4, pycolmap.FeatureDescriptors(kinds.SIFT, np.ones((2, 128), np.uint8)))
    assert foreign(database)[1] == "SIFT"
    with open_pycolmap(database) as colmap:
        colmap.write_keypoints(1, np.ones((2, 4), np.float32))
        colmap.write_descriptors(1, pycolmap.FeatureDescriptors(kinds.ALIKED_N32, np.ones((2, 512), np.uint8)))
        colmap.write_keypoints(2, np.ones((2, 4), np.float32))
    assert foreign(database)[1] == "SIFT and ALIKED_N32 and an extractor unknown to COLMAP"


@pytest.mark.parametrize("count", [0, 3])
def test_keypoints_alone_are_read_by_colmap_and_named_by_what_was_noted(database, count):
    xy = np.random.default_rng(0).uniform(1, 100, (count, 2))
    with ForeignStore(database) as store:
        store.write("sub/c.jpg", xy, KIND)
        assert store.described() == f"keypoints of {KIND} for 1 image (sub/c.jpg)"
        with pytest.raises(ValueError, match=r"has no image z\.jpg"):
            store.write("z.jpg", xy, KIND)
    with open_pycolmap(database) as colmap:
        np.testing.assert_array_equal(colmap.read_keypoints(2), xy.astype(np.float32).reshape(-1, 2))
        assert not colmap.exists_descriptors(2)
    with MatchStore(database) as store:
        np.testing.assert_array_equal(store.keypoints(2), xy.astype(np.float32))
        assert (store.has_keypoints(2), store.has_features(2)) == (True, False)


def test_writing_keypoints_again_removes_their_pairs(database):
    with ForeignStore(database) as store:
        for name in ("a.jpg", "b.jpg", "d.jpg"):
            store.write(name, np.ones((3, 2)), KIND)
    with MatchStore(database) as store:
        for pair in ((1, 3), (3, 5), (1, 5)):
            store.write(*pair, np.array([[0, 1]]))
    with ForeignStore(database) as store:
        store.write("a.jpg", np.ones((2, 2)), KIND)
    with MatchStore(database) as store:
        assert len(store.done_pairs(verified=False)) == 1
        assert len(store.matches(1, 5)) == 1


@pytest.mark.parametrize(("run", "command"), [(match_database, "match"), (refine_database, "refine")])
def test_what_needs_our_features_refuses_the_others_in_one_line(database, run, command):
    with ForeignStore(database) as store:
        store.write("a.jpg", np.ones((3, 2)), KIND)
        store.write("b.jpg", np.ones((3, 2)), KIND)
    options = {"verification": None} if command == "match" else {}
    with pytest.raises(RuntimeError) as refused:
        run(database, **options)
    assert "\n" not in str(refused.value)
    expected = f"holds keypoints of {KIND} for 2 images (a.jpg the first), but d2sfm {command} needs"
    assert expected in str(refused.value)


def test_a_database_with_features_of_ours_is_not_refused(database):
    require_own_features(database, "match")  # an empty one has its own message
    with ForeignStore(database) as store:
        store.write("b.jpg", np.ones((3, 2)), KIND)
    write_ours(database, "a.jpg")
    require_own_features(database, "match")


def test_others_with_descriptors_will_do_where_asked(database):
    with open_pycolmap(database) as colmap:
        colmap.write_keypoints(1, np.ones((2, 4), np.float32))
        sift = pycolmap.FeatureDescriptors(pycolmap.FeatureExtractorType.SIFT, np.ones((2, 128), np.uint8))
        colmap.write_descriptors(1, sift)
    require_own_features(database, "match", or_descriptors=True)
    with pytest.raises(RuntimeError, match="keypoints of SIFT"):
        require_own_features(database, "refine")
