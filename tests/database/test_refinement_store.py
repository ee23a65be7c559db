"""Refined keypoints in the database: replaced, restored, and never half."""

import shutil

import numpy as np
import pytest
from support.database_contents import done_pairs
from support.verified_pair import (
    COUNTS,
    MATCHES,
    NOTE,
    make_features,
    new_positions,
    rows,
    verify_pairs,
    write_verified_pair,
)

from d2sfm.database import FeatureStore, MatchStore, RefinementStore
from d2sfm.database.connection import Connection, open_pycolmap
from d2sfm.database.pair_ids import pair_ids
from d2sfm.database.part_copy import write_pair_rows


@pytest.fixture
def database(tmp_path):
    return write_verified_pair(tmp_path / "db.db")


def replaced(path, positions, note=NOTE):
    with RefinementStore(path) as store:
        store.replace(positions, note)


def test_positions_replace_those_of_the_keypoints_and_nothing_else(database):
    before, positions = {i: rows(database, i) for i in ("descriptors", "matches", "d2sfm_features")}, new_positions()
    with RefinementStore(database) as store:
        originals = {image_id: store.keypoints(image_id) for image_id in COUNTS}
        assert store.refined() == set()
        assert store.notes.refinement() == {}
        store.replace(positions, NOTE)
        assert store.refined() == {1, 2, 3}
        assert store.notes.refinement() == NOTE
        for image_id, xy in positions.items():
            found = store.keypoints(image_id)
            assert found.dtype == np.float32
            assert np.array_equal(found[:, :2], xy.astype(np.float32))
            assert np.array_equal(found[:, 2:], originals[image_id][:, 2:])
    assert {table: rows(database, table) for table in before} == before
    assert rows(database, "two_view_geometries") == []
    with MatchStore(database) as store:
        assert np.array_equal(store.keypoints(1), positions[1].astype(np.float32))
        assert np.array_equal(store.matches(1, 2), MATCHES)
        assert done_pairs(store, verified=True) == set()


def test_restored_keypoints_are_the_originals_bit_for_bit(database):
    before = rows(database, "keypoints")
    replaced(database, new_positions())
    verify_pairs(database)
    assert rows(database, "keypoints") != before
    with RefinementStore(database) as store:
        assert store.restore() == 3
        assert store.refined() == set()
        assert store.notes.refinement() == {}
        assert store.restore() == 0
    assert rows(database, "keypoints") == before
    assert rows(database, "two_view_geometries") == []
    with MatchStore(database) as store:
        assert np.array_equal(store.matches(1, 2), MATCHES)


def test_the_originals_survive_a_second_replacement(database):
    before = rows(database, "keypoints")
    replaced(database, new_positions(1))
    replaced(database, new_positions(2), {"max_error": 3.0})
    with RefinementStore(database) as store:
        assert store.notes.refinement() == {"max_error": 3.0}
        assert np.array_equal(store.keypoints(2)[:, :2], new_positions(2)[2].astype(np.float32))
        assert store.restore() == 3
    assert rows(database, "keypoints") == before


def test_restoring_what_was_never_refined_changes_nothing(database):
    before = database.read_bytes()
    with RefinementStore(database) as store:
        assert store.restore() == 0
        store.refined(), store.notes.refinement(), store.parts("any", "stage", 2), store.keypoints(1)
        assert np.isnan(store.sigmas(1)).all()
    assert database.read_bytes() == before


def test_parts_come_back_and_those_of_other_runs_go(database):
    random = np.random.default_rng(0)
    parts = [(np.arange(3) + first, random.normal(size=(3, 2))) for first in (0, 2)]
    parts.append((np.zeros(0, np.int64), np.zeros((0, 2))))
    of_next_stage = np.arange(2), random.normal(size=(2, 3))
    with RefinementStore(database) as store:
        assert store.parts("one", "first", 2) == []
        for part in parts:
            store.save_part("one", "first", *part)
        store.save_part("one", "next", *of_next_stage)
    with RefinementStore(database) as store:
        for found, expected in (
            (store.parts("one", "first", 2), parts),
            (store.parts("one", "next", 3), [of_next_stage]),
        ):
            for (nodes, values), (expected_nodes, expected_values) in zip(found, expected, strict=True):
                assert np.array_equal(nodes, expected_nodes)
                assert values.shape == expected_values.shape
                assert values.tobytes() == expected_values.tobytes()
        assert store.parts("on", "first", 2) == store.parts("other", "first", 2) == []
        store.save_part("other", "first", *parts[0])
        assert store.parts("one", "first", 2) == store.parts("one", "next", 3) == []
        assert len(store.parts("other", "first", 2)) == 1


def test_a_replacement_ends_the_run_and_its_parts_go(database):
    with RefinementStore(database) as store:
        store.save_part("one", "stage", np.arange(2), np.zeros((2, 2)))
        store.replace(new_positions(), NOTE)
        assert store.parts("one", "stage", 2) == []


def test_sigmas_lie_beside_the_positions_and_go_with_them(database):
    sigmas = {image_id: np.linspace(0.01, 0.2, count) for image_id, count in COUNTS.items()}
    sigmas[1][2] = np.nan
    with RefinementStore(database) as store:
        assert np.isnan(store.sigmas(1)).all()
        assert store.sigmas(1).shape == (6,)
        for end in (lambda: store.replace(new_positions(1), NOTE), store.restore):
            store.replace(new_positions(), NOTE, sigmas)
            for image_id, sigma in sigmas.items():
                assert store.sigmas(image_id).dtype == np.float32
                np.testing.assert_array_equal(store.sigmas(image_id), sigma.astype(np.float32))
            end()
            assert np.isnan(store.sigmas(1)).all()
            assert rows(database, "d2sfm_keypoint_sigmas") == []


def test_refuted_matches_stay_through_rounds_and_go_with_the_positions(database):
    first, more = np.array([[0, 1], [3, 2]]), np.array([[3, 2], [1, 1]])
    with MatchStore(database) as store:
        assert store.refuted(1, 2).shape == (0, 2)
    with RefinementStore(database) as store:
        store.replace(new_positions(), NOTE, refuted={(1, 2): first})
    with MatchStore(database) as store:
        assert store.refuted(1, 2).tolist() == first.tolist()
        assert store.refuted(2, 1).tolist() == first[:, ::-1].tolist()
        assert store.refuted(1, 2).dtype == np.uint32
        assert store.refuted(1, 3).shape == (0, 2)
    with RefinementStore(database) as store:
        store.replace(new_positions(), NOTE, refuted={(1, 2): more, (1, 3): first})
    with MatchStore(database) as store:
        assert store.refuted(1, 2).tolist() == [[0, 1], [1, 1], [3, 2]]
        assert store.refuted(1, 3).tolist() == first.tolist()
    with RefinementStore(database) as store:
        store.restore()
    assert rows(database, "d2sfm_refuted_matches") == []


def test_a_damaged_row_of_refuted_matches_counts_for_nothing(database):
    first = np.array([[0, 1], [3, 2]])
    with RefinementStore(database) as store:
        store.replace(new_positions(), NOTE, refuted={(1, 2): first[:1]})
    with Connection(database) as connection:
        connection.rows("UPDATE d2sfm_refuted_matches SET data = substr(data, 1, 5)")
    with MatchStore(database) as store:
        assert store.refuted(1, 2).shape == (0, 2)
    with RefinementStore(database) as store:
        store.replace(new_positions(), NOTE, refuted={(1, 2): first[1:]})
    with MatchStore(database) as store:
        assert store.refuted(1, 2).tolist() == first[1:].tolist()


@pytest.mark.parametrize("has_table", [True, False])
def test_pairs_of_a_share_take_their_refuted_matches_along(database, tmp_path, has_table):
    """A pair that the share had to pass over has these alone, and files of earlier versions lack their table."""
    refuted, done, passed_over = np.array([[0, 1], [3, 2]]), (1, 3), (1, 2)
    with MatchStore(database) as store:
        there = store.matches(*passed_over).tolist()
        store.write(*done, np.zeros((0, 2), np.uint32))
    with RefinementStore(database) as store:
        store.replace(new_positions(), NOTE, refuted={done: refuted, passed_over: refuted})
    part, file = shutil.copy(database, tmp_path / "part.db"), tmp_path / "share.db"
    with Connection(part) as connection:
        connection.rows("DELETE FROM matches WHERE pair_id = ?", (int(pair_ids(*passed_over)),))
    write_pair_rows(part, file, pair_ids(*np.transpose([done, passed_over])), {})
    if not has_table:
        with Connection(file) as connection:
            connection.rows("DROP TABLE d2sfm_refuted_matches")
    with MatchStore(database) as store:
        store.take_in(file)
        assert store.matches(*passed_over).tolist() == there
        assert [store.refuted(*pair).tolist() for pair in (done, passed_over)] == [refuted.tolist()] * 2


def test_refuted_matches_of_continued_keypoints_go_with_these(database):
    with RefinementStore(database) as store:
        more = {1: np.full((2, 4), 5, np.float32)}
        refuted = {(1, 2): np.array([[0, 1], [COUNTS[1], 2]]), (1, 3): np.array([[COUNTS[1] + 1, 0]])}
        store.replace(new_positions(), NOTE, continued=(more, {}), refuted=refuted)
        store.replace({}, NOTE, others_stay=True)
    with MatchStore(database) as store:
        assert len(store.refuted(1, 2)) == 2
        assert len(store.refuted(1, 3)) == 1
    with RefinementStore(database) as store:
        store.replace(new_positions(), NOTE)
    with MatchStore(database) as store:
        assert store.refuted(1, 2).tolist() == [[0, 1]]
    assert len(rows(database, "d2sfm_refuted_matches")) == 1


@pytest.mark.parametrize("count", [3, 5])
def test_another_number_of_positions_is_refused_as_a_whole(database, count):
    before = {table: rows(database, table) for table in ("keypoints", "two_view_geometries", "matches")}
    positions = {1: new_positions()[1], 2: np.zeros((count, 2))}
    with RefinementStore(database) as store:
        store.save_part("one", "stage", np.arange(2), np.zeros((2, 2)))
        with pytest.raises(RuntimeError, match=f"image 2 has 4 keypoints, found {count} positions"):
            store.replace(positions, NOTE)
        assert store.refined() == set()
        assert store.notes.refinement() == {}
        assert len(store.parts("one", "stage", 2)) == 1
    assert {table: rows(database, table) for table in before} == before


@pytest.mark.parametrize("step", ["replace", "restore"])
def test_what_fails_in_the_middle_leaves_everything_as_it_was(database, monkeypatch, step):
    replaced(database, new_positions(1))
    verify_pairs(database)
    tables = ("keypoints", "two_view_geometries", "d2sfm_original_keypoints", "d2sfm_settings")
    before = {table: rows(database, table) for table in tables}
    with RefinementStore(database) as store:
        execute, done = store._connection.rows, []

        def interrupted(sql, values=()):
            if sql.startswith("UPDATE keypoints"):
                done.append(sql)
                if len(done) == 2:
                    raise KeyboardInterrupt
            return execute(sql, values)

        monkeypatch.setattr(store._connection, "rows", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.replace(new_positions(2), {}) if step == "replace" else store.restore()
    assert len(done) == 2
    assert {table: rows(database, table) for table in tables} == before


def test_features_written_again_forget_their_originals(database):
    sigmas = {image_id: np.full(count, 0.1) for image_id, count in COUNTS.items()}
    with RefinementStore(database) as store:
        store.replace(new_positions(), NOTE, sigmas)
    features = make_features(5, seed=9)
    with FeatureStore(database) as store:
        store.write("1.jpg", features, "settings")
    with RefinementStore(database) as store:
        assert store.refined() == {2, 3}
        assert np.isnan(store.sigmas(1)).all()
        assert not np.isnan(store.sigmas(2)).any()
        assert store.restore() == 2
        assert np.array_equal(store.keypoints(1)[:, :3], features.keypoints[:, :3])
        assert np.array_equal(store.keypoints(2)[:, :2], make_features(4, 2).keypoints[:, :2])


def test_originals_of_another_number_than_there_are_keypoints_now_are_not_put_back(database):
    """Another tool replaced the keypoints of image 1."""
    replaced(database, new_positions())
    with open_pycolmap(database) as colmap:
        colmap.update_keypoints(1, np.ones((2, 4), np.float32))
    with RefinementStore(database) as store:
        assert store.restore() == 2
        assert np.array_equal(store.keypoints(1), np.ones((2, 4), np.float32))
        assert store.refined() == set()


def test_images_without_keypoints_of_ours_are_refused(database):
    with open_pycolmap(database) as colmap:
        colmap.update_keypoints(2, np.ones((4, 2), np.float32))
    with RefinementStore(database) as store:
        with pytest.raises(RuntimeError, match="no d2sfm keypoints of image 2"):
            store.keypoints(2)
        with pytest.raises(RuntimeError, match="no d2sfm keypoints of image 9"):
            store.replace({9: np.zeros((1, 2))}, NOTE)


def test_originals_go_with_their_image(database):
    replaced(database, new_positions())
    with RefinementStore(database) as store:
        store._connection.rows("DELETE FROM images WHERE image_id = 2")
        assert store.refined() == {1, 3}


def test_refined_keypoints_are_copied_with_the_file(database, tmp_path):
    before = rows(database, "keypoints")
    replaced(database, new_positions())
    shutil.copy(database, tmp_path / "copy.db")
    with RefinementStore(tmp_path / "copy.db") as store:
        assert store.restore() == 3
    assert rows(tmp_path / "copy.db", "keypoints") == before
    with RefinementStore(database) as store:
        assert store.refined() == {1, 2, 3}


def test_missing_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no database"):
        RefinementStore(tmp_path / "nowhere.db")
    (tmp_path / "text.db").write_text("no database at all, but some text")
    with pytest.raises(RuntimeError, match="is not a COLMAP database"):
        RefinementStore(tmp_path / "text.db")
