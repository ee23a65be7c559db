"""The benchmarks and examples, which nothing else imports: what they import and look up is there."""

import runpy
from operator import attrgetter
from pathlib import Path

import pytest

from d2sfm.features import pyramid

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted([*ROOT.glob("benchmarks/*.py"), *ROOT.glob("examples/*.py")])


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_a_program_finds_what_it_imports(path, monkeypatch):
    if path.name == "report.py":
        pytest.importorskip("selenium")
    monkeypatch.syspath_prepend(path.parent)
    assert runpy.run_path(str(path), run_name="imported")["__doc__"]


def test_the_parts_that_speed_is_measured_of_are_there(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    parts = runpy.run_path(str(ROOT / "benchmarks/speed.py"), run_name="imported")["PARTS"]
    assert all(callable(attrgetter(name)(pyramid)) for name in parts)
