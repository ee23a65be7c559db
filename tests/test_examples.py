"""The programs and the notebook of the examples run as they stand, on small pictures and mostly a small network."""

import re
import runpy
import sys
from pathlib import Path

import cv2
import h5py
import pycolmap
import pytest
import torch
from support.helpers import textured_picture
from support.megadepth_scene import write_megadepth_scene
from support.small_scene import write_small_scene
from support.workspace import write_workspace

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOK = EXAMPLES / "quickstart.ipynb"
PROGRAMS = sorted(path.name for path in EXAMPLES.glob("*.py"))
SHOWN = {"image/png": 5, "text/html": 4}  # pictures, and results with their displays


def test_the_notebook_is_kept_without_what_a_run_left():
    nbformat = pytest.importorskip("nbformat", reason="nbformat is one of the extras for tests")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


@pytest.mark.slow
def test_the_notebook_runs_and_shows_its_results(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="nbclient and ipykernel are among the extras for tests")
    pytest.importorskip("ipykernel")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "error"] == []
    results = [output.data for output in outputs if output.output_type == "execute_result"]
    for kind, count in SHOWN.items():
        assert sum(kind in data for data in results) == count
    [mapped] = [data["text/html"] for data in results if "reconstruct: " in data.get("text/html", "")]
    assert "reconstruct: 6 of 6 images" in mapped
    assert "<img " in mapped


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a program of the examples; what it prints."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_is_short_and_tells_how_it_is_run(program):
    text = (EXAMPLES / program).read_text(encoding="utf-8")
    assert f"``python examples/{program} " in text.partition(":")[2].partition("\n")[0]
    assert len(text.splitlines()) <= 50
    assert f"`{program}`" in (EXAMPLES.parent / "docs/library.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_two_photographs_are_matched(run, tmp_path):
    photographs = write_small_scene(tmp_path / "photos", count=2, step_m=0.1)
    names = [photographs / "0.png", photographs / "1.png"]
    printed = run("match_two_photographs.py", *names, tmp_path / "matches.png")
    keypoints, _, matches = map(int, re.findall(r"\d+", printed))
    assert keypoints > matches > 100
    assert cv2.imread(str(tmp_path / "matches.png")).shape[1] >= 2 * 320


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_network")
def test_a_folder_becomes_a_model(run, tmp_path):
    photographs = write_small_scene(tmp_path / "photos")
    printed = run("model_of_a_folder.py", photographs, tmp_path / "model")
    assert [line.split(":")[0] for line in printed.splitlines()][:3] == ["extract", "match", "refine"]
    assert pycolmap.Reconstruction(tmp_path / "model/sparse/0").num_reg_images() == 5


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_network")
def test_hloc_gets_features_and_matches(run, tmp_path):
    photographs = write_small_scene(tmp_path / "photos", count=3)
    run("features_for_hloc.py", photographs, tmp_path / "exported", "--num-neighbours", 1)
    pairs = [line.split() for line in (tmp_path / "exported/pairs.txt").read_text().splitlines()]
    assert 2 <= len(pairs) <= 3
    with h5py.File(tmp_path / "exported/features.h5") as features:
        assert sorted(features) == ["0.png", "1.png", "2.png"]
        assert features["0.png/keypoints"].shape[1] == 2
    with h5py.File(tmp_path / "exported/matches.h5") as matches:
        assert (matches["/".join(pairs[0])]["matches0"][()] >= 0).sum() > 20


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_network")
def test_a_query_is_placed_and_another_place_is_not(run, tmp_path):
    photographs = write_small_scene(tmp_path / "photos")
    query = (photographs / "2.png").rename(tmp_path / "query.png")
    other = tmp_path / "other.png"
    cv2.imwrite(str(other), textured_picture(99, (320, 240)))
    printed = run("map_and_query.py", photographs, tmp_path / "map", query, other)
    placed, not_placed = printed.splitlines()[-2:]
    assert re.search(r"query\.png: at \S+ \S+ \S+, [2-9]\d+ keypoints agree", placed)
    assert "other.png: not placed, " in not_placed


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_training")
def test_one_trains_on_photographs_of_ones_own(run, tmp_path):
    scene = write_megadepth_scene(tmp_path / "megadepth", views=4, size=(352, 288), undistorted=True)
    workspace = write_workspace(scene, tmp_path / "dense")
    printed = run("train_on_your_own.py", workspace, tmp_path / "trained", "--epochs", 1, "--pairs", 3)
    assert "1 epoch, training loss " in printed
    assert torch.load(tmp_path / "trained/last.pth", weights_only=True)["model"]
