"""Refined databases, and runs that were stopped: continued, refined or verified again, restored."""

import json
import shutil
import sqlite3
from functools import partial

import numpy as np
import pytest
from support.database_contents import done_pairs, rows
from support.matched_square import CPU, PAIRS, errors_px, refined

from d2sfm.database import FeatureStore, MatchStore
from d2sfm.database.connection import Connection
from d2sfm.database.removal import remove_features
from d2sfm.database.tables import OUR_PAIR_TABLES, PAIR_TABLES, SIMILARITIES
from d2sfm.matching.match import match_database
from d2sfm.matching.settings import Threshold, noted_thresholds
from d2sfm.options import MapCacheOptions, Precision, RefinementOptions, VerificationOptions
from d2sfm.refinement import refine as refine_module
from d2sfm.refinement import stages as stages_module
from d2sfm.refinement.adjustment import Adjustment
from d2sfm.refinement.exactness import MAX_ERROR
from d2sfm.refinement.grey import GreyAdjustment
from d2sfm.refinement.refine import noted_options, restore_database
from d2sfm.refinement.schedule import schedule

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]


def test_a_second_call_says_that_keypoints_are_refined_already(refined_database, matched):
    tables = ("keypoints", "two_view_geometries", "d2sfm_original_keypoints")
    before = rows(refined_database, *tables)
    summary = refined(refined_database, matched, cache=MapCacheOptions(cache_limit=1.0))
    assert (summary.images, summary.moved, summary.pairs, summary.verified) == (0, 0, 3, 0)
    assert "keypoints are refined already, all pairs are verified already within 2 px" in str(summary)
    assert rows(refined_database, *tables) == before


def test_pairs_that_a_stopped_run_left_without_geometry_are_verified(database, matched, monkeypatch, tmp_path):
    whole, options = shutil.copy(database, tmp_path / "whole.db"), RefinementOptions(**CPU, max_error=2.0)
    refined(whole, matched, options=options)
    write, written = MatchStore.write, []

    def stop_at_the_second(store, *pair, **named):
        if written:
            raise KeyboardInterrupt
        written.append(pair)
        write(store, *pair, **named)

    with monkeypatch.context() as patch:
        patch.setattr(MatchStore, "write", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            refined(database, matched, options=options)
    assert len(rows(database, "two_view_geometries")["two_view_geometries"]) == 1
    assert refined(database, matched, options=options).verified == 2
    tables = ("keypoints", "two_view_geometries")
    assert rows(database, *tables) == rows(whole, *tables)


def test_other_options_are_refused(refined_database, matched):
    expected = r"\.db was refined with precision float32, but this run asks for precision bfloat16: d2sfm refine --over"
    with pytest.raises(RuntimeError, match=expected):
        refined(refined_database, matched, options=RefinementOptions(device="cpu", precision=Precision.BFLOAT16))


def test_another_threshold_or_seed_only_verifies_again(database, refined_database, matched):
    options = RefinementOptions(**CPU, max_error=0.5, seed=7)
    refined(database, matched, options=options)
    summary = refined(refined_database, matched, options=options)
    assert (summary.images, summary.pairs) == (0, 3)
    tables = ("keypoints", "two_view_geometries", "d2sfm_original_keypoints", "d2sfm_settings")
    assert rows(refined_database, *tables) == rows(database, *tables)


def test_a_given_threshold_stays_without_pixels_of_the_photographs(refined_database, matched):
    given = RefinementOptions(**CPU, max_error=MAX_ERROR)
    refined(refined_database, matched, options=given)
    with FeatureStore(refined_database) as store:
        note = store.notes.refinement()
        assert noted_thresholds(store).common == Threshold(MAX_ERROR)
    assert noted_options(note).max_error == MAX_ERROR
    refined(refined_database, matched)
    with FeatureStore(refined_database) as store:
        assert noted_options(store.notes.refinement()).max_error is None


def test_rounds_follow_each_other_also_after_a_stop(database, matched, tmp_path):
    first, at_once = shutil.copy(database, tmp_path / "first.db"), shutil.copy(database, tmp_path / "at_once.db")
    refined(first, matched)
    two = RefinementOptions(**CPU, rounds=2)
    refined(at_once, matched, options=two)
    refined(database, matched)
    with sqlite3.connect(database) as connection:  # as if stopped while it verified
        connection.execute("DELETE FROM two_view_geometries WHERE pair_id = (SELECT max(pair_id) FROM matches)")
    connection.close()
    assert refined(database, matched, options=two).images == 3
    tables = ("keypoints", "two_view_geometries", "d2sfm_original_keypoints", "d2sfm_settings")
    assert rows(database, *tables) == rows(at_once, *tables)
    assert rows(database, "keypoints") != rows(first, "keypoints")
    assert np.median(errors_px(database, matched)) < 1.1 * np.median(errors_px(first, matched))
    with pytest.raises(RuntimeError, match=r"was refined in 2 rounds: give --rounds 2, or --overwrite"):
        refined(database, matched)
    assert restore_database(database) == 3
    assert rows(database, "keypoints") == rows(matched.database, "keypoints")


def test_overwriting_aligns_all_anew_also_after_stops(refined_database, matched, monkeypatch):
    tables = ("keypoints", "matches", "two_view_geometries", "d2sfm_keypoint_sigmas", "d2sfm_settings")
    expected = rows(refined_database, *tables)
    with sqlite3.connect(refined_database) as connection:
        connection.execute("UPDATE keypoints SET data = zeroblob(length(data)) WHERE image_id = 1")
    connection.close()

    def stopped(*arguments, **named):
        raise KeyboardInterrupt

    for module, name in ((refine_module, "verify_again"), (Adjustment, "move"), (refine_module, "exact_limit_px")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, stopped)
            with pytest.raises(KeyboardInterrupt):
                refined(refined_database, matched, overwrite=True)
    assert refined(refined_database, matched, overwrite=True).images == 0  # the last stopped run had moved all
    assert rows(refined_database, *tables) == expected
    assert refined(refined_database, matched, overwrite=True).images == 3
    assert rows(refined_database, *tables) == expected
    with monkeypatch.context() as patch:
        patch.setattr(refine_module, "exact_limit_px", stopped)
        with pytest.raises(KeyboardInterrupt):
            refined(refined_database, matched, overwrite=True)
    match_database(refined_database, verification=VerificationOptions(), overwrite=True)
    assert refined(refined_database, matched, overwrite=True).images == 3  # of other matches than the stopped run's


def test_a_view_that_comes_later_is_as_exact_as_if_it_had_come_with_the_others(database, refined_database, matched):
    with FeatureStore(database) as store:
        features, [settings] = store.read("view_02.png"), set(store.extracted().values())
    with Connection(database) as connection, connection.transaction():
        remove_features(connection, 3)
    refined(database, matched)
    before = rows(database, "keypoints", "two_view_geometries")
    with FeatureStore(database) as store:
        store.write("view_02.png", features, settings)
    match_database(database, verification=VerificationOptions(max_error=6.0, seed=3))
    assert refined(database, matched).images == 1
    after = rows(database, "keypoints", "two_view_geometries")
    assert all(set(rows_before) < set(after[table]) for table, rows_before in before.items())
    late, together = (errors_px(path, matched, path, PAIRS[1:]) for path in (database, refined_database))
    print(f"{len(late)} inliers, median {np.median(late):.3f} px; {len(together)}, {np.median(together):.3f} px")
    assert np.median(late) < 1.25 * np.median(together)
    unrefined, late = (errors_px(path, matched, pairs=PAIRS[1:]) for path in (matched.database, database))
    print(f"of all matches {np.median(unrefined):.3f} px, refined {np.median(late):.3f} px")
    assert np.median(late) < 0.7 * np.median(unrefined)
    assert len(late) > 0.6 * len(together)
    with MatchStore(database) as grown, MatchStore(refined_database) as store:
        assert grown.continued()[3] > 0.5 * store.continued()[3]


@pytest.mark.parametrize("overwrite", [True, False])
def test_match_keeps_the_threshold_of_refinement(database, refined_database, matched, overwrite, caplog):
    if overwrite:  # which leaves continued tracks without matches
        refined(database, matched, options=RefinementOptions(**CPU, continue_=False))
        refined_database = database
    before = rows(refined_database, "two_view_geometries", "d2sfm_settings")
    if not overwrite:
        with sqlite3.connect(refined_database) as connection:
            connection.execute("DELETE FROM two_view_geometries")
        connection.close()
    match_database(refined_database, verification=VerificationOptions(max_error=6.0, seed=0), overwrite=overwrite)
    assert "keypoints are refined: pairs are verified within 2 px" in caplog.text
    assert "keypoints are not aligned across" not in caplog.text
    assert rows(refined_database, "two_view_geometries") == {"two_view_geometries": before["two_view_geometries"]}
    restore_database(refined_database)
    with FeatureStore(refined_database) as store:
        assert json.loads(store.notes.read("match"))["max_error"] == 6.0


def test_pairs_that_are_new_since_refinement_are_told(refined_database, matched, caplog):
    with sqlite3.connect(refined_database) as connection:
        for table in ("matches", "two_view_geometries"):
            connection.execute(f"DELETE FROM {table} WHERE pair_id = (SELECT max(pair_id) FROM {table})")
    connection.close()
    match_database(refined_database, verification=VerificationOptions())
    assert "keypoints are not aligned across 1 pair matched after the refinement of both images" in caplog.text


def test_features_that_are_written_again_are_not_refined(refined_database, matched):
    with FeatureStore(refined_database) as store:
        assert store.notes.refinement()["max_error"] == 2.0
        assert store.unrefined() == []
        [settings] = set(store.extracted().values())
        for name in store.images():
            store.write(name, store.read(name), settings)
        assert store.notes.refinement() == {}
        assert len(store.unrefined()) == 3


def test_restoring_verifies_as_match_does_where_it_did_not(refined_database):
    with FeatureStore(refined_database) as store:
        store.notes.write("match", "{}")
    restore_database(refined_database)
    with MatchStore(refined_database) as store:
        assert done_pairs(store, verified=True) == set(PAIRS)


@pytest.mark.parametrize("adjustment", [Adjustment, GreyAdjustment])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_a_stopped_run_goes_on_where_it_was(database, matched, monkeypatch, tmp_path, stop, adjustment):
    whole = shutil.copy(database, tmp_path / "whole.db")
    monkeypatch.setattr(stages_module, "schedule", partial(schedule, part_nodes=50, most_tracks=50))
    move, moved = adjustment.move, []

    def counted(of_stage, part, on_image):
        moved.append(len(part.nodes))
        return move(of_stage, part, on_image)

    def stop_at_the_third(of_stage, part, on_image):
        if len(moved) == 2:
            raise stop("enough")
        return counted(of_stage, part, on_image)

    monkeypatch.setattr(adjustment, "move", counted)
    refined(whole, matched)
    parts_of_whole = moved.copy()
    assert len(parts_of_whole) > 3
    moved.clear()
    before = rows(database, "keypoints", "two_view_geometries")
    monkeypatch.setattr(adjustment, "move", stop_at_the_third)
    with pytest.raises(stop, match="enough"):
        refined(database, matched)
    assert rows(database, "keypoints", "two_view_geometries") == before
    kept = rows(database, "d2sfm_refined_parts")["d2sfm_refined_parts"]
    stage = "refine by grey values" if adjustment is GreyAdjustment else "refine"
    assert [fingerprint.partition(" ")[2] for _, fingerprint, *_ in kept].count(stage) == 2
    monkeypatch.setattr(adjustment, "move", counted)
    refined(database, matched)
    assert moved[:2] == parts_of_whole[:2]
    assert sum(moved) == sum(parts_of_whole)
    tables = (
        "keypoints",
        "matches",
        "two_view_geometries",
        "d2sfm_original_keypoints",
        "d2sfm_keypoint_sigmas",
        "d2sfm_refined_parts",
    )
    assert rows(database, *tables) == rows(whole, *tables)
    assert rows(database, "d2sfm_refined_parts")["d2sfm_refined_parts"] == []


def test_parts_of_other_matches_are_not_taken_over(database, matched, monkeypatch):
    monkeypatch.setattr(stages_module, "schedule", partial(schedule, part_nodes=50, most_tracks=50))
    move, moved = Adjustment.move, []

    def stop_at_the_second(adjustment, part, on_image):
        if moved:
            raise KeyboardInterrupt
        moved.append(part)
        return move(adjustment, part, on_image)

    monkeypatch.setattr(Adjustment, "move", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        refined(database, matched)
    with MatchStore(database) as store:
        store.write(1, 2, store.matches(1, 2))  # without geometry: its matches are no edges any more
    monkeypatch.undo()
    changed = shutil.copy(database, f"{database}.changed")
    with sqlite3.connect(changed) as connection:
        connection.execute("DELETE FROM d2sfm_refined_parts")
    connection.close()
    refined(database, matched)
    refined(changed, matched)
    assert rows(database, "keypoints") == rows(changed, "keypoints")


def test_restoring_brings_back_what_match_made(refined_database, matched):
    assert restore_database(refined_database) == 3
    tables = ("keypoints", "descriptors", "d2sfm_features", "d2sfm_settings", *PAIR_TABLES, *OUR_PAIR_TABLES)
    assert len(rows(refined_database, SIMILARITIES)[SIMILARITIES]) == 3
    assert rows(refined_database, *tables) == rows(matched.database, *tables)
    assert restore_database(refined_database) == 0
    again = refined(refined_database, matched)
    assert again.images == 3
