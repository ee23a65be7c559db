import numpy as np
import pytest
from support.feature_database import descriptors_of_place, write_feature_database

from d2sfm.database import FeatureStore, MatchStore
from d2sfm.matching.settings import Threshold, allowed_error, note_settings, of_refined, pair_threshold_px
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
    factors = {1: 2.0, 2: 3.5, 3: 0.5}
    wide, limited = Threshold(4.0), Threshold(4.0, 9.0)
    assert [pair_threshold_px(wide, factors, pair) for pair in ((1, 2), (2, 1), (1, 3))] == [14, 14, 8]
    assert [pair_threshold_px(wide, factors, pair) for pair in ((3, 9), (8, 9))] == [4, 4]  # without a factor it is 1
    assert [pair_threshold_px(limited, factors, pair) for pair in ((1, 2), (1, 3))] == [9, 8]  # never more than asked


def test_the_allowed_error_is_the_noted_one(features):
    assert allowed_error(features) == Threshold(VerificationOptions().max_error)
    note_settings(features, {"max_error": 6.0})
    assert allowed_error(features) == Threshold(6)


def test_the_first_settings_are_noted_and_others_said(features):
    assert note_settings(features, {"ratio": 0.9}) == ""
    assert note_settings(features, {"ratio": 0.8, "max_error": 4.0}) == "ratio 0.9 (now 0.8)"
    assert note_settings(features, {"ratio": 0.9, "max_error": 3.0}) == "max_error 4.0 (now 3.0)"


def test_where_nothing_is_refined_the_options_hold(features):
    options = VerificationOptions(max_error=6.0)
    assert of_refined(features, options) == Threshold(6.0)
    assert of_refined(features, None) is None
