import json
from pathlib import Path

import numpy as np
import pytest
from support.feature_database import descriptors_of_place, write_feature_database
from support.verified_pair import write_verified_pair

from d2sfm.database import FeatureStore, MatchStore, Note, RefinementStore
from d2sfm.database.pair_ids import pair_ids
from d2sfm.matching.settings import (
    Threshold,
    Thresholds,
    note_refinement_alike,
    note_settings,
    noted_thresholds,
    thresholds_of,
    thresholds_told,
)
from d2sfm.options import VerificationOptions


@pytest.fixture
def features(tmp_path):
    """Of a database of two images with features and a pair."""
    descriptors = {f"{number}.jpg": descriptors_of_place(0, seed=number) for number in range(2)}
    path = write_feature_database(tmp_path / "db.db", descriptors)
    with MatchStore(path) as store:
        store.write(1, 2, np.zeros((0, 2), np.uint32))
    with FeatureStore(path) as opened:
        yield opened


def test_a_pairs_threshold_grows_with_the_larger_factor():
    wide, limited = (
        Thresholds(each, each, frozenset(), {1: 2.0, 2: 3.5, 3: 0.5}) for each in (Threshold(4.0), Threshold(4.0, 9.0))
    )
    assert [wide.of_pair_px(pair) for pair in ((1, 2), (2, 1), (1, 3))] == [14, 14, 8]
    assert [wide.of_pair_px(pair) for pair in ((3, 9), (8, 9))] == [4, 4]  # without a factor it is 1
    assert [limited.of_pair_px(pair) for pair in ((1, 2), (1, 3))] == [9, 8]  # never more than asked


def test_the_last_threshold_is_the_noted_one(features):
    assert noted_thresholds(features).common == Threshold(VerificationOptions().max_error)
    note_settings(features, {"max_error": 6.0})
    assert noted_thresholds(features).common == Threshold(6)


def test_the_first_settings_are_noted_and_others_said(features):
    assert note_settings(features, {"ratio": 0.9}) == ""
    assert note_settings(features, {"ratio": 0.8, "max_error": 4.0}) == "ratio 0.9 (now 0.8)"
    assert note_settings(features, {"ratio": 0.9, "max_error": 3.0}) == "max_error 4.0 (now 3.0)"


def test_where_nothing_is_refined_the_options_hold(features):
    options = VerificationOptions(max_error=6.0)
    thresholds = thresholds_told(features, options)
    assert thresholds.of_pair((1, 2)) == Threshold(6.0)
    assert not thresholds.new
    assert thresholds_told(features, None) is None


@pytest.mark.parametrize("inliers", [0, 3])
def test_a_pair_of_an_image_that_came_after_refinement_has_the_threshold_of_unrefined_keypoints(tmp_path, inliers):
    path = write_verified_pair(tmp_path / "db.db")
    with FeatureStore(path) as store:
        store.notes.note_match_settings({"max_error": 8.0})
    with RefinementStore(path) as store:
        store.replace({1: store.keypoints(1)[:, :2]}, {"max_error": 2.0, "max_error_px": 1.0})
        store._connection.rows(
            "INSERT INTO two_view_geometries (pair_id, rows, cols, config) VALUES (?, ?, 2, 3)",
            (int(pair_ids(1, 2)), inliers),
        )
    with FeatureStore(path) as store:
        assert store.later() == {"2.jpg": 2, "3.jpg": 3}
        assert store.later_in_pairs() == ({"2.jpg": 2} if inliers else {})
        assert store.later_in_pairs(without=["3.jpg"]) == store.later_in_pairs()
        assert store.later_in_pairs(without=["1.jpg"]) == store.later_in_pairs(without=["2.jpg"]) == {}
        thresholds = thresholds_of(store, VerificationOptions(max_error=7.0))
        told = thresholds_told(store, VerificationOptions())
        noted = noted_thresholds(store)
    assert noted.of_most(np.array([[1, 2]])) == (Threshold(8.0) if inliers else Threshold(2.0, 1.0))
    assert noted.of_pair((1, 1)) == Threshold(2.0, 1.0)  # whatever other pairs have
    assert [thresholds.of_pair(pair) for pair in ((1, 2), (2, 3))] == [Threshold(7.0)] * 2
    assert thresholds.of_pair((1, 1)) == told.common == Threshold(2.0, 1.0)


@pytest.mark.parametrize(("new", "is_wide"), [({}, False), ({4}, False), ({3, 4}, True), ({1, 2, 3, 4}, True)])
def test_a_model_has_the_threshold_of_refined_keypoints_if_most_images_in_pairs_are_refined(new, is_wide):
    wide, refined = Threshold(8.0), Threshold(2.0, 1.0)
    thresholds = Thresholds(refined, wide, frozenset({*new, 9}), {})  # no pair of the model has 9
    assert thresholds.of_most(np.array([[1, 2], [1, 3], [2, 4]])) == (wide if is_wide else refined)
    assert thresholds.of_most(np.zeros((0, 2))) == refined


def test_merging_forgets_that_keypoints_are_not_exact_as_the_whole_may_be():
    noted = {
        Path(name): {Note.REFINEMENT: json.dumps({"max_error": 2.0} | found)}
        for name, found in {"a.db": {"is_exact": False}, "b.db": {}, "c.db": {"is_exact": False}}.items()
    }
    note_refinement_alike(noted)
    assert [json.loads(each[Note.REFINEMENT]) for each in noted.values()] == [{"max_error": 2.0}] * 3
