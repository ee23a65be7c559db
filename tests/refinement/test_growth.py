"""Photographs that come after the others were refined: their keypoints are aligned with what is there, which stays."""

import logging
import shutil
from functools import partial

import cv2
import numpy as np
import pytest
from support.database_contents import rows
from support.feature_database import say_verified
from support.helpers import textured_picture
from support.runs import write_cut_outs

from d2sfm.database import FeatureStore, MatchStore, RefinementStore
from d2sfm.database.connection import Connection
from d2sfm.database.pair_ids import pair_ids
from d2sfm.extraction.extract import extract_to_database
from d2sfm.matching.match import match_database
from d2sfm.options import RefinementOptions, VerificationOptions
from d2sfm.refinement import one_round, refine
from d2sfm.refinement import stages as stages_module
from d2sfm.refinement.adjustment import Adjustment
from d2sfm.refinement.grey import GreyAdjustment
from d2sfm.refinement.refine import refine_database, restore_database
from d2sfm.refinement.schedule import schedule
from d2sfm.workflow.refine_first import refine_first

pytestmark = pytest.mark.usefixtures("narrow_network", "one_thread")

OPTIONS = RefinementOptions(device="cpu", precision="float32")
OF_IMAGE = ("keypoints", "descriptors", "d2sfm_features", "d2sfm_original_keypoints")
OF_PAIR = ("matches", "two_view_geometries", "d2sfm_similarities")
ALL = (*OF_IMAGE, *OF_PAIR, "d2sfm_keypoint_sigmas", "d2sfm_refined_parts", "d2sfm_settings")
NEW = 5


def take_in(database, folder):
    """Extract and match what is new; geometries are said, as those of such small pictures are refused."""
    extract_to_database(database, folder)
    match_database(database, verification=VerificationOptions())
    say_verified(database, step=1)


@pytest.fixture(scope="module")
def refined_project(tmp_path_factory, narrow_network, one_thread):
    """Four photographs, refined, with verified pairs; a fifth is in the folder ``later``."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "photos").mkdir()
    (folder / "later").mkdir()
    write_cut_outs(folder / "photos", NEW)
    (folder / "photos" / "4.png").rename(folder / "later" / "4.png")
    take_in(folder / "db.db", folder / "photos")
    refine_database(folder / "db.db", folder / "photos", options=OPTIONS)
    say_verified(folder / "db.db", step=1)
    return folder


@pytest.fixture
def project(refined_project, tmp_path):
    return shutil.copytree(refined_project, tmp_path / "project")


@pytest.fixture(scope="module")
def grown_project(refined_project, tmp_path_factory):
    """The same with the fifth photograph matched."""
    folder = shutil.copytree(refined_project, tmp_path_factory.mktemp("grown") / "project")
    shutil.move(folder / "later" / "4.png", folder / "photos")
    take_in(folder / "db.db", folder / "photos")
    return folder


@pytest.fixture
def grown(grown_project, tmp_path):
    return shutil.copytree(grown_project, tmp_path / "grown")


def old_rows(database):
    """All but those of the new image."""
    of_new = {NEW, *(int(pair_ids(old, NEW)) for old in range(1, NEW))}
    return {
        table: [row for row in found if row[0] not in of_new]
        for table, found in rows(database, *OF_IMAGE, *OF_PAIR).items()
    }


def refined(project, **changes):
    return refine_database(project / "db.db", project / "photos", **{"options": OPTIONS, **changes})


@pytest.mark.slow
def test_only_the_new_keypoints_move_and_their_pairs_are_verified_again(grown):
    before, note = old_rows(grown / "db.db"), rows(grown / "db.db", "d2sfm_settings")
    with RefinementStore(grown / "db.db") as store:
        original = store.keypoints(NEW)
        assert store.at_rest(1).any()
        assert not store.at_rest(NEW).any()
    summary = refined(grown)
    assert old_rows(grown / "db.db") == before
    assert rows(grown / "db.db", "d2sfm_settings") == note
    with RefinementStore(grown / "db.db") as store:
        assert store.refined() == set(range(1, NEW + 1))
        moved = (store.keypoints(NEW)[: len(original)] != original).any(axis=1)
        assert len(store.sigmas(NEW)) == len(store.keypoints(NEW))
    assert summary.images == 1
    assert 0 < moved.sum() <= summary.moved <= len(original)
    assert summary.staying > summary.moved
    staying = (
        f"not aligned again: {summary.staying} keypoints refined before (d2sfm refine --overwrite aligns these, too"
    )
    assert staying in str(summary)
    with MatchStore(grown / "db.db") as store:
        assert not store.unverified_pairs()
    again = refined(grown)
    assert (again.images, again.staying) == (0, None)
    assert old_rows(grown / "db.db") == before
    restore_database(grown / "db.db")
    with RefinementStore(grown / "db.db") as store:
        assert np.array_equal(store.keypoints(NEW), original)


@pytest.mark.slow
def test_a_new_photograph_is_matched_within_the_threshold_of_unrefined_keypoints(project, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    shutil.move(project / "later" / "4.png", project / "photos")
    extract_to_database(project / "db.db", project / "photos")
    asked = spied_limits(monkeypatch)
    with MatchStore(project / "db.db") as store:  # as where pairs of refined images are chosen later
        store._connection.rows("DELETE FROM matches WHERE pair_id = ?", (int(pair_ids(1, 2)),))
    match_database(project / "db.db", verification=VerificationOptions(max_error=7.0))
    assert asked == {(1, 2): 2.0} | {(old, NEW): 7.0 for old in range(1, NEW)}
    assert (
        "2 px of the network input, as d2sfm refine does, and within 7 px of the network input for pairs with 1 "
        "unrefined image (4.png)" in caplog.text
    )
    assert "d2sfm refine aligns keypoints across the 4 pairs of new images" in caplog.text
    assert "keypoints are not aligned across 1 pair matched after the refinement of both images" in caplog.text
    asked.clear()
    say_verified(project / "db.db", step=1)
    refined(project)
    assert asked == {(old, NEW): 2.0 for old in range(1, NEW)}


def spied_limits(monkeypatch):
    """Gets the pixels within which each pair is verified."""
    from d2sfm.matching import tasks

    run_pair, asked = tasks.run_pair, {}

    def spied(task, *rest):
        asked[task.pair] = task.max_error_px
        return run_pair(task, *rest)

    monkeypatch.setattr(tasks, "run_pair", spied)
    return asked


@pytest.mark.slow
@pytest.mark.parametrize("stop_in", ["refine", "grey", "continue", "write", "verify"])
def test_a_run_that_is_stopped_ends_as_an_unbroken_one(grown, tmp_path, monkeypatch, stop_in):
    whole = shutil.copytree(grown, tmp_path / "whole")
    monkeypatch.setattr(stages_module, "schedule", partial(schedule, part_nodes=1, most_tracks=2))
    refined(whole)
    before = rows(grown / "db.db", "keypoints", "two_view_geometries")
    with monkeypatch.context() as patch:
        of = {
            "refine": (Adjustment, "move", 1),
            "grey": (GreyAdjustment, "move", 1),
            "continue": (stages_module, "as_rows", 0),
            "write": (one_round.RefinementStore, "replace", 0),
            "verify": (refine, "verify_again", 1),
        }
        stop_after(patch, *of[stop_in])
        with pytest.raises(KeyboardInterrupt):
            refined(grown)
    assert (rows(grown / "db.db", "keypoints", "two_view_geometries") == before) == (stop_in != "verify")
    refined(grown)
    assert rows(grown / "db.db", *ALL) == rows(whole / "db.db", *ALL)


def stop_after(patch, owner, name, calls):
    """Ctrl-C at the call after so many."""
    original, made = getattr(owner, name), []

    def stopped(*arguments, **named):
        if len(made) == calls:
            raise KeyboardInterrupt
        made.append(name)
        return original(*arguments, **named)

    patch.setattr(owner, name, stopped)


def test_photographs_of_another_place_and_without_features_are_told_and_leave_all_as_it_is(project, caplog):
    cv2.imwrite(str(project / "photos" / "elsewhere.png"), textured_picture(9, (96, 80)))
    cv2.imwrite(str(project / "photos" / "flat.png"), np.full((80, 96, 3), 90, np.uint8))
    extract_to_database(project / "db.db", project / "photos")
    assert refine_first(project / "db.db") is None
    match_database(project / "db.db", verification=VerificationOptions())
    before = rows(project / "db.db", *ALL)
    summary = refined(project)
    assert summary.images == 0
    assert "not refined, as it is in no verified pair: 2 images (elsewhere.png the first)" in caplog.text
    assert rows(project / "db.db", *ALL) == before
    with FeatureStore(project / "db.db") as features:
        assert list(features.later()) == ["elsewhere.png", "flat.png"]


def test_before_mapping_new_keypoints_are_aligned_as_the_others_were(grown, caplog):
    caplog.set_level(logging.INFO)
    before = old_rows(grown / "db.db")
    summary = refine_first(grown / "db.db", options=RefinementOptions(device="cpu", grey=False), way_out="--no-refine")
    assert "keypoints of 1 new image (4.png) are refined first (--no-refine)" in caplog.text
    assert summary.exact is not None
    assert old_rows(grown / "db.db") == before


@pytest.mark.parametrize("gone", [["4.png"], ["0.png", "1.png"]])
def test_where_the_photographs_of_its_pairs_are_missing_a_new_image_stays_and_is_told(grown, monkeypatch, caplog, gone):
    for name in gone:
        (grown / "photos" / name).unlink()
    with Connection(grown / "db.db") as connection:
        connection.rows("DELETE FROM two_view_geometries WHERE pair_id IN (?, ?)", of_new(3, 4))
        connection.rows("DELETE FROM matches WHERE pair_id IN (?, ?)", of_new(3, 4))
    before = rows(grown / "db.db", *ALL)
    monkeypatch.setattr(one_round, "read_collection", None)
    summary = refined(grown)
    assert caplog.messages == [
        "not refined, as a photograph of each of its verified pairs is missing: 1 image (4.png) (d2sfm refine aligns "
        "its keypoints when the photographs are there again)"
    ]
    assert str(summary) == (
        "refine: keypoints are refined already, all pairs are verified already within 2 px of the network input, and "
        "within 8 px of the network input for pairs with 1 unrefined image"
    )
    assert rows(grown / "db.db", *ALL) == before


def of_new(*old):
    """Numbers of the pairs of the new image and these."""
    return tuple(int(pair_ids(each, NEW)) for each in old)


def test_an_old_photograph_that_is_gone_is_no_reference_and_a_new_one_stays_as_it_is(grown, caplog):
    before = old_rows(grown / "db.db")
    (grown / "photos" / "0.png").unlink()
    assert refined(grown).moved
    assert "keypoints stay as they are: 1 photograph (0.png)" in caplog.text
    assert old_rows(grown / "db.db") == before


@pytest.mark.slow
def test_what_was_refined_stays_also_where_another_tool_has_cleared_its_descriptors(grown):
    shutil.copy(grown / "photos" / "4.png", grown / "photos" / "5.png")
    take_in(grown / "db.db", grown / "photos")
    with Connection(grown / "db.db") as connection:
        connection.rows("UPDATE descriptors SET rows = 0, data = NULL WHERE image_id < ?", (NEW,))
    before = rows(grown / "db.db", "keypoints", "d2sfm_keypoint_sigmas")
    assert refined(grown).images == 2
    after = rows(grown / "db.db", "keypoints", "d2sfm_keypoint_sigmas")
    for table, found in before.items():
        assert [row for row in after[table] if row[0] < NEW] == [row for row in found if row[0] < NEW]
