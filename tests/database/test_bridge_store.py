"""What is read of a bridged database, and the layer while it is in the making."""

import shutil

import numpy as np
import pycolmap
import pytest
from support.bridge_database import ADDED, NAMES, OWN, bridge, write_foreign, write_random_layer

from d2sfm.database import BridgeStore, FeatureStore, remove_photographs, working_copy
from d2sfm.database.bridge_store import add_images
from d2sfm.database.bridge_writer import BridgedPair
from d2sfm.database.connection import open_pycolmap
from d2sfm.database.pair_ids import pair_ids

PAIR = BridgedPair((1, 2), np.array([[OWN, OWN]]), np.array([[OWN, OWN]]), None)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A database, and a layer of it."""
    folder = tmp_path_factory.mktemp("made")
    database = write_foreign(folder / "db.db")
    return database, write_random_layer(database, folder / "layer.db")


@pytest.fixture
def database(made, tmp_path):
    return shutil.copy(made[0], tmp_path / "db.db")


@pytest.fixture
def layer(made, tmp_path):
    return shutil.copy(made[1], tmp_path / "layer.db")


def test_own_keypoints_matches_and_inliers_are_counted_with_and_without_a_bridge(database, layer):
    number = int(pair_ids(1, 2))
    for _ in range(2):
        with BridgeStore(database) as store:
            assert store.own_counts() == {1: OWN, 2: OWN, 3: 0, 4: 0}
            assert store.own_rows("matches") == {number: 3}
            assert store.own_rows("two_view_geometries") == {number: 2}
        bridge(database, layer, [PAIR])
    with BridgeStore(database) as store:
        assert store.images()["1.png"] == (2, "1.png", OWN, ADDED)


def test_images_that_come_while_a_layer_is_in_the_making(database, layer):
    with open_pycolmap(database) as colmap:
        colmap.write_image(pycolmap.Image(name="new.png", camera_id=1))
    add_images(database, layer)
    with FeatureStore(layer) as store:
        assert list(store.images()) == [*NAMES, "new.png"]
        assert list(store.extracted()) == list(NAMES)
    remove_photographs(database, ["1.png"])
    with pytest.raises(RuntimeError, match=r"holds images that .*db\.db \(1\.png the first\)"):
        add_images(database, layer)


def test_a_copy_that_was_bridged_is_still_one_of_the_database(database, layer, tmp_path):
    working_copy(database, tmp_path / "copy.db")
    bridge(tmp_path / "copy.db", layer, [PAIR])
    working_copy(database, tmp_path / "copy.db")
