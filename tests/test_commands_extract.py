"""Every option of d2sfm extract that decides features, by what it leaves in the database."""

import json

import cv2
import numpy as np
import pytest
from helpers import textured_picture

from d2sfm.cli import main
from d2sfm.database import FeatureStore
from d2sfm.options import Convention


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), textured_picture(1, (120, 88)))
    return folder


def extract(photographs, database, *options):
    """(exit code, features, settings of the fingerprint)."""
    code = main(["extract", "--images", str(photographs), "--database", str(database), *map(str, options)])
    with FeatureStore(database) as store:
        return code, store.read("a.png"), json.loads(store.extracted()["a.png"])


def test_settings_of_the_network_are_in_the_fingerprint(photographs, tmp_path):
    options = ["--preprocessing", "torch", "--no-relu", "--precision", "bfloat16", "--multiscale", "--max-edge", "100"]
    code, features, settings = extract(photographs, tmp_path / "db.db", *options)
    assert code == 0
    assert features.scales == (0.5, 1, 2)
    assert features.input_size == (100, 73)
    expected = {"preprocessing": "torch", "relu": False, "precision": "bfloat16", "scales": [0.5, 1, 2]}
    assert settings | expected == settings


def test_limits_of_size_and_number(photographs, tmp_path):
    options = ["--max-sum-edges", "104", "--max-keypoints", "5", "--scales", "0.5", "1"]
    _, features, _ = extract(photographs, tmp_path / "db.db", *options)
    assert features.input_size == (60, 44)
    assert len(features) == 5
    assert features.scales == (0.5, 1)


def test_the_frame_of_keypoints(photographs, tmp_path):
    _, ours, _ = extract(photographs, tmp_path / "a.db")
    _, theirs, _ = extract(photographs, tmp_path / "b.db", "--convention", "reference")
    assert theirs.convention is Convention.REFERENCE
    np.testing.assert_allclose(ours.keypoints[:, :2] - theirs.keypoints[:, :2], 2.5, atol=1e-4)


def test_memory_does_not_change_features(photographs, tmp_path):
    _, plain, _ = extract(photographs, tmp_path / "a.db")
    code, bounded, _ = extract(photographs, tmp_path / "b.db", "--tile-size", "16", "--memory-limit", "0.3")
    assert code == 0
    np.testing.assert_allclose(bounded.keypoints, plain.keypoints, atol=1e-3)


def test_a_cache_without_room_stays_empty(photographs, tmp_path):
    extract(photographs, tmp_path / "a.db", "--cache", tmp_path / "none", "--cache-limit", "0")
    extract(photographs, tmp_path / "b.db", "--cache", tmp_path / "one", "--cache-limit", "1")
    assert list((tmp_path / "none").iterdir()) == []
    assert len(list((tmp_path / "one").iterdir())) == 1
