import json

import numpy as np
import pycolmap
import pytest
from support.synthetic_model import synthetic

from d2sfm.cli import main
from d2sfm.evaluation.localization import evaluate_localization, evaluate_poses
from d2sfm.photographs.reading import load_photograph


def moved(pose, metres, degrees):
    """The pose of a camera that is so far along its own x axis, and turned around z by so much."""
    turned = pycolmap.Rotation3d(np.radians(degrees) * np.array([0, 0, 1.0]))
    return pycolmap.Rigid3d(turned, [-metres, 0, 0]) * pose


def write_list(path, poses):
    with path.open("w") as file:
        for name, pose in poses.items():
            x, y, z, w = pose.rotation.quat
            file.write(f"{name} {w} {x} {y} {z} {' '.join(map(str, pose.translation))}\n")
    return path


@pytest.fixture
def truth(tmp_path):
    """(folder of a true model, its poses by name, sorted)."""
    model = synthetic(num_frames=6)
    (tmp_path / "truth").mkdir()
    model.write_binary(tmp_path / "truth")
    found = {image.name: image.cam_from_world() for image in model.images.values()}
    return tmp_path / "truth", dict(sorted(found.items()))


def test_errors_and_shares_are_those_that_were_made(truth, tmp_path):
    folder, true = truth
    made = [(0.1, 1.0), (0.3, 0.1), (0.1, 3.0), (4.0, 9.0), (0.0, 11.0)]  # and the last one has no pose
    found = {
        name: moved(pose, metres, degrees) for (name, pose), (metres, degrees) in zip(true.items(), made, strict=False)
    }
    result = evaluate_localization(write_list(tmp_path / "poses.txt", found), folder)
    assert result.names == tuple(true)
    # Turned around its own axis, a camera at x goes along: what was made is of the camera after the turn.
    assert np.allclose(result.rotation_deg[:5], [degrees for _, degrees in made], atol=1e-6)
    assert np.allclose(result.centre[:5], [metres for metres, _ in made], atol=1e-9)
    assert result.rotation_deg[5] == result.centre[5] == np.inf
    assert result.placed == 5
    expected = {"0.25 m 2 deg": 1 / 6, "0.5 m 5 deg": 3 / 6, "5 m 10 deg": 4 / 6}
    assert result.within == pytest.approx(expected)
    assert result.median_centre == pytest.approx(0.2)
    assert "5 of 6 with a pose" in str(result)


def test_chosen_queries_alone_count(truth, tmp_path, capsys):
    folder, true = truth
    poses = write_list(tmp_path / "poses.txt", dict(list(true.items())[:2]))
    (tmp_path / "queries.txt").write_text("\n".join(list(true)[:3]))
    of_lists = [str(each) for each in (poses, folder, "--queries", tmp_path / "queries.txt", "--json")]
    assert main(["evaluate", "localization", *of_lists, "--verbose"]) == 0
    result = json.loads(capsys.readouterr().out)["results"]["evaluate"]
    assert result["names"] == list(true)[:3]
    assert result["within"]["0.25 m 2 deg"] == pytest.approx(2 / 3)
    assert result["centre"][2] is None


def test_a_model_is_aligned_before(truth, tmp_path):
    folder, _ = truth
    model = pycolmap.Reconstruction(folder)
    model.transform(pycolmap.Sim3d(3.0, pycolmap.Rotation3d([0.1, 0.2, 0.3]), [1, 2, 3]))
    gone = max(model.reg_image_ids())
    model.deregister_frame(model.images[gone].frame_id)
    (tmp_path / "model").mkdir()
    model.write_binary(tmp_path / "model")
    result = evaluate_poses(tmp_path / "model", folder)
    assert result.placed == 5
    assert sorted(result.centre)[4] < 1e-6
    assert result.within["0.25 m 2 deg"] == pytest.approx(5 / 6)
    assert len(result.auc) == 4


@pytest.mark.slow
def test_curves_are_drawn(truth, tmp_path, capsys):
    folder, _ = truth
    plot = tmp_path / "curves.png"
    assert main(["evaluate", "poses", str(folder), str(folder), "--plot", str(plot), "--verbose"]) == 0
    assert "6 of 6 with a pose" in capsys.readouterr().out
    picture = load_photograph(plot)
    assert picture.shape == (420, 1000, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "poses.txt holds no poses"),
        ("a.png 1 0 0 0 0 0\n", "line 1: expected name qw qx qy qz tx ty tz"),
        ("a.png 0 0 0 0 0 0 0\n", "line 1: expected name"),
        ("a.png 1 0 0 0 0 0 nan\n", "line 1: expected name"),
        ("a.png 1 0 0 0 0 0 0\na.png 1 0 0 0 0 0 0\n", "several poses of 1 image (a.png)"),
        ("a.png 1 0 0 0 0 0 0\n", "have no name in common"),
    ],
)
def test_what_is_wrong_with_a_list_is_said_in_one_line(truth, tmp_path, capsys, text, expected):
    (tmp_path / "poses.txt").write_text(text)
    assert main(["evaluate", "localization", str(tmp_path / "poses.txt"), str(truth[0]), "--quiet"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert expected in line


def test_names_in_other_folders_are_told(truth, tmp_path, capsys):
    folder, true = truth
    poses = write_list(tmp_path / "poses.txt", {f"query/{name}": pose for name, pose in true.items()})
    assert main(["evaluate", "localization", str(poses), str(folder)]) == 2
    assert "though base names are alike" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["evaluate", "--json", "poses"], ["evaluate", "poses", "--json"], ["evaluate", "--verbose", "poses"]]
)
def test_what_all_commands_have_may_stand_before_the_kind_or_behind_it(truth, capsys, words):
    assert main([*words, str(truth[0]), str(truth[0])]) == 0
    out = capsys.readouterr().out
    assert ("--json" in words) == out.startswith("{")
    if "--json" in words:
        found = json.loads(out)
        assert (found["command"], found["results"]["evaluate"]["names"]) == ("evaluate", list(truth[1]))


def test_less_is_said_where_it_is_asked_for(truth, capsys):
    for words in (["evaluate", "--quiet", "poses"], ["evaluate", "poses", "--quiet"]):
        assert main([*words, str(truth[0]), str(truth[0])]) == 0
        assert capsys.readouterr() == ("", "")
