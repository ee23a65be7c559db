"""What the library reference shows of options: all that ``--help`` tells, and values that a caller may write."""

import ast
from dataclasses import MISSING, fields
from enum import Enum
from pathlib import Path

import pytest

import d2sfm

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shown():
    """The public names of ``d2sfm.options`` as griffe sees them."""
    griffe = pytest.importorskip("griffe", reason="griffe comes with the extra for docs")
    extensions = griffe.load_extensions(ROOT / ".ci/reference.py")
    package = griffe.load("d2sfm.options", search_paths=[ROOT], extensions=extensions)
    return {name: package[name] for name, home in d2sfm._HOME.items() if home == "options"}


def test_every_option_and_every_choice_is_told(shown):
    for name, seen in shown.items():
        found, told = getattr(d2sfm, name), seen.docstring.value
        assert told.startswith(found.__doc__.splitlines()[0])
        if issubclass(found, Enum):
            assert all(f"`{each}`" in told for each in found)
        else:
            for each in fields(found):
                assert f"- `{each.name}`: " in told
                assert each.metadata["help"] in told


def test_defaults_are_values_that_an_option_takes(shown):
    for name, seen in shown.items():
        if not issubclass(found := getattr(d2sfm, name), Enum):
            given = {each.name: seen.parameters[each.name].default for each in fields(found)}
            needed = {each.name for each in fields(found) if each.default is MISSING}
            assert {each for each, default in given.items() if default is None} == needed
            values = {each: _value(default) for each, default in given.items() if default is not None}
            assert found(**values, **dict.fromkeys(needed, "x")) == found(**dict.fromkeys(needed, "x"))


def _value(default):
    return float("inf") if str(default) == "inf" else ast.literal_eval(str(default))
