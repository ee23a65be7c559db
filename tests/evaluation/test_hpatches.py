import json
import math
import shutil

import numpy as np
import pytest
from support.plane_views import apply, plane_views
from support.sequences import write_sequence

from d2sfm.cli import main
from d2sfm.evaluation import hpatches
from d2sfm.evaluation.hpatches import accuracy_of_weights, evaluate_hpatches
from d2sfm.features.extractor import Extractor
from d2sfm.options import ComparisonOptions, ExtractionOptions
from d2sfm.photographs.reading import load_photograph
from d2sfm.plots.canvas import save_image

NO_SIFT = ComparisonOptions(sift=False, refine=False)
FEW = ExtractionOptions(max_keypoints=60)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with two sequences of three and two pictures."""
    root = tmp_path_factory.mktemp("sequences")
    write_sequence(root / "v_near", plane_views(0, scale=1.05, count=3, size=(112, 84)))
    write_sequence(root / "i_far", plane_views(1, scale=1.0, count=2, size=(96, 72)))
    return root


def plain_accuracy(folder, pairs, options, half_px):
    """Means over pairs of what is counted match by match: (features, matches, [10])."""
    extractor, counted, features = Extractor(options), [], []
    for number, suffixes in pairs:
        a, b = (extractor.extract(folder / name) for name in ("1.ppm", f"{number}.{suffixes}"))
        similarity = a.descriptors.astype(float) @ b.descriptors.T.astype(float)
        homography, right, count = np.loadtxt(folder / f"H_1_{number}"), [0] * 10, 0
        for i in range(len(a)):
            j = similarity[i].argmax()
            if similarity[:, j].argmax() != i:
                continue
            (x, y), (u, v) = a.keypoints[i, :2] - half_px, b.keypoints[j, :2] - half_px
            p, q, w = homography @ (float(x), float(y), 1.0)
            count += 1
            for limit in range(10):
                right[limit] += math.hypot(p / w - u, q / w - v) <= limit + 1
        counted.append([count, *(each / count for each in right)])
        features += [len(b)] if features else [len(a), len(b)]
    return np.mean(features), np.mean([each[0] for each in counted]), np.mean([each[1:] for each in counted], axis=0)


@pytest.mark.usefixtures("narrow_network")
@pytest.mark.parametrize(
    ("convention", "half_px", "scales"),
    [("colmap", 0.5, (1.0,)), ("reference", 0.0, (1.0,)), pytest.param("colmap", 0.5, (1, 2), marks=pytest.mark.slow)],
)
def test_figures_are_those_of_a_plain_evaluation(root, convention, half_px, scales):
    options = ExtractionOptions(max_keypoints=40, convention=convention, scales=scales)
    [method] = evaluate_hpatches(root, options=options, comparison=NO_SIFT).methods
    near = plain_accuracy(root / "v_near", [(2, "png"), (3, "ppm")], options, half_px)
    far = plain_accuracy(root / "i_far", [(2, "png")], options, half_px)
    for found, (features, matches, accuracy) in zip((method.groups["v"], method.groups["i"]), (near, far), strict=True):
        assert (found.features, found.matches) == pytest.approx((features, matches))
        assert found.accuracy == pytest.approx(accuracy)
    assert 0 < near[2][2] < near[2][9] < 1
    together = method.groups["all"]
    assert together.pairs == 3
    assert together.features == pytest.approx((3 * near[0] + 2 * far[0]) / 5)  # of each picture, and below of each pair
    assert together.accuracy == pytest.approx((2 * near[2] + far[2]) / 3)
    assert method.sequences == {"i_far": method.groups["i"], "v_near": method.groups["v"]}


@pytest.mark.usefixtures("narrow_network")
def test_all_matches_stay_where_some_are_refined(root, monkeypatch):
    """Those that agree with a homography are put to where the keypoint of the first picture really lies."""
    truth, agreeing = np.loadtxt(root / "i_far" / "H_1_2"), []

    def exact(a, b, matches):
        agreeing.append(len(matches))
        return apply(truth, a.features.keypoints[matches[:, 0], :2] - 0.5) + 0.5

    monkeypatch.setattr(hpatches, "align_matches", exact)
    comparison = ComparisonOptions(sift=False, max_error=4)
    plain, refined = evaluate_hpatches(root, options=FEW, comparison=comparison, only=["i_far"]).methods
    before, after = plain.groups["all"], refined.groups["all"]
    assert 4 <= agreeing[0] < before.matches
    assert after.matches == before.matches
    # Within 1 px are those that were moved, and what the homography did not explain, of all.
    assert after.accuracy[0] * after.matches == pytest.approx(agreeing[0], abs=2)
    assert after.accuracy[0] >= agreeing[0] / after.matches
    assert refined.name == "D2, refined"


@pytest.mark.usefixtures("narrow_network")
def test_the_published_frame_is_not_refined(root, caplog):
    options = ExtractionOptions(max_keypoints=20, convention="reference")
    with caplog.at_level("INFO"):
        result = evaluate_hpatches(root, options=options, comparison=ComparisonOptions(sift=False), only=["i_*"])
    assert [method.name for method in result.methods] == ["D2"]
    assert "matches are not refined: that needs --convention colmap" in caplog.text


@pytest.mark.usefixtures("narrow_network")
def test_sift_is_at_its_best(root, monkeypatch):
    """Here the homography is right where there are fewer matches than all, and 2 px are allowed."""
    mutual_counts = []
    monkeypatch.setattr(hpatches, "RATIOS", (None, 0.5))

    def estimate(xy_a, xy_b, max_error):
        mutual_counts.extend([len(xy_a)] * (max_error == 0.5 and not mutual_counts))
        is_right = max_error == 2.0 and len(xy_a) < mutual_counts[0]
        return (truth if is_right else None), np.zeros(len(xy_a), bool)

    truth = np.loadtxt(root / "i_far" / "H_1_2")
    monkeypatch.setattr("d2sfm.evaluation.homographies.estimated", estimate)
    comparison = ComparisonOptions(refine=False)
    _, mutual, best = evaluate_hpatches(root, options=FEW, comparison=comparison, only=["i_far"]).methods
    assert (mutual.ratio, mutual.groups["all"].homography) == (None, (0.0, 0.0, 0.0))
    assert (best.ratio, best.max_error, best.groups["all"].homography) == (0.5, 2.0, (1.0, 1.0, 1.0))
    assert best.groups["i"].matches < mutual.groups["i"].matches


@pytest.mark.slow
def test_refined_matches_are_right_more_often(root):
    """By the whole network; SIFT finds the homography of a wall that is turned by a few degrees, too."""
    result = evaluate_hpatches(root, only=["v_near"])
    plain, refined, sift = (method.groups["all"] for method in result.methods[:3])
    assert refined.accuracy[0] > plain.accuracy[0] + 0.2
    assert refined.homography[2] == sift.homography[2] == 1
    assert "RootSIFT's ratio and error are the best on these very pairs" in str(result)


@pytest.mark.usefixtures("narrow_network")
def test_training_gets_figures_of_the_weights_in_a_file(root, tmp_path, narrow_weights):
    (tmp_path / "i_far").symlink_to(root / "i_far")
    figures = accuracy_of_weights(tmp_path, "caffe")(narrow_weights)
    [method] = evaluate_hpatches(tmp_path, comparison=NO_SIFT).methods
    assert figures["all 3 px"] == method.groups["all"].accuracy[2]
    assert figures["i 10 px"] == method.groups["i"].accuracy[9]
    with pytest.raises(FileNotFoundError, match="no such folder of sequences"):
        accuracy_of_weights(root / "none", "caffe")


@pytest.mark.usefixtures("narrow_network")
def test_every_option_is_taken_and_the_object_has_the_figures(root, tmp_path, capsys):
    every = [
        *("--refined-error", "2", "--max-error", "6", "--no-refine", "--no-sift", "--quiet", "--weights", "d2_ots"),
        *("--max-edge", "96", "--max-sum-edges", "160", "--max-keypoints", "40", "--border", "3", "--no-relu"),
        *("--preprocessing", "caffe", "--precision", "float32", "--device", "cpu", "--tile-size", "64"),
        *("--memory-limit", "1", "--convention", "colmap", "--orientation", "exif", "--stretch", "none"),
        *("--scales", "0.5", "1", "--only", "i_*", "v_*", "--leave-out", "v_*", "--json"),
    ]
    assert main(["evaluate", "hpatches", str(root), *every]) == 0
    [method] = json.loads(capsys.readouterr().out)["results"]["hpatches"]["methods"]
    assert (method["name"], method["max_error"], list(method["sequences"])) == ("D2", 6.0, ["i_far"])
    assert len(method["groups"]["all"]["accuracy"]) == 10


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_network")
def test_a_table_and_curves(root, tmp_path, capsys):
    plot = tmp_path / "curves.png"
    arguments = ["evaluate", "hpatches", str(root), "--multiscale", "--max-keypoints", "60", "--plot", str(plot)]
    assert main([*arguments, "--verbose"]) == 0
    out = capsys.readouterr().out
    for label in ("v_near: D2", "i_far: D2, refined", "i: RootSIFT", "all: D2, refined", "2 sequences, 3 pairs"):
        assert label in out
    assert load_photograph(plot).shape == (420, 3 * 440, 3)


def test_one_line_tells_what_is_wrong(root, tmp_path, capsys):
    assert main(["evaluate", "hpatches", str(tmp_path), "--mirror", "http://127.0.0.1/", "--weights", "d2_tf"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "holds no sequences" in line


@pytest.mark.usefixtures("narrow_network")
def test_a_picture_that_is_too_small_is_named(root, tmp_path):
    shutil.copytree(root / "i_far", tmp_path / "i_far")
    save_image(tmp_path / "i_far" / "1.png", np.zeros((6, 6, 3), np.uint8))
    (tmp_path / "i_far" / "1.ppm").unlink()
    with pytest.raises(ValueError, match=r"i_far/1\.png: picture of 6 x 6 px is"):
        evaluate_hpatches(tmp_path, comparison=NO_SIFT)
