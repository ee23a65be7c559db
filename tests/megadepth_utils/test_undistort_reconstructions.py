import logging
import shutil
from pathlib import Path

import pytest
from support.megadepth_scene import MegaDepthScene, write_megadepth_scene

from d2sfm.undistortion.output import MARKER
from megadepth_utils import undistort_reconstructions as command
from megadepth_utils.undistortion import SceneState, scene_state

DENSE = Path("phoenix/S6/zl548/MegaDepth_v1")


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> MegaDepthScene:
    return write_megadepth_scene(tmp_path_factory.mktemp("megadepth"), views=2, size=(160, 120))


@pytest.fixture
def root(original, tmp_path) -> Path:
    """MegaDepth with the scenes 0000, 0001 and 0002, which are all the same."""
    for scene_id in ("0000", "0001", "0002"):
        for parent in (Path("MegaDepth_v1_SfM"), DENSE):
            shutil.copytree(original.root / parent / "0000", tmp_path / parent / scene_id)
    return tmp_path


def run(root: Path, *arguments: str) -> int:
    return command.main(["--base-path", str(root), *arguments])


def states(root: Path) -> list[SceneState]:
    return [scene_state(root, scene_id) for scene_id in ("0000", "0001", "0002")]


@pytest.mark.slow
def test_all_scenes_and_none_twice(root, capsys):
    assert run(root) == 0
    assert states(root) == [SceneState.DONE] * 3
    captured = capsys.readouterr()
    assert captured.out == "scenes: 3 undistorted\n"
    assert captured.err == ""  # no bar where nobody watches
    before = [path.stat().st_ino for path in sorted((root / "Undistorted_SfM").rglob("*"))]
    assert run(root) == 0
    assert capsys.readouterr().out == "scenes: 0 undistorted, 3 done before\n"
    assert [path.stat().st_ino for path in sorted((root / "Undistorted_SfM").rglob("*"))] == before


@pytest.mark.slow
def test_chosen_scenes(root):
    assert run(root, "--scenes", "0002", "0000", "0002") == 0
    assert states(root) == [SceneState.DONE, SceneState.MISSING, SceneState.DONE]


@pytest.mark.slow
def test_overwrite_makes_scenes_again(root, capsys):
    run(root, "--scenes", "0001")
    before = (root / "Undistorted_SfM/0001").stat().st_ino
    assert run(root, "--scenes", "0001", "--overwrite") == 0
    assert (root / "Undistorted_SfM/0001").stat().st_ino != before


@pytest.mark.slow
def test_a_broken_scene_is_reported_and_the_others_are_made(root, capsys):
    shutil.rmtree(root / DENSE / "0000/dense0/imgs")
    (root / "MegaDepth_v1_SfM/0001/sparse/manhattan/0/images.bin").write_bytes(b"")
    assert run(root) == 1
    assert states(root) == [SceneState.MISSING, SceneState.MISSING, SceneState.DONE]
    captured = capsys.readouterr()
    assert captured.out == "scenes: 1 undistorted, 2 failed (0000, 0001)\n"
    first, second = captured.err.splitlines()
    assert first.startswith("error: scene 0000: no such folder of photographs: ")
    assert second.startswith("error: scene 0001: the model ")


@pytest.mark.slow
def test_a_folder_alone_is_not_a_scene_that_is_done(root, capsys):
    for part in ("0000/images", "0000/stereo", "0001"):
        (root / "Undistorted_SfM" / part).mkdir(parents=True)
    assert run(root) == 0
    assert capsys.readouterr().out == "scenes: 3 undistorted\n"
    assert states(root) == [SceneState.DONE] * 3


@pytest.mark.slow
def test_photographs_left_out_are_reported(root, capsys):
    (root / "MegaDepth_v1_SfM/0001/images/view_00.jpg").unlink()
    assert run(root) == 1
    captured = capsys.readouterr()
    assert captured.out == "scenes: 3 undistorted, 1 photograph left out\n"
    what = f"left out 1 of 2 photographs (all in {MARKER}); the first: view_00.jpg is missing"
    assert captured.err == f"warning: scene 0001: {what}\n"


@pytest.mark.slow
def test_undistorted_data_of_others_is_left_alone(root, capsys):
    run(root, "--scenes", "0000")
    (root / "Undistorted_SfM/0000" / MARKER).unlink()
    before = (root / "Undistorted_SfM/0000").stat().st_ino
    capsys.readouterr()
    assert run(root) == 1
    captured = capsys.readouterr()
    assert captured.out == "scenes: 2 undistorted, 1 failed (0000)\n"
    assert len(captured.err.splitlines()) == 1
    assert "was not made by this command" in captured.err
    assert "--overwrite" in captured.err
    assert (root / "Undistorted_SfM/0000").stat().st_ino == before
    assert run(root, "--overwrite") == 0
    assert states(root) == [SceneState.DONE] * 3


@pytest.mark.slow
def test_an_interrupt_keeps_what_is_finished_and_leaves_nothing_half_done(root, capsys, monkeypatch):
    real = command.undistort_scene

    def interrupted_at_the_second(base_path, scene_id, *arguments):
        if scene_id == "0001":
            (base_path / "Undistorted_SfM/.0001.unfinished/images").mkdir(parents=True)
            raise KeyboardInterrupt
        return real(base_path, scene_id, *arguments)

    monkeypatch.setattr(command, "undistort_scene", interrupted_at_the_second)
    assert run(root) == 130
    assert [path.name for path in (root / "Undistorted_SfM").iterdir()] == ["0000"]
    assert "the same command continues from there" in capsys.readouterr().err
    monkeypatch.undo()
    assert run(root) == 0
    assert capsys.readouterr().out == "scenes: 2 undistorted, 1 done before\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scenes", "0001", "0007", "0009"], "no scene 0007, 0009 in "),
        (["--num-threads", "0"], "num_threads must be 1 or more, or -1 for all, found 0"),
    ],
)
def test_bad_arguments(root, capsys, arguments, message):
    assert run(root, *arguments) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert len(errors.splitlines()) == 1
    assert states(root) == [SceneState.MISSING] * 3


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["MegaDepth_v1_SfM", "phoenix"])
def test_no_megadepth(root, capsys, missing):
    shutil.rmtree(root / missing)
    assert run(root) == 2
    assert f"no folder {root / missing}" in capsys.readouterr().err


@pytest.mark.slow
def test_megadepth_without_scenes(root, capsys):
    shutil.rmtree(root / "MegaDepth_v1_SfM")
    (root / "MegaDepth_v1_SfM").mkdir()
    assert run(root) == 2
    assert "no scenes in" in capsys.readouterr().err


@pytest.mark.slow
def test_logging_is_left_as_it_was(root):
    run(root, "--scenes", "0000")
    assert logging.getLogger("megadepth_utils").handlers == []
