"""D2 keypoints behind those of others, and out again."""

import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pycolmap
import pytest
from support.bridge_database import ADDED, NAMES, OWN, bridge, dump, unbridge, write_foreign, write_random_layer

from d2sfm.database import FeatureStore, MatchStore
from d2sfm.database.bridge_store import BridgeStore, layer_of
from d2sfm.database.bridge_writer import BridgedPair
from d2sfm.database.connection import open_pycolmap

KINDS = [(6, "uint8"), (4, "uint8"), (2, "float32"), (4, "float32")]


def new_geometry():
    geometry = pycolmap.TwoViewGeometry()
    geometry.config = int(pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED)
    geometry.F = np.eye(3)
    geometry.inlier_matches = np.array([[OWN, 2], [OWN + 1, 3]], np.uint32)
    return geometry


PAIRS = (
    BridgedPair((1, 2), np.array([[OWN, OWN + 1]]), np.array([[OWN, OWN + 1]]), None),
    BridgedPair((1, 3), np.array([[OWN, 2], [OWN + 1, 3]]), np.zeros((0, 2)), new_geometry()),
)


@pytest.fixture(params=KINDS, ids=str, scope="module")
def made(request, tmp_path_factory):
    """One of others, and the same bridged."""
    folder = tmp_path_factory.mktemp("made")
    before = write_foreign(folder / "before.db", *request.param)
    shutil.copy(before, after := folder / "after.db")
    bridge(after, write_random_layer(after, folder / "layer.db"), PAIRS)
    return before, after


@pytest.fixture
def databases(made, tmp_path):
    """Copies of both."""
    return tuple(shutil.copy(path, tmp_path / path.name) for path in made)


def images(path):
    """Keypoints and descriptors of each image, as arrays, as COLMAP reads them."""
    with open_pycolmap(path) as colmap:
        ids = [image.image_id for image in colmap.read_all_images()]
        return {each: (colmap.read_keypoints(each), colmap.read_descriptors(each).data) for each in ids}


def test_what_was_there_is_the_first_part_to_the_bit(databases):
    before, after = map(images, databases)
    for image_id in (1, 2):
        for old, new in zip(before[image_id], after[image_id], strict=True):
            assert np.array_equal(old, new[:OWN])
            assert len(new) == OWN + ADDED
    assert [len(after[image_id][0]) for image_id in (3, 4)] == [ADDED, ADDED]
    assert [len(after[image_id][1]) for image_id in (3, 4)] == [ADDED, ADDED]


def test_added_keypoints_are_those_of_d2_in_the_columns_that_are_there(databases):
    after = images(databases[1])
    with BridgeStore(databases[1]) as store:
        found = store.images()
    with layer_of(databases[1]) as layer, FeatureStore(layer) as store:
        for name in NAMES:
            image, of_layer = found[name], store.read(name)
            keypoints = after[image.image_id][0][image.first :]
            assert image.count == len(keypoints) == len(of_layer)
            assert np.array_equal(keypoints[:, :2], of_layer.keypoints[:, :2])
            if keypoints.shape[1] == 4:
                assert np.array_equal(keypoints[:, 2], of_layer.keypoints[:, 2])
            if keypoints.shape[1] == 6:
                shape = keypoints[:, 2:].reshape(-1, 2, 2)
                assert np.array_equal(shape, of_layer.keypoints[:, 2, None, None] * np.eye(2))


def test_matches_and_inliers_stand_behind_those_of_before_whose_geometry_stays(databases):
    with open_pycolmap(databases[0]) as colmap:
        before = colmap.read_two_view_geometry(1, 2)
    with open_pycolmap(databases[1]) as colmap:
        after = colmap.read_two_view_geometry(1, 2)
        assert colmap.read_matches(1, 2).tolist() == [[0, 1], [2, 3], [4, 5], [OWN, OWN + 1]]
        assert colmap.read_two_view_geometry(1, 3).inlier_matches.tolist() == [[OWN, 2], [OWN + 1, 3]]
    assert after.inlier_matches.tolist() == [[0, 1], [2, 3], [OWN, OWN + 1]]
    assert (after.config, after.F.tolist()) == (before.config, before.F.tolist())


def test_restored_all_tables_are_as_before(databases):
    before, after = databases
    assert unbridge(after) == len(NAMES)
    assert dump(after) == dump(before)


def test_a_layer_comes_out_as_it_was_and_goes_in_again(databases, tmp_path):
    _, after = databases
    there = dump(after)
    with layer_of(after) as layer:
        with FeatureStore(layer) as store:
            assert list(store.extracted()) == list(NAMES)
        with MatchStore(layer) as store:
            assert store.matches(1, 2).tolist() == [[0, 1], [1, 0]]
            assert store.similarities(1, 2).tolist() == [1, 1]
        bridge(after, layer, PAIRS)
    assert dump(after) == there


def test_images_that_were_extracted_again_since_and_their_pairs_stay(databases):
    _, after = databases
    with closing(sqlite3.connect(after)) as connection:
        connection.execute("UPDATE keypoints SET rows = 1, data = substr(data, 1, 4 * cols) WHERE image_id = 2")
        connection.execute("UPDATE matches SET rows = 0, data = NULL WHERE pair_id = 2147483647 + 2")
        connection.commit()
    with BridgeStore(after) as store:
        assert store.torn() == ["1.png"]
    assert unbridge(after) == len(NAMES) - 1
    with open_pycolmap(after) as colmap:
        assert [len(colmap.read_keypoints(image_id)) for image_id in (1, 2, 3, 4)] == [OWN, 1, 0, 0]
        assert len(colmap.read_matches(1, 2)) == 0
        assert not colmap.exists_matches(1, 3)


def test_fillers_are_like_no_other_row(databases):
    rows = [found[1][-ADDED:] for found in images(databases[1]).values()]
    if rows[0].shape[1] == 512:
        rows = [np.ascontiguousarray(each).view(np.float32) for each in rows]
    rows = np.concatenate(rows).astype(np.float64)
    length = np.linalg.norm(rows, axis=1)
    assert np.allclose(length, length[0])
    assert ((rows != 0).sum(axis=1) == 4).all()
    cosine = rows @ rows.T / length[0] ** 2
    assert cosine[~np.eye(len(rows), dtype=bool)].max() < 0.8
