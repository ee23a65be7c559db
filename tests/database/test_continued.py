"""Keypoints of continued tracks: behind an image's own, in no way of what makes matches, and gone without a trace."""

import sqlite3

import numpy as np
import pycolmap
import pytest
import torch
from support.verified_pair import COUNTS, MATCHES, NOTE, make_features, new_positions, rows, write_verified_pair

from d2sfm.database import FeatureStore, ForeignStore, MatchStore, RefinementStore
from d2sfm.database.pair_ids import image_pairs
from d2sfm.matching.inputs import MatchingInputs

MORE = {1: np.array([[5.5, 6.5, 1, 0], [7, 8, 1, 0]], np.float32), 2: np.array([[9, 10, 1, 0]], np.float32)}
NEW_MATCHES = {(1, 2): np.array([[6, 3], [2, 4], [7, 4]]), (2, 3): np.array([[4, 0]])}  # (2, 3) was never matched
TABLES = ("keypoints", "descriptors", "matches", "two_view_geometries", "d2sfm_features")


@pytest.fixture
def database(tmp_path):
    return write_verified_pair(tmp_path / "db.db")


def continue_tracks(path, more=MORE, matches=NEW_MATCHES):
    sigmas = {image_id: np.full(count + len(more.get(image_id, [])), 0.1) for image_id, count in COUNTS.items()}
    with RefinementStore(path) as store:
        store.replace(new_positions(), NOTE, sigmas, (more, matches))


def test_they_lie_behind_the_images_own(database):
    continue_tracks(database)
    with MatchStore(database) as store:
        assert store.continued() == {1: 2, 2: 1}
        expected = np.concatenate([new_positions()[1], MORE[1][:, :2]]).astype(np.float32)
        assert np.array_equal(store.keypoints(1), expected)
        assert np.array_equal(store.matches(1, 2), np.concatenate([MATCHES, NEW_MATCHES[1, 2]]))
        assert image_pairs(store.done_pairs(verified=False)).tolist() == [[1, 2], [1, 3]]
        assert len(store.descriptors(1)) == COUNTS[1]
    with RefinementStore(database) as store:
        assert np.array_equal(store.keypoints(1)[COUNTS[1] :], MORE[1])
        assert len(store.sigmas(1)) == COUNTS[1] + 2


def test_what_makes_matches_does_not_see_them(database):
    with FeatureStore(database) as store:
        before = store.read("1.jpg")
    continue_tracks(database)
    with FeatureStore(database) as store:
        assert store.torn() == store.unrefined() == []
        assert sorted(store.extracted()) == ["1.jpg", "2.jpg", "3.jpg"]
        features = store.read("1.jpg")
        assert np.array_equal(features.descriptors, before.descriptors)
        assert np.array_equal(features.scores, before.scores)
        assert [len(each.keypoints) for each in store.keypoints()] == list(COUNTS.values())
    with ForeignStore(database) as store:
        assert store.described() is None
    with MatchStore(database) as store:
        inputs = MatchingInputs(store, torch.device("cpu"))
        assert len(inputs.descriptors(1)) == COUNTS[1]
        assert len(inputs.view(1).keypoints) == COUNTS[1] + 2


def test_restored_without_a_trace(database):
    before = {table: rows(database, table) for table in TABLES}
    continue_tracks(database)
    verify_pairs_of_all(database)
    with RefinementStore(database) as store:
        assert store.restore() == 3
    after = {table: rows(database, table) for table in TABLES}
    assert after == before | {"two_view_geometries": []}


def verify_pairs_of_all(path):
    with MatchStore(path) as store:
        matches = store.matches(1, 2)
        store.write(1, 2, matches, pycolmap.TwoViewGeometry(inlier_matches=matches))


def test_their_matches_come_first_when_verification_sorts(database):
    kept = np.linspace(0.2, 0.7, len(MATCHES)).astype(np.float16)
    with MatchStore(database) as store:
        store.write(1, 2, store.matches(1, 2), similarities=kept)
    for _ in range(2):  # those of another refinement take their place
        continue_tracks(database)
        with MatchStore(database) as store:
            assert store.similarities(1, 2).tolist() == [*kept.tolist(), 1, 1, 1]
    with RefinementStore(database) as store:
        store.restore()
    with MatchStore(database) as store:
        assert np.array_equal(store.similarities(1, 2), kept)


def test_those_of_another_refinement_take_their_place(database):
    continue_tracks(database)
    continue_tracks(database, {1: MORE[1][:1] + 1}, {(1, 2): np.array([[6, 3]])})
    with MatchStore(database) as store:
        assert store.continued() == {1: 1}
        assert len(store.keypoints(2)) == COUNTS[2]
        assert store.matches(1, 2)[len(MATCHES) :].tolist() == [[6, 3]]
    with RefinementStore(database) as store:
        store.replace(new_positions(), NOTE)
    with MatchStore(database) as store:
        assert store.continued() == {}
        assert np.array_equal(store.matches(1, 2), MATCHES)


def test_features_written_again_have_none(database):
    continue_tracks(database)
    with FeatureStore(database) as store:
        store.write("1.jpg", make_features(5, seed=9), "settings")
    with MatchStore(database) as store:
        assert store.continued() == {2: 1}
        assert len(store.keypoints(1)) == 5


def test_databases_of_earlier_versions_have_no_column(database):
    with sqlite3.connect(database) as connection:
        connection.execute("ALTER TABLE d2sfm_features DROP COLUMN continued")
    connection.close()
    before = database.read_bytes()
    with MatchStore(database) as store:
        assert store.continued() == {}
    with FeatureStore(database) as store:
        assert len(store.extracted()) == 3
    with RefinementStore(database) as store:
        assert store.restore() == 0
    assert database.read_bytes() == before
    continue_tracks(database)
    with MatchStore(database) as store:
        assert store.continued() == {1: 2, 2: 1}
