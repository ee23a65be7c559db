"""Keypoints are refined before they are mapped, where they can be, and it is said where they can't."""

import dataclasses
import json
import logging
import os
import shutil

import cv2
import pytest
from support.feature_database import say_verified
from support.runs import write_cut_outs
from support.synthetic_model import synthetic_rig

from d2sfm.database import FeatureStore, MatchStore, Note
from d2sfm.database.connection import Connection
from d2sfm.extraction.extract import extract_to_database
from d2sfm.matching.match import match_database
from d2sfm.options import RefinementOptions, VerificationOptions
from d2sfm.refinement import one_round
from d2sfm.workflow.refine_first import refine_first

pytestmark = pytest.mark.usefixtures("narrow_network")

OPTIONS = RefinementOptions(device="cpu", precision="float32", seed=3, max_error=3.0)


@pytest.fixture(scope="module")
def matched(tmp_path_factory, narrow_network):
    """A project of three photographs, matched."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "photos").mkdir()
    extract_to_database(folder / "db.db", write_cut_outs(folder / "photos", 3))
    match_database(folder / "db.db", verification=VerificationOptions())
    say_verified(folder / "db.db", step=1)
    return folder


@pytest.fixture
def project(matched, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    return shutil.copytree(matched, tmp_path / "project")


def refinement(database):
    with FeatureStore(database) as features:
        return features.notes.refinement()


def test_they_are_refined_with_the_given_options_and_it_is_said(project, caplog):
    summary = refine_first(project / "db.db", options=OPTIONS, way_out="--no-refine")
    assert summary.moved
    assert "keypoints are refined first (--no-refine)" in caplog.messages
    assert refinement(project / "db.db")["seed"] == 3
    caplog.clear()
    assert refine_first(project / "db.db", options=RefinementOptions(device="cpu")) is None
    assert not caplog.messages


def test_they_stay_where_a_model_of_them_is_to_be_extended(project, caplog):
    model = project / "sparse" / "0"
    assert refine_first(project / "db.db", options=OPTIONS, model=model) is None
    assert caplog.messages == [f"keypoints are mapped as they are, not refined: the points of {model} are of these"]
    assert not refinement(project / "db.db")


@pytest.mark.slow
def test_what_a_stopped_run_left_of_refined_pairs_is_verified_as_noted(project):
    refine_first(project / "db.db", options=OPTIONS)
    noted = refinement(project / "db.db")
    without_geometry_of_some(project / "db.db")
    assert refine_first(project / "db.db", options=RefinementOptions(device="cpu")) is not None
    assert refinement(project / "db.db") == noted
    with MatchStore(project / "db.db") as store:
        assert not store.unverified_pairs()


def without_geometry_of_some(database):
    with Connection(database) as connection:
        connection.rows("DELETE FROM two_view_geometries WHERE pair_id IN (SELECT pair_id FROM matches LIMIT 2)")


def note(database, **changed):
    """Change the note of refinement; None takes a key out."""
    with FeatureStore(database) as features:
        noted = features.notes.refinement() | changed
        noted = {key: value for key, value in noted.items() if value is not None}
        features.notes.write(Note.REFINEMENT, json.dumps(noted))
    return noted


@pytest.mark.slow
@pytest.mark.parametrize("noted", [{"max_error_px": 1.0}, {"grey": None, "continue_": None}], ids=["pixels", "earlier"])
def test_so_it_is_with_pixels_that_were_found_and_with_notes_of_earlier_versions(project, noted):
    options = dataclasses.replace(OPTIONS, max_error=None, grey="grey" not in noted)
    refine_first(project / "db.db", options=options)
    noted = note(project / "db.db", **noted)
    without_geometry_of_some(project / "db.db")
    with MatchStore(project / "db.db") as store:
        left = store.unverified_pairs()
    summary = refine_first(project / "db.db", options=RefinementOptions(device="cpu"))
    assert (summary.pairs, left) == (3, 2)
    assert refinement(project / "db.db") == noted
    with MatchStore(project / "db.db") as store:
        assert not store.unverified_pairs()


def take_away(project, monkeypatch):
    shutil.rmtree(project / "photos")
    with FeatureStore(project / "db.db") as features:
        features.notes.write("images", str(project / "photos"))


def take_most_away(project, monkeypatch):
    for name in ("0.png", "1.png"):
        (project / "photos" / name).unlink()


def resize(project, monkeypatch):
    path = str(project / "photos" / "1.png")
    cv2.imwrite(path, cv2.resize(cv2.imread(path), (40, 40)))


def protect(project, monkeypatch):
    is_there = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and is_there(path, mode))


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (take_away, "no folder of photographs"),
        (take_most_away, "lacks 2 of 3 photographs"),
        (resize, "1.png in"),
        (protect, "is read-only"),
    ],
)
def test_they_are_mapped_as_they_are_where_that_can_not_be(project, monkeypatch, caplog, prepare, reason):
    with FeatureStore(project / "db.db") as features:
        features.notes.note_images_folder(project / "photos")
    prepare(project, monkeypatch)
    assert refine_first(project / "db.db", options=OPTIONS) is None
    assert "keypoints are mapped as they are, not refined: " in caplog.text
    assert reason in caplog.text
    assert not refinement(project / "db.db")


def test_a_photograph_that_is_missing_is_told_once_and_the_others_are_not_read_again(project, monkeypatch, caplog):
    database, photos = project / "db.db", project / "photos"
    (photos / "2.png").rename(project / "2.png")
    refine_first(database, photos, options=OPTIONS)
    say_verified(database, step=1)
    told = "not refined, as a photograph of each of its verified pairs is missing: 1 image (2.png) (d2sfm refine"
    with monkeypatch.context() as patch:
        patch.setattr(one_round, "read_collection", None)
        caplog.clear()
        assert refine_first(database, photos) is None
        assert [message[: len(told)] for message in caplog.messages] == [told]
        without_geometry_of_some(database)
        caplog.clear()
        assert "2 of 3 pairs" not in str(refine_first(database, photos))
        assert [message[: len(told)] for message in caplog.messages] == [told]
    say_verified(database, step=1)
    (project / "2.png").rename(photos / "2.png")
    caplog.clear()
    assert refine_first(database, photos).images == 1
    assert "keypoints of 1 new image (2.png) are refined first" in caplog.messages
    with FeatureStore(database) as features:
        assert not features.later()


def test_keypoints_of_others_stay(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    synthetic_rig(tmp_path / "db.db", num_frames=2)
    assert refine_first(tmp_path / "db.db") is None
    assert "not refined: they are not of d2sfm" in caplog.text


def test_without_a_verified_pair_nothing_is_refined(project, caplog):
    with Connection(project / "db.db") as connection:
        connection.rows("UPDATE two_view_geometries SET rows = 0, data = NULL")
    assert refine_first(project / "db.db", options=OPTIONS) is None
    assert not caplog.messages
    assert not refinement(project / "db.db")
