"""The shell script over all scenes, with a stand-in for Python, and once with the real one."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from support.undistorted_model import SEEN, write_undistorted_model

SCRIPT = Path(__file__).resolve().parents[2] / "megadepth_utils" / "preprocess_megadepth.sh"

# Notes its arguments, writes the scene's file, fails for scenes that are named bad*, is interrupted at stop*.
STAND_IN = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$6" in bad*) exit 2 ;; stop*) exit 130 ;; esac
mkdir -p "$8" && : > "$8/$6.npz"
"""


@pytest.fixture
def run(tmp_path):
    stand_in = tmp_path / "a python"
    stand_in.write_text(STAND_IN)
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    calls = tmp_path / "calls"
    environment = {**os.environ, "PYTHON": str(stand_in), "CALLS": str(calls)}

    def call(*arguments, **changes):
        calls.write_text("")
        done = subprocess.run(
            [SCRIPT, *map(str, arguments)], env={**environment, **changes}, capture_output=True, text=True, timeout=60
        )
        return done, calls.read_text().splitlines()

    return call


@pytest.fixture
def megadepth(tmp_path):
    root = tmp_path / "Mega Depth"
    for scene in ("0000", "0001", "with space", ".0002.partial"):
        (root / "Undistorted_SfM" / scene).mkdir(parents=True)
    return root


def test_every_scene_is_preprocessed_once(run, megadepth, tmp_path):
    out = tmp_path / "scene info"
    done, calls = run(megadepth, out)
    assert (done.returncode, done.stdout) == (0, "scenes: 3 preprocessed, 0 done before, 0 failed\n")
    start = f"-m megadepth_utils.preprocess_scene --base-path {megadepth} --scene-id"
    assert calls == [f"{start} {scene} --output-path {out}" for scene in ("0000", "0001", "with space")]
    (out / "0001.npz").unlink()
    done, calls = run(megadepth, out)
    assert (done.returncode, done.stdout) == (0, "scenes: 1 preprocessed, 2 done before, 0 failed\n")
    assert calls == [f"{start} 0001 --output-path {out}"]


def test_broken_scenes_are_listed_at_the_end_and_the_others_done(run, megadepth, tmp_path):
    for scene in ("bad one", "0000bad", "bad2"):
        (megadepth / "Undistorted_SfM" / scene).mkdir()
    done, calls = run(megadepth, tmp_path / "out")
    assert done.returncode == 1
    assert done.stdout == "scenes: 4 preprocessed, 0 done before, 2 failed\n"
    assert sorted(done.stderr.splitlines()) == ["failed: bad one", "failed: bad2"]  # in the locale's order
    assert len(calls) == 6


def test_an_interrupt_stops_the_run(run, megadepth, tmp_path):
    (megadepth / "Undistorted_SfM" / "stop").mkdir()
    done, calls = run(megadepth, tmp_path / "out")
    assert done.returncode == 130
    assert "interrupted" in done.stderr
    assert len(calls) == 3  # "with space" comes after it


@pytest.mark.parametrize("arguments", [(), ("one",), ("one", "two", "three")])
def test_wrong_arguments_are_exit_code_2(run, arguments):
    done, calls = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
    assert not calls


def test_a_megadepth_without_undistorted_scenes_is_exit_code_2(run, tmp_path):
    done, _ = run(tmp_path / "nothing", tmp_path / "out")
    assert done.returncode == 2
    assert "undistort_reconstructions" in done.stderr
    (tmp_path / "empty" / "Undistorted_SfM").mkdir(parents=True)
    done, _ = run(tmp_path / "empty", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.strip().endswith("has no scene")


@pytest.mark.slow
def test_with_the_real_command(run, tmp_path):
    root, out = tmp_path / "Mega Depth", tmp_path / "out"
    scene = root / "Undistorted_SfM" / "0000"
    write_undistorted_model(scene / "sparse")
    for name in SEEN:
        depth = root / "phoenix/S6/zl548/MegaDepth_v1/0000/dense0/depths" / f"{Path(name).stem}.h5"
        for path in (scene / "images" / name, depth):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (120, 80)).save(scene / "images" / name)
        depth.write_bytes(bytes(100 * 1024))
    (root / "Undistorted_SfM" / "0001").mkdir()
    paths = os.pathsep.join([str(SCRIPT.parents[1]), os.environ.get("PYTHONPATH", "")])
    done, _ = run(root, out, PYTHON=sys.executable, PYTHONPATH=paths)
    assert done.returncode == 1
    assert "no COLMAP model" in done.stderr
    assert done.stderr.endswith("failed: 0001\n")
    assert [path.name for path in out.iterdir()] == ["0000.npz"]
