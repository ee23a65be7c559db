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
    assert capsys.readouterr().out.endswith(", 2 were there already\n")
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
    assert line.endswith("--overwrite replaces it, or give another --output")
    assert run("--max-edge", "0") == 2
    assert "max_edge must be 1 px or more, found 0" in capsys.readouterr().err
    assert main(["undistort", "nowhere", "--images", "photos"]) == 2
    assert "no COLMAP model in nowhere" in capsys.readouterr().err
    assert run("--masks", "nowhere") == 2
    assert "no folder of masks nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("layout", ["colmap", "3dgs", "nerfstudio"])
def test_a_masked_picture_of_no_photograph(scene, layout, capsys):
    (scene / "masks").mkdir()
    assert run("--masks", "masks", "--layout", layout) == 2
    assert "masks has no mask for any photograph" in capsys.readouterr().err
