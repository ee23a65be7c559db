"""The tables and the plot of large sets."""

import json
import runpy
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks/large.py"


@pytest.fixture
def large(monkeypatch):
    monkeypatch.syspath_prepend(PROGRAM.parent)
    return runpy.run_path(str(PROGRAM), run_name="imported")


@pytest.mark.slow
def test_rows_are_printed_and_go_on_as_a_power_of_the_number_of_images(large, tmp_path, monkeypatch, capsys):
    rows = [
        large["Row"](
            label="town",
            images=images,
            cpu_s=images**2 / 100,
            clock_s=images,
            peak_bytes=1e6 * (images + 50),
            in_model=9,
        )
        for images in (300, 100)
    ]
    results, plot = tmp_path / "rows.jsonl", tmp_path / "plot.png"
    results.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows))
    monkeypatch.setattr(sys, "argv", ["large.py", "show", str(results), "--to", "200", "3000", "--plot", str(plot)])
    large["main"]()
    _, first, second, further = (line.split() for line in capsys.readouterr().out.strip().splitlines())
    assert (first[:4], second[:4]) == (["100", "100", "100", "150"], ["300", "900", "300", "350"])
    assert further[:4] == ["3000", "~90000", "~3000", "~3000"]
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_small_street_is_mapped_and_compared_with_the_truth(large, tmp_path):
    settings = large["Settings"](images=24, scene="street", points=60)
    truth = large["write_synthetic"](tmp_path / "db.db", settings)
    (tmp_path / "truth").mkdir()
    large["write_model"](truth, tmp_path / "truth")
    row = large["mapped"](tmp_path / "db.db", tmp_path / "truth", large["Mapper"].INCREMENTAL, 1)
    assert (row.images, row.in_model) == (24, 24)
    assert 0 < row.rotation_deg[0] <= row.rotation_deg[1] < 0.5
    assert row.cpu_s > 0
    assert row.peak_bytes > 1e7
