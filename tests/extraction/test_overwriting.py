"""Extraction of what has features already: nothing is lost until the new ones are there."""

import shutil

import cv2
import numpy as np
import pycolmap
import pytest
from support.database_contents import contents, require_whole
from support.helpers import textured_picture
from support.photograph_folder import SMALL, TINY, cut, read_all, write_photograph_folder

from d2sfm.database import (
    FeatureStore,
    MatchStore,
    RefinementStore,
    begin_overwriting,
    create_database,
    import_photographs,
)
from d2sfm.extraction import pipeline
from d2sfm.extraction.extract import extract_to_database
from d2sfm.matching.match import match_database
from d2sfm.options import ExtractionOptions, MatchingOptions, VerificationOptions

pytestmark = pytest.mark.usefixtures("narrow_network")


SMALLER = ExtractionOptions(max_edge=64)


@pytest.fixture(scope="module")
def written(tmp_path_factory, narrow_network):
    """A database of such photographs, matched and refined."""
    folder = tmp_path_factory.mktemp("written")
    path, photographs = folder / "db.db", write_photograph_folder(folder / "photographs")
    extract_to_database(path, photographs, options=SMALL)
    match_database(path, verification=VerificationOptions())
    with RefinementStore(path) as store:
        store.replace({image_id: store.keypoints(image_id)[:, :2] + 0.25 for image_id in (1, 2, 3)}, {"max_error": 2.0})
    return path


@pytest.fixture
def matched(tmp_path, photographs, written):
    """A copy of it, of the photographs of the test."""
    path = shutil.copy(written, tmp_path / "db.db")
    with FeatureStore(path) as store:
        store.notes.note_images_folder(photographs.resolve())
    return path


@pytest.mark.slow
def test_overwritten_features_are_those_of_a_new_database(tmp_path, photographs, matched):
    with pytest.raises(
        RuntimeError,
        match=r"max_edge 96, but this run asks for max_edge 64: .* --overwrite to extract "
        "all",
    ):
        extract_to_database(matched, photographs, options=SMALLER)
    assert extract_to_database(matched, photographs, options=SMALLER, overwrite=True).extracted == 3
    extract_to_database(tmp_path / "new.db", photographs, options=SMALLER)
    assert contents(matched) == contents(tmp_path / "new.db")
    for path in (matched, tmp_path / "new.db"):
        match_database(path, options=MatchingOptions(ratio=0.99), verification=VerificationOptions())
    assert contents(matched) == contents(tmp_path / "new.db")
    again = extract_to_database(matched, photographs, options=SMALLER)
    assert (again.extracted, again.already_there) == (0, 3)


@pytest.mark.slow
def test_nothing_is_lost_of_a_photograph_until_its_new_features_are_there(tmp_path, photographs, matched, monkeypatch):
    before = contents(matched)
    with monkeypatch.context() as patched:
        stop_at(patched, "b c.png")
        with pytest.raises(KeyboardInterrupt):
            extract_to_database(matched, photographs, options=SMALLER, overwrite=True)
    stopped = require_whole(matched)
    assert list(read_all(matched)) == ["a.jpg"]
    assert stopped["matches"].keys() == {("b c.png", "sub/a.jpg")}
    for name in ("b c.png", "sub/a.jpg"):
        for kind in ("keypoints", "descriptors", "originals"):
            assert stopped[kind][name] == before[kind][name]
    with pytest.raises(RuntimeError, match="no features of 2 of 3 images"):
        match_database(matched, verification=None)
    summary = extract_to_database(matched, photographs, options=SMALLER, overwrite=True)
    assert (summary.extracted, summary.already_there) == (2, 1)
    extract_to_database(tmp_path / "new.db", photographs, options=SMALLER)
    assert contents(matched) == contents(tmp_path / "new.db")


def stop_at(monkeypatch, name):
    """Let extraction be interrupted when it is the photograph's turn."""
    load = pipeline.load_with_alpha

    def stopping(path, *expected):
        if path.name == name:
            raise KeyboardInterrupt
        return load(path, *expected)

    monkeypatch.setattr(pipeline, "load_with_alpha", stopping)


@pytest.mark.slow
def test_a_stopped_overwriting_run_may_go_on_without_the_option(photographs, matched, monkeypatch):
    with monkeypatch.context() as patched:
        stop_at(patched, "b c.png")
        with pytest.raises(KeyboardInterrupt):
            extract_to_database(matched, photographs, options=SMALLER, overwrite=True)
    with pytest.raises(RuntimeError, match=r"max_edge 64, but this run asks for max_edge 96"):
        extract_to_database(matched, photographs, options=SMALL)
    assert extract_to_database(matched, photographs, options=SMALLER).extracted == 2
    assert extract_to_database(matched, photographs, options=SMALLER, overwrite=True).extracted == 3


def test_overwriting_is_refused_where_other_features_would_stay(tmp_path, photographs, matched):
    before = contents(matched)
    (photographs / "a.jpg").rename(tmp_path / "a.jpg")
    with pytest.raises(RuntimeError, match=r"max_edge 96 of 1 image \(a\.jpg\), not among the 2 photographs"):
        extract_to_database(matched, photographs, options=SMALLER, overwrite=True)
    assert contents(matched) == before
    assert extract_to_database(matched, photographs, options=SMALL, overwrite=True).extracted == 2
    assert list(read_all(matched)) == ["a.jpg", "b c.png", "sub/a.jpg"]


def test_a_fingerprint_without_features_counts_as_none(photographs, matched):
    with pycolmap.Database.open(matched) as colmap:
        colmap.clear_descriptors()
    assert extract_to_database(matched, photographs, options=SMALLER).extracted == 3
    assert {features.input_size[0] for features in read_all(matched).values()} == {64}


def test_a_plain_run_keeps_features_of_a_broken_photograph_that_were_to_be_written_anew(photographs, matched):
    """Whatever run comes after the one that was stopped."""
    begin_overwriting(matched, ["a.jpg"], "other settings")
    cut(photographs / "a.jpg")
    before = contents(matched)
    assert list(extract_to_database(matched, photographs, options=SMALL).skipped) == ["a.jpg"]
    after = contents(matched)
    assert (after["keypoints"], after["matches"]) == (before["keypoints"], before["matches"])


def test_another_extractors_features_are_not_overwritten(tmp_path, photographs):
    database = tmp_path / "db.db"
    create_database(database)
    import_photographs(database, photographs, ["a.jpg"])
    with pycolmap.Database.open(database) as colmap:
        colmap.write_keypoints(1, np.ones((2, 4), np.float32))
    with pytest.raises(RuntimeError, match="extract into another database"):
        extract_to_database(database, photographs, options=SMALL, overwrite=True)


@pytest.mark.slow
def test_a_photograph_that_is_broken_by_now_keeps_its_features_until_it_is_mended(photographs, matched, caplog):
    whole = (photographs / "a.jpg").read_bytes()
    (photographs / "a.jpg").write_bytes(whole[: len(whole) // 2])
    before = contents(matched)
    for _ in range(2):  # the second run is asked for everything again, not just for what the first one left
        summary = extract_to_database(matched, photographs, options=SMALLER, overwrite=True)
        assert (summary.extracted, list(summary.skipped)) == (2, ["a.jpg"])
        assert "the old features stay, but d2sfm match ignores them: 1 skipped photograph (a.jpg)" in caplog.text
    assert contents(matched)["keypoints"]["a.jpg"] == before["keypoints"]["a.jpg"]
    match_database(matched, verification=None)
    assert contents(matched)["matches"].keys() == {("b c.png", "sub/a.jpg")}
    (photographs / "a.jpg").write_bytes(whole)
    assert extract_to_database(matched, photographs, options=SMALLER).extracted == 1
    assert list(read_all(matched)) == ["a.jpg", "b c.png", "sub/a.jpg"]


@pytest.mark.slow
def test_a_photograph_that_was_replaced_is_mentioned_and_extracted_again_with_a_new_camera(
    tmp_path, photographs, matched, caplog
):
    cv2.imwrite(str(photographs / "b c.png"), textured_picture(7, (64, 80)))
    assert extract_to_database(matched, photographs, options=SMALL).extracted == 0
    assert "of another size than when extracted (--overwrite extracts again): 1 photograph (b c.png)" in caplog.text
    summary = extract_to_database(matched, photographs, options=SMALL, overwrite=True)
    assert (summary.extracted, summary.skipped) == (3, {})
    extract_to_database(tmp_path / "new.db", photographs, options=SMALL)
    assert contents(matched) == contents(tmp_path / "new.db")
    with MatchStore(matched) as store:
        cameras = {name: store.camera(image_id) for image_id, name in store.image_names().items()}
    assert (cameras["b c.png"].width, cameras["b c.png"].height) == (64, 80)
    with pycolmap.Database.open(matched) as colmap:
        assert colmap.num_cameras() == colmap.num_frames() == colmap.num_rigs() == 3


def test_a_photograph_replaced_by_a_broken_one_keeps_its_camera_and_features(photographs, matched):
    cv2.imwrite(str(photographs / "b c.png"), textured_picture(7, (64, 80)))
    cut(photographs / "b c.png")
    before = contents(matched)
    summary = extract_to_database(matched, photographs, options=SMALL, overwrite=True)
    assert list(summary.skipped) == ["b c.png"]
    assert contents(matched)["keypoints"]["b c.png"] == before["keypoints"]["b c.png"]


@pytest.mark.slow
def test_a_stopped_run_of_one_part_is_not_taken_for_one_of_another(tmp_path, photographs, monkeypatch):
    database, counts = tmp_path / "db.db", []
    extract_to_database(database, photographs, options=TINY)
    with monkeypatch.context() as patched:
        stop_at(patched, "a.jpg")
        with pytest.raises(KeyboardInterrupt):
            extract_to_database(database, photographs, options=TINY, overwrite=True, only=["[bs]*"])
    assert list(read_all(database)) == ["a.jpg", "b c.png"]
    for only in (["a.jpg"], ["a.jpg"], []):
        counts += [extract_to_database(database, photographs, options=TINY, overwrite=bool(only), only=only).extracted]
    assert counts == [1, 1, 1]
    assert list(read_all(database)) == ["a.jpg", "b c.png", "sub/a.jpg"]
