"""Evaluations that are drawn: what can't be written is told before the work, and what was found is printed first."""

import errno

import pytest
from support.synthetic_model import synthetic

from d2sfm.cli import main

KINDS = (["poses", "none", "none"], ["localization", "none", "none"], ["pairs", "none"], ["hpatches", "none"])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind[0])
@pytest.mark.parametrize(
    ("plot", "message"),
    [
        ("curves.jpg", "pictures are written as .png, found curves.jpg"),
        ("gone/curves.png", "curves.png can't be written: no folder gone"),
    ],
)
def test_a_plot_that_cannot_be_written_is_told_before_the_work(tmp_path, monkeypatch, capsys, kind, plot, message):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *kind, "--plot", plot]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith(message)


def test_results_are_printed_also_if_the_plot_fails(tmp_path, monkeypatch, capsys):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    synthetic().write_binary(tmp_path)
    monkeypatch.setattr("d2sfm.plots.canvas.save_image", full)
    assert main(["evaluate", "poses", str(tmp_path), str(tmp_path), "--plot", str(tmp_path / "curves.png")]) == 2
    found = capsys.readouterr()
    assert "with a pose" in found.out
    assert "No space left on device" in found.err
