"""Every option of every command: what --help says of it, and that a test gives it on a command line."""

import argparse
import ast
from functools import cache
from pathlib import Path

import pytest

from d2sfm.cli import make_parser

TESTS = Path(__file__).parents[1]
# What a number is, as --help shows it: N is a count or a seed, X a plain number without a unit.
UNITS = {"N", "X", "PX", "GB", "MP", "S", "M", "DEG", "ID", "LR"}


@cache
def parsers():
    """The parsers of the commands by name, those of their kinds among them."""
    return {each.prog.partition(" ")[2]: each for each in make_parser().below[1:]}


def options_of(parser):
    """(option as users write it, argparse's action) of a command, --help left out."""
    return [
        (action.option_strings[-1], action)
        for action in parser._actions
        if action.option_strings and not isinstance(action, argparse._HelpAction)
    ]


@cache
def help_of(command):
    return parsers()[command].format_help()


def takes_value(action):
    return action.nargs != 0


def is_required(parser, action):
    """Whether a run needs the option, or one of the group that it is in."""
    groups = [group for group in parser._mutually_exclusive_groups if group.required]
    return action.required or any(action in group._group_actions for group in groups)


OPTIONS = [(command, option) for command, parser in parsers().items() for option, _ in options_of(parser)]


def action_of(command, option):
    parser = parsers()[command]
    return parser, dict(options_of(parser))[option]


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_the_help_tells_what_it_does_its_unit_and_its_default(command, option):
    parser, action = action_of(command, option)
    assert action.help, f"{command} {option} has no help"
    assert option in help_of(command)
    if not takes_value(action):
        return
    assert action.metavar, f"{command} {option} shows no unit or kind of value: give a metavar"
    if action.type in (int, float):
        assert action.metavar in UNITS, f"{command} {option}: {action.metavar} is none of {sorted(UNITS)}"
    if not is_required(parser, action):
        assert "default:" in action.help, f"{command} {option} does not tell its default"


def words(tree):
    """Strings that stand in a list, a tuple or a call's arguments, and the names that are used."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.arg):  # a fixture
            found.add(node.arg)
        members = node.args if isinstance(node, ast.Call) else getattr(node, "elts", ())
        found |= {each.value for each in members if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    return found


def statements(path):
    """The words of each function and other statement of a file, with those of the file's functions that it names."""
    text = path.read_text(encoding="utf-8")
    if not any(f'"{command.split()[0]}"' in text for command in parsers()):  # parsing takes longer
        return
    body = ast.parse(text).body
    words_of = {each: words(each) for each in body}
    named = {each.name: words_of[each] for each in body if isinstance(each, ast.FunctionDef)}
    named |= {
        target.id: words_of[each]
        for each in body
        if isinstance(each, ast.Assign)
        for target in each.targets
        if isinstance(target, ast.Name)
    }
    for each in body:
        found, new = set(), words_of[each]
        while new:
            found |= new
            new = set().union(*(named.get(word, set()) for word in new)) - found
        yield found


@pytest.fixture(scope="module")
def given_together():
    """What each statement of the test files, but for this one, has in it."""
    files = [path for path in sorted(TESTS.rglob("test_*.py")) if path.name != Path(__file__).name]
    return [found for path in files for found in statements(path)]


@pytest.mark.parametrize("command", parsers())
def test_a_test_gives_each_option_on_the_commands_line(command, given_together):
    """By a test that has the command and the option among its arguments, itself or through the file's helpers."""
    given = set().union(*(found for found in given_together if found.issuperset(command.split())))
    missing = [option for of_command, option in OPTIONS if of_command == command and option not in given]
    assert not missing, f"no test runs d2sfm {command} with {', '.join(missing)}"
