"""The command lines of the benchmarks, which are programs that nothing imports."""

import argparse
import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


class Parsed(Exception):
    """Raised where a program would go to work."""


def parse_only(program: Path, arguments: list[str]) -> None:
    """Start a program with these arguments, and end it when its parser has taken them; SystemExit where it does not."""
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser: argparse.ArgumentParser, *given):
        raise Parsed(parse(parser, *given))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(program), *arguments])
        patch.syspath_prepend(BENCHMARKS)
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
        with pytest.raises(Parsed):
            runpy.run_path(str(program), run_name="__main__")
