import argparse
from dataclasses import dataclass, fields

import pytest
from support.option_classes import ALL_OPTIONS

from d2sfm.cli import make_parser
from d2sfm.commands.arguments import add_options, parse_options
from d2sfm.options import Convention, ExtractionOptions
from d2sfm.options.fields import Options, option


def parse(kind, *argv):
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser, kind)
    return parse_options(kind, parser.parse_args(argv))


@pytest.mark.parametrize("kind", ALL_OPTIONS)
def test_no_arguments_give_the_defaults(kind):
    assert parse(kind) == kind()


@pytest.mark.parametrize("kind", ALL_OPTIONS)
def test_every_option_has_help_and_a_flag(kind):
    parser = argparse.ArgumentParser()
    add_options(parser, kind)
    text = parser.format_help()
    for field in fields(kind):
        assert field.name.rstrip("_").replace("_", "-") in text
        assert field.metadata["help"]


@pytest.mark.parametrize("kind", ALL_OPTIONS)
def test_the_group_has_the_title_of_the_class(kind):
    parser = argparse.ArgumentParser()
    add_options(parser, kind)
    assert f"\n{vars(kind)['TITLE']}:\n" in parser.format_help()


def test_values_of_each_type_arrive():
    argv = "--scales 0.5 2 --max-edge 0 --max-keypoints 10 --no-relu --convention reference --weights a.pth"
    parsed = parse(ExtractionOptions, *argv.split())
    assert parsed.scales == (0.5, 2.0)
    assert parsed.max_edge == 0
    assert parsed.max_keypoints == 10
    assert parsed.relu is False
    assert parsed.convention is Convention.REFERENCE
    assert parsed.weights == "a.pth"


def test_a_false_default_becomes_a_positive_switch():
    @dataclass(frozen=True, kw_only=True)
    class Switched(Options):
        TITLE = "a switch"

        text: bool = option(False, help="write text, too")

    assert parse(Switched, "--text").text is True
    assert parse(Switched).text is False


@pytest.mark.parametrize(
    "argv", [["--convention", "other"], ["--max-edge", "x"], ["--max-edge", "-1"], ["--scales", "0"]]
)
def test_bad_values_are_refused(argv):
    with pytest.raises((argparse.ArgumentError, ValueError)):
        parse(ExtractionOptions, *argv)


@pytest.mark.parametrize("parser", make_parser().below, ids=lambda each: each.prog)
def test_help_fits_80_columns(parser, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, parser.format_help().splitlines())) <= 80
