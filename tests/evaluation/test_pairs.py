"""Hard pairs from pictures to scores, against the steps one by one."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image
from support.hard_pairs import write_hard_pairs, write_list

from d2sfm.cli import main
from d2sfm.evaluation import pairs as hard_pairs
from d2sfm.evaluation.pair_results import AUC_DEG
from d2sfm.evaluation.pairs import evaluate_pairs, scores_of_weights
from d2sfm.evaluation.root_sift import ERRORS_PX, RATIOS, root_sift
from d2sfm.evaluation.two_view import CONFIDENCE, MAX_NUM_TRIALS, share_within
from d2sfm.features.extractor import Extractor
from d2sfm.options import DescriptorDtype, ExtractionOptions, PairEvaluationOptions
from d2sfm.photographs.reading import load_photograph

pytestmark = pytest.mark.usefixtures("narrow_network")

FEW = ExtractionOptions(precision="float32", max_keypoints=80)
D2_ALONE = PairEvaluationOptions(sift=False)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_hard_pairs(tmp_path_factory.mktemp("pairs"))


def mutual(a, b, ratio=None):
    """Mutual nearest neighbours, and the ratio test of either side."""
    distance = np.linalg.norm(a[:, None].astype(float) - b[None].astype(float), axis=2)
    found = []
    for i, j in enumerate(distance.argmin(1)):
        both = (np.sort(distance[i])[:2], np.sort(distance[:, j])[:2])
        if distance[:, j].argmin() == i and (ratio is None or all(best < ratio * second for best, second in both)):
            found.append((i, j))
    return np.array(found).reshape(-1, 2)


def shares(xy_a, xy_b, matches, error_px, points):
    if len(matches) < 8:
        return np.zeros(20)
    of_a, of_b = xy_a[matches[:, 0]].astype(float), xy_b[matches[:, 1]].astype(float)
    matrix, _ = cv2.findFundamentalMat(of_a, of_b, cv2.USAC_MAGSAC, error_px, CONFIDENCE, MAX_NUM_TRIALS)
    return share_within(points, matrix)


@pytest.mark.slow
def test_figures_are_those_of_the_steps(root):
    found = evaluate_pairs(root, extraction=FEW)
    assert found.names == ("A/near", "A/same", "B/last")
    extractor, ours, theirs = Extractor(FEW, DescriptorDtype.FLOAT16), [], {}
    for name in found.names:
        pictures, points = [root / name / f"0{number}.png" for number in (1, 2)], np.loadtxt(root / name / "corrs.txt")
        a, b = map(extractor.extract, pictures)
        matches = mutual(a.descriptors, b.descriptors)
        ours.append(shares(a.keypoints[:, :2] - 0.5, b.keypoints[:, :2] - 0.5, matches, 4.0, points))
        sift = [root_sift(np.array(Image.open(picture).convert("L")), 8000) for picture in pictures]
        for ratio in RATIOS:
            matches = mutual(sift[0][1], sift[1][1], ratio)
            for error in ERRORS_PX:
                theirs.setdefault((ratio, error), []).append(shares(sift[0][0], sift[1][0], matches, error, points))
    assert found.methods["D2"].within == tuple(tuple(each) for each in np.array(ours).tolist())
    scores = found.methods["D2"].scores
    assert scores["mAA 1-10 px"] == pytest.approx(np.array(ours)[:, :10].mean())
    assert scores["mAA 1-20 px"] == pytest.approx(np.array(ours).mean())
    best = max(np.array(each)[:, :10].mean() + np.array(each).mean() for each in theirs.values())
    assert sum(found.methods["SIFT"].scores.values()) == pytest.approx(best)
    assert "the best of 16 such settings on these pairs" in str(found)
    assert 0.3 < scores["mAA 1-10 px"] < 1


@pytest.mark.slow
def test_a_half_is_part_of_the_whole(root):
    whole = evaluate_pairs(root, extraction=FEW, options=D2_ALONE)
    half = evaluate_pairs(root, extraction=FEW, options=PairEvaluationOptions(sift=False, half="second"))
    assert half.names == whole.names[1::2]
    assert half.methods["D2"].within == whole.methods["D2"].within[1::2]


def test_poses_of_a_list(root):
    found = evaluate_pairs(write_list(root), extraction=FEW, options=D2_ALONE).methods["D2"]
    assert found.within is None
    assert len(found.error_deg) == 3
    recalls = np.arange(1, 4) / 3
    for limit in AUC_DEG:  # by trapezoids, as SuperGlue's evaluation does
        errors = np.sort(found.error_deg)
        count = np.searchsorted(errors, limit)
        y = [0, *recalls[:count], recalls[count - 1] if count else 0]
        assert found.scores[f"AUC {limit:g} deg"] == pytest.approx(np.trapezoid(y, [0, *errors[:count], limit]) / limit)


@pytest.mark.slow
def test_turned_pictures_of_a_list_are_turned_for_the_network(root, monkeypatch):
    seen, described = [], hard_pairs._described
    monkeypatch.setattr(hard_pairs, "_described", lambda _, *key: seen.append(key) or described(_, *key))
    evaluate_pairs(write_list(root, turn=1), extraction=FEW, options=D2_ALONE)
    assert {(path.name, orientation) for path, orientation in seen} == {("01.png", 1), ("02.png", 8)}


@pytest.mark.slow
def test_rotations_are_found_where_they_are_asked_for(root, monkeypatch):
    seen, described = [], hard_pairs._described
    monkeypatch.setattr(hard_pairs, "_described", lambda _, *key: seen.append(key) or described(_, *key))
    evaluate_pairs(root / "A", extraction=ExtractionOptions(max_keypoints=80, orientation="auto"), options=D2_ALONE)
    assert {orientation for _, orientation in seen} <= {1, 3, 6, 8}
    assert len(seen) == 4


@pytest.mark.slow
@pytest.mark.parametrize("of_list", [False, True])
def test_more_of_guided_matches_agree(tmp_path, of_list):
    root, every = write_hard_pairs(tmp_path, ["A/large"], (320, 240)), ExtractionOptions()
    path = write_list(root) if of_list else root
    plain = evaluate_pairs(path, extraction=every, options=D2_ALONE).methods["D2"]
    options = PairEvaluationOptions(sift=False, guided=True)
    guided = evaluate_pairs(path, extraction=every, options=options).methods["D2"]
    [[before], [after]] = plain.inliers, guided.inliers
    assert after >= before > 30
    assert after / guided.matches[0] > before / plain.matches[0]
    assert of_list or after > before
    assert guided.settings.endswith("guided")


@pytest.mark.slow
def test_weights_are_scored(root, narrow_weights):
    expected = evaluate_pairs(root, options=D2_ALONE).methods["D2"].scores
    assert scores_of_weights(root, "caffe")(narrow_weights) == expected
    with pytest.raises(FileNotFoundError, match="no pairs"):
        scores_of_weights(root / "nowhere", "caffe")


@pytest.mark.slow
@pytest.mark.parametrize("of_list", [False, True])
def test_from_the_command_line(root, tmp_path, capsys, of_list):
    path, plot = write_list(root) if of_list else root, tmp_path / "curves.png"
    words = ["evaluate", "pairs", str(path), "--max-keypoints", "80", "--half", "first", "--plot", str(plot)]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert ("AUC 5 deg" in out, "mAA 1-10 px" in out) == (of_list, not of_list)
    assert "A/near" in out
    assert "A/same" not in out
    assert len(np.unique(load_photograph(plot).reshape(-1, 3), axis=0)) > 10
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["results"]["pairs"]
    assert list(found["methods"]) == ["D2", "SIFT"]
    assert len(found["names"]) == 2


@pytest.mark.slow
def test_a_broken_picture_is_one_line(tmp_path, capsys):
    root = write_hard_pairs(tmp_path, ["one"])
    (root / "one" / "02.png").write_bytes(b"no picture")
    assert main(["evaluate", "pairs", str(root), "--quiet", "--no-sift"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "02.png: " in line


@pytest.mark.slow
def test_training_evaluates_without_colmap():
    told = "import sys, d2sfm.evaluation.pairs; print('pycolmap' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout == "False\n"


def test_every_option_is_taken(root, monkeypatch, capsys):
    asked = {}
    monkeypatch.setattr(hard_pairs, "evaluate_pairs", lambda path, **named: asked.update(named, path=path))
    path = str(write_list(root))
    pairs = ("--images", str(root), "--max-error", "3", "--ratio", "0.9", "--guided", "--no-sift", "--half", "second")
    network = ("--weights", "d2_tf", "--mirror", "http://127.0.0.1/", "--preprocessing", "torch", "--no-relu")
    sizes = (
        "--scales",
        "0.5",
        "1",
        "--max-edge",
        "800",
        "--max-sum-edges",
        "0",
        "--border",
        "4",
        "--memory-limit",
        "1",
    )
    others = ("--convention", "colmap", "--orientation", "auto", "--stretch", "none", "--device", "cpu", "--verbose")
    arithmetic = ("--precision", "float32", "--tile-size", "16")
    assert main(["evaluate", "pairs", path, *pairs, *network, *sizes, *others, *arithmetic]) == 0
    assert asked["options"] == PairEvaluationOptions(max_error=3.0, ratio=0.9, guided=True, sift=False, half="second")
    extraction = asked["extraction"]
    assert (extraction.scales, extraction.border, extraction.max_sum_edges) == ((0.5, 1.0), 4, 0)
    assert (str(asked["path"]), str(asked["images"])) == (path, str(root))
    assert main(["evaluate", "pairs", path, "--multiscale", "--quiet"]) == 0
    assert asked["extraction"].scales == (0.5, 1.0, 2.0)
