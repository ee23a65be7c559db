import cv2
import numpy as np
import pycolmap
import pytest
from support.dotted_scene import CAMERAS, write_dotted_scene

from d2sfm.cli import main


@pytest.fixture
def scene(tmp_path, monkeypatch):
    write_dotted_scene(tmp_path, {name: CAMERAS[name] for name in ("left/a.png", "b.png")})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments) -> int:
    return main(["undistort", "model", "--images", "photos", *arguments])


def test_the_command(scene, capsys):
    assert run() == 0
    captured = capsys.readouterr()
    assert captured.out == "undistort: 2 photographs without distortion in undistorted (colmap)\n"
    assert captured.err == ""
    assert run() == 0
    assert capsys.readouterr().out.endswith(", 2 there already\n")
    assert run("--layout", "3DGS", "--max-edge", "100", "--output", "splats") == 0
    for camera in pycolmap.Reconstruction(scene / "splats/sparse/0").cameras.values():
        assert max(camera.width, camera.height) == 100


def test_exit_codes_and_lines(scene, capsys):
    (scene / "photos/b.png").unlink()
    (scene / "photos/other.jpg").touch()
    assert run() == 1
    errors = capsys.readouterr().err.splitlines()
    assert errors == ["not in the model, and left out: other.jpg", "warning: skipped b.png: is missing"]
    assert run("--max-edge", "100") == 2
    [line] = capsys.readouterr().err.splitlines()[1:]
    assert line.endswith("give --overwrite or another --output")
    assert run("--max-edge", "0") == 2
    assert "max_edge must be 1 px or more, found 0" in capsys.readouterr().err
    assert main(["undistort", "--model", "nowhere", "--images", "photos"]) == 2
    assert "no COLMAP model in nowhere" in capsys.readouterr().err
    assert run("--masks", "nowhere") == 2
    assert "no folder of masks nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("layout", ["colmap", "3dgs", "nerfstudio"])
def test_a_masked_picture_of_no_photograph(scene, layout, capsys):
    (scene / "masks").mkdir()
    assert run("--masks", "masks", "--layout", layout) == 2
    assert "masks has no mask of any photograph" in capsys.readouterr().err


def test_less_or_more_is_said_on_request(scene, capsys):
    (scene / "photos/other.jpg").touch()
    assert run("--quiet", "--num-threads", "1") == 0
    assert capsys.readouterr() == ("", "")
    assert run("--verbose") == 0
    assert "not in the model, and left out: other.jpg" in capsys.readouterr().err


def test_an_output_of_other_options_is_replaced_on_request(scene, capsys):
    black = np.zeros((60, 80), np.uint8)
    black[:, :40] = 255
    cv2.imwrite(str(scene / "left_half.png"), cv2.resize(black, (240, 180), interpolation=cv2.INTER_NEAREST))
    assert run("--quiet") == 0
    assert not (scene / "undistorted/masks").exists()
    assert run("--overwrite", "--camera-mask", "left_half.png") == 0
    assert sorted(path.name for path in (scene / "undistorted/masks").rglob("*.png")) == ["a.png.png", "b.png.png"]
    capsys.readouterr()
    assert run("--overwrite", "--max-megapixels", "0.01") == 2
    assert "0.0432 megapixels: --max-megapixels allows 0.01" in capsys.readouterr().err
