"""Which pairs there are."""

import numpy as np
import pycolmap
import pytest
from support.database_contents import done_pairs
from support.feature_database import descriptors_of_place, write_feature_database

from d2sfm.database import MatchStore
from d2sfm.database.pair_ids import pair_ids

MATCHES = np.array([[0, 1], [2, 0], [3, 3]], np.uint32)
GEOMETRY = pycolmap.TwoViewGeometry(config=3, inlier_matches=MATCHES[:2])


@pytest.fixture
def database(tmp_path):
    """Four images."""
    names = [f"{number}.jpg" for number in (4, 3, 2, 1)]
    return write_feature_database(tmp_path / "db.db", dict.fromkeys(names, descriptors_of_place(0, 0)))


def test_pairs_without_matches_are_done(database):
    nothing = np.zeros((0, 2), np.uint32)
    with MatchStore(database) as store:
        store.write(1, 2, nothing, pycolmap.TwoViewGeometry())
        store.write(4, 2, nothing)
        assert done_pairs(store, verified=False) == {(1, 2), (2, 4)}
    with MatchStore(database) as store:
        assert done_pairs(store, verified=False) == {(1, 2), (2, 4)}
        assert done_pairs(store, verified=True) == {(1, 2)}
        assert store.pairs_table() == [("4.jpg", "3.jpg", 0, 0), ("3.jpg", "1.jpg", 0, 0)]


def test_pairs_table_counts_matches_and_inliers(database):
    with MatchStore(database) as store:
        store.write(3, 4, MATCHES)
        store.write(3, 1, MATCHES, GEOMETRY)
        assert store.pairs_table() == [("4.jpg", "2.jpg", 3, 2), ("2.jpg", "1.jpg", 3, 0)]


def test_verified_pairs_are_those_with_inliers_less_those_that_are_left_out(database):
    with MatchStore(database) as store:
        store.write(1, 2, MATCHES, pycolmap.TwoViewGeometry())
        store.write(1, 3, MATCHES, GEOMETRY)
        store.write(2, 4, MATCHES[:2], GEOMETRY)
        first, last = (int(pair_ids(*pair)) for pair in ((1, 3), (2, 4)))
        assert store.verified_counts().tolist() == [(first, 3, 2), (last, 2, 2)]
        assert store.verified_counts(np.array([first])).tolist() == [(last, 2, 2)]
