"""What notebooks show of results."""

import base64

import cv2
import numpy as np
import pycolmap
import pytest
from support.feature_records import random_features

import d2sfm
from d2sfm.extraction.summary import ExtractionSummary
from d2sfm.localization.outcome import Pose
from d2sfm.mapping.quality import statistics
from d2sfm.mapping.reconstruct import ReconstructionResult
from d2sfm.matching.summary import MatchSummary
from d2sfm.skipped import Skipped

EVIL = '<img src=x onerror="y">\x1b[31m'


def test_a_summary_is_its_sentence_and_its_members():
    summary = MatchSummary(pairs=3000, already_there=0, verified=None, skipped=Skipped({EVIL: "is <b>broken</b>"}))
    html = summary._repr_html_()
    assert f">{summary!s}</pre>" in html
    assert "<th>pairs</th><td>3,000</td>" in html
    assert "<th>verified</th>" not in html  # there is none
    assert "<b>" not in html
    assert "<img" not in html
    assert "&lt;img src=x onerror=&quot;y&quot;&gt;\\x1b[31m: is &lt;b&gt;broken" in html


def test_a_record_without_a_sentence_shows_its_members():
    pose = Pose(
        cam_from_world=pycolmap.Rigid3d(),
        camera=pycolmap.Camera(model="SIMPLE_PINHOLE", width=4, height=3, params=[5, 2, 1.5]),
        inliers=31,
        points=30,
        error_px=0.123456,
        candidates=tuple("abcdef"),
        covariance=np.eye(6),
        xy=np.zeros((31, 2)),
        point_ids=np.zeros(31, int),
    )
    html = pose._repr_html_()
    assert "<details open>" in html
    for cells in (
        "inliers</th><td>31",
        "error_px</th><td>0.1235",
        "candidates</th><td>6 entries",
        "params</th><td>5, 2",
    ):
        assert cells in html


def picture_of(html):
    data = html.partition('src="data:image/png;base64,')[2].partition('"')[0]
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)


def test_features_are_drawn():
    features = random_features(0, count=30)
    picture = picture_of(features._repr_html_())
    assert picture.shape == (480, 640, 3)
    x, y = (features.keypoints[0, :2] * 4).astype(int)
    assert np.ptp(picture[y - 3 : y + 4, x - 3 : x + 4].astype(int)) > 100
    assert picture_of(random_features(0, count=0)._repr_html_()).shape == (480, 640, 3)


@pytest.mark.slow
def test_a_reconstruction_is_drawn_as_long_as_its_model_is_there(tmp_path):
    options = pycolmap.SyntheticDatasetOptions()
    options.num_frames_per_rig, options.num_points3D = 4, 50
    model = pycolmap.synthesize_dataset(options)
    (tmp_path / "0").mkdir()
    model.write_binary(tmp_path / "0")
    result = ReconstructionResult(
        models=(tmp_path / "0",), statistics=(statistics(model),), starts=(), kept=None, images=4, pairs=()
    )
    html = result._repr_html_()
    assert picture_of(html).shape == (760, 1600, 3)
    assert "reconstruct: " in html
    (tmp_path / "0").rename(tmp_path / "1")
    assert "<img" not in result._repr_html_()


@pytest.mark.parametrize(
    "name", ["Features", "Pose", "NotPlaced", "Picture", *("ExtractionSummary", "ReconstructionResult")]
)
def test_public_records_have_a_display(name):
    kind = {"ExtractionSummary": ExtractionSummary, "ReconstructionResult": ReconstructionResult}.get(name)
    kind = kind or getattr(d2sfm, name)
    assert hasattr(kind, "_repr_html_") or hasattr(kind, "_repr_png_")
