"""The command d2sfm georeference, and its options."""

import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from support.placed_model import CENTRES, POINTS, off_truth, write_clicks, write_given, write_positions, write_priors

from d2sfm.cli import main, make_parser
from d2sfm.colmap import read_model

PAGE = Path(__file__).parents[2] / "docs/georeference.md"


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_given(tmp_path / "given")
    write_positions(tmp_path / "p.csv")
    write_clicks(tmp_path / "c.csv", is_geographic=False)
    return tmp_path


def georeference(*arguments):
    return main(["georeference", *map(str, arguments)])


@pytest.mark.parametrize("line", re.findall(r"^    (d2sfm .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
def test_commands_of_the_page_are_taken(line):
    arguments = shlex.split(line, comments=True)[1:]
    assert make_parser().parse_args(arguments).command == arguments[0]


def test_by_gps_of_the_default_database(work, capsys):
    write_priors(work / "db.db", {**CENTRES, "view_03.png": CENTRES["view_03.png"] + 700})
    assert georeference("given") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1].split()[0] == "view_03.png"
    assert said[1].endswith("left out")
    assert len(said) == len(CENTRES) + 2
    assert said[-1].startswith("georeference: georeferenced is in metres east, north and up of latitude 46.84")
    assert "9 of 10 positions of db.db agree, off by 0.00 m (median) to 0.00 m (largest), 1 left out" in said[-1]


def test_by_control_points_of_any_frame(work, capsys):
    assert georeference("--model", "given", "--control-points", "c.csv", "--output", "out") == 0
    assert off_truth(work / "out")[0] < 1e-6
    assert (
        "georeference: out is in the frame of the positions: 5 of 5 positions of c.csv agree" in capsys.readouterr().out
    )


def test_lengths_and_what_is_up(work, capsys):
    lines = [",".join(line.split(",")[:4]) for line in (work / "c.csv").read_text().splitlines()]
    (work / "clicks.csv").write_text("\n".join(lines))
    bars = []
    for a, b in ((0, 1), (2, 3)):
        bars += ["--scale-bar", f"P{a}", f"P{b}", np.linalg.norm(POINTS[a] - POINTS[b])]
    assert georeference("given", "--control-points", "clicks.csv", *bars, "--up", "--output", "out") == 0
    said = capsys.readouterr().out
    assert "scale bar P2 - P3" in said
    assert "georeference: out is in metres, z up, 5 times as large as it was" in said
    heights = {image.name: image.projection_center()[2] for image in read_model(work / "out").images.values()}
    spread = np.ptp(list(heights.values()))
    assert spread == pytest.approx(np.ptp([centre[2] for centre in CENTRES.values()]), rel=0.3)


def test_frames_thresholds_seeds_and_clouds(work, capsys):
    pytest.importorskip("pyproj")
    pytest.importorskip("laspy")
    common = ("given", "--positions", "p.csv", "--max-error-m", "2", "--seed", "3", "--quiet")
    assert georeference(*common, "--utm", "--output", "utm", "--cloud", "las") == 0
    assert georeference(*common, "--epsg", "32615", "--output", "code") == 0
    assert georeference("given", "--nadir", "--output", "nadir", "--quiet") == 0
    assert capsys.readouterr().out == ""
    frames = [json.loads(Path(folder, "georeference.json").read_text())["frame"] for folder in ("utm", "code")]
    assert frames[0] == frames[1]
    assert (work / "utm" / "points.las").exists()
    view = np.mean([image.viewing_direction() for image in read_model(work / "nadir").images.values()], axis=0)
    assert view / np.linalg.norm(view) == pytest.approx([0, 0, -1], abs=1e-6)  # as it was told, though it is not so


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["given", "--utm", "--epsg", "32615"], "--utm and --epsg name different frames: give one of them"),
        (["given", "--up", "--nadir"], "--up and --nadir contradict each other: give one of them"),
        (["given", "--max-error-m", "0"], "max_error_m must be above 0, found 0"),
        (["given", "--upright"], "--upright is for clicks: give --control-points"),
        (["given", "--scale-bar", "A", "B", "3"], "--scale-bar needs clicks of its two points"),
        (
            ["given", "--control-points", "c.csv", "--scale-bar", "A", "B", "3m"],
            "--scale-bar A B: expected a number of metres, found '3m'",
        ),
        (["given", "--control-points", "c.csv", "--upright"], "--upright needs the EXIF orientation of 7 photographs"),
        (["none", "--positions", "p.csv"], "no COLMAP model in none"),
        (["given", "--positions", "none.csv"], "no table none.csv"),
        (["given", "--images", "none"], "no folder of photographs none"),
        (["given"], "no database db.db"),
    ],
)
def test_what_can_not_be_is_one_line(work, capsys, arguments, message):
    assert georeference(*arguments, "--output", "out") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: d2sfm georeference: {message}")
    assert not (work / "out").exists()


def test_more_is_said(work, capsys):
    assert georeference("none", "--verbose", "--positions", "p.csv") == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_missing_extra_is_named(work, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyproj", None)
    assert georeference("given", "--positions", "p.csv", "--utm") == 2
    assert capsys.readouterr().err == 'error: d2sfm georeference: needs pyproj: pip install "d2sfm[geo]"\n'
