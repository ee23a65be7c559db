"""The options of d2sfm match that limit matches and verification, by what they leave in the database."""

import json
import shutil

import cv2
import pytest
from helpers import textured_picture

from d2sfm.cli import main
from d2sfm.database import FeatureStore, PairStore


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extracted")
    whole = textured_picture(3, (140, 96))
    (folder / "photographs").mkdir()
    for index in range(2):
        cv2.imwrite(str(folder / "photographs" / f"{index}.png"), whole[:, 20 * index : 20 * index + 96])
    assert main(["extract", "--images", str(folder / "photographs"), "--database", str(folder / "db.db")]) == 0
    return folder / "db.db"


def match(extracted, tmp_path, *options):
    """(matches, inliers, what is noted of the settings) of the one pair."""
    database = shutil.copy(extracted, tmp_path / "db.db")
    assert main(["match", "--database", str(database), *options]) == 0
    with PairStore(database) as store:
        [(_, _, matches, inliers)] = store.pairs_table()
    with FeatureStore(database) as store:
        return matches, inliers, json.loads(store.setting("match"))


@pytest.mark.parametrize("limit", [("--ratio", "0.6"), ("--max-distance", "0.5"), ("--min-similarity", "0.9")])
def test_limits_leave_fewer_matches_and_are_noted(extracted, tmp_path, limit):
    all_matches, _, _ = match(extracted, tmp_path)
    fewer, _, noted = match(extracted, tmp_path, *limit)
    assert 0 < fewer < all_matches
    option, value = limit
    assert noted[option.removeprefix("--").replace("-", "_")] == float(value)


def test_settings_of_verification_are_noted(extracted, tmp_path):
    options = ["--max-error", "3", "--min-inlier-ratio", "0.4", "--max-num-trials", "50", "--seed", "2"]
    _, inliers, noted = match(extracted, tmp_path, *options, "--verbose", "--device", "cpu")
    assert inliers >= 15
    expected = {"max_error": 3.0, "min_inlier_ratio": 0.4, "max_num_trials": 50, "seed": 2}
    assert noted | expected == noted


def test_a_pair_needs_so_many_inliers(extracted, tmp_path):
    matches, inliers, _ = match(extracted, tmp_path, "--min-num-inliers", "100000")
    assert matches > 0
    assert inliers == 0
