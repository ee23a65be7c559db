"""Command lines: options in several spellings, and one line for what is not an option."""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from d2sfm.console import EXIT_ERROR
from d2sfm.spelling import (
    COMMANDS_AFTER,
    COMMANDS_ELSEWHERE,
    LONG_DASHES,
    did_you_mean,
    done_otherwise,
    nearest,
    own_name,
    plain,
)
from d2sfm.text import printable

_MISSING = "the following arguments are required: "  # as argparse begins


class UsageError(SystemExit):
    """The arguments are wrong, as standard error was told: program and message of the line that it got."""

    def __init__(self, program: str, message: str):
        super().__init__(EXIT_ERROR)
        self.program, self.message = program, message


class Parser(argparse.ArgumentParser):
    """A parser that knows its options by other spellings, and ends with one line where arguments are wrong.

    An option may be cut short as long as it is only one's beginning. ``commands`` are those that were added to it, by
    name. What adds them also gives them to each of these, which then knows whose an option is that is not its own.
    ``elsewhere`` tells of such an option where else the command takes it, in words, or None.
    """

    elsewhere: Callable[[str], str | None] = staticmethod(lambda flag: None)

    def __init__(self, **settings):
        super().__init__(allow_abbrev=False, **settings)
        self.commands: Mapping[str, Parser] = {}
        self.register("type", int, _whole_number)
        self.register("type", float, _number)
        self.register("type", Path, _path)

    def add_subparsers(self, **settings):
        commands = super().add_subparsers(**settings)
        self.commands = commands.choices
        return commands

    def parse_known_args(self, args=None, namespace=None):
        """As argparse's, but nothing may be left over, and errors raise UsageError."""
        words = sys.argv[1:] if args is None else list(args)
        if self._subparsers is not None and not words:
            self.error(f"expected a command: {_listed(self.commands)} (--help tells what each does)")
        found, left_over = super().parse_known_args(self._spelt(words), namespace)
        if left_over:
            self.error(f"{left_over[0]!r} is one argument too many{self._about_too_many(left_over[0])}")
        return found, left_over

    def error(self, message: str) -> NoReturn:
        message = printable(self._about_missing(message) or message.removeprefix("argument "))
        if sys.stderr is not None:
            print(f"error: {self.prog}: {message}", file=sys.stderr)
        raise UsageError(self.prog, message)

    @property
    def below(self) -> "list[Parser]":
        """This parser and those of all commands below it."""
        own = self.commands.values() if self._subparsers is not None else ()
        return [self, *(each for parser in own for each in parser.below)]

    @property
    def options(self) -> dict[str, argparse.Action]:
        """What each long option does, by its name without dashes."""
        return {flag[2:]: each for flag, each in self._option_string_actions.items() if flag.startswith("--")}

    def _spelt(self, words: list[str]) -> list[str]:
        """The words with options as they are called here; those of a command, and after --, are left to it."""
        spelt, is_value = [], False
        for index, word in enumerate(words):
            if word == "--":
                return spelt + words[index:]
            if not self._is_option(word):
                if self._subparsers is not None and not is_value:
                    self.check_command(word)
                    return spelt + words[index:]
                spelt.append(word)
                is_value = False
                continue
            flag, equals, value = word.partition("=")
            flag = flag if flag in self._option_string_actions else f"--{self._meant(flag)}"
            spelt.append(flag + equals + value)
            is_value = not equals and self._option_string_actions[flag].nargs != 0
        return spelt

    def _is_option(self, word: str) -> bool:
        """Whether a word is meant as one: what argparse takes for it, and what word processors make of that."""
        flag = word.partition("=")[0]
        if flag.startswith(tuple(LONG_DASHES)):
            return own_name(flag, self.options) is not None
        return len(flag) > 1 and flag[0] == "-" and " " not in flag and not (flag[1].isdigit() or flag[1] == ".")

    def _meant(self, flag: str) -> str:
        """The name of the option that is meant; ends the program if there is none."""
        options = self.options
        if flag.startswith(("--", *LONG_DASHES)):
            meant = own_name(flag, options)
            begun = [name for name in options if name.startswith(plain(flag))]
            if meant is not None or len(begun) == 1:
                return meant or begun[0]
            if begun and f"no-{plain(flag)}" not in options:
                self.error(f"{flag} may be {' or '.join(f'--{name}' for name in begun)}")
        self.error(self._about(flag))

    def _about_missing(self, message: str) -> str | None:
        """What is expected in place of arguments that argparse tells by their names alone; None of other messages."""
        if message.startswith(_MISSING):
            names = message.removeprefix(_MISSING).split(", ")
            missing = [f"{_shown(each)} ({each.help})" for each in self._actions if _name(each) in names]
            return f"expected {_listed(missing)}"
        for group in self._mutually_exclusive_groups:
            if message == f"one of the arguments {' '.join(map(_name, group._group_actions))} is required":
                # By what is given: the main input stands without its option, see ``add_main_input``.
                ways = {each.dest: each for each in group._group_actions}.values()
                noun = _shown(next(iter(ways))).lower()
                article = "" if noun.endswith("s") else "a "
                return f"expected {article}{noun}: {self.prog} {', or '.join(map(_shown, ways))}"
        return None

    def _about_too_many(self, word: str) -> str:
        """A hint about a word that no argument is left for."""
        if not os.path.exists(word):
            return ": a name with spaces stands in quotes"
        return ": photographs are given by the folder that they lie in" if "images" in self.options else ""

    def _about(self, flag: str) -> str:
        """The message about an unknown option."""
        others = [name for name, parser in self.commands.items() if own_name(flag, parser.options) is not None]
        if others and self._subparsers is not None:
            which = others[0] if len(others) == 1 else "COMMAND"
            return f"{flag} goes behind the command: {self.prog} {which} {flag}"
        if (elsewhere := self.elsewhere(flag)) is not None:
            return f"{flag} is not an option of this command: {elsewhere}"
        otherwise = done_otherwise(flag)
        if otherwise is not None:
            return f"{flag} is not an option of this command: here that is {otherwise}"
        if others and flag.startswith("--"):
            return f"{flag} is an option of {self.prog.rpartition(' ')[0]} {_listed(others)}, not of this command"
        if f"no-{plain(flag)}" in self.options:
            return f"{flag} is the default; --no-{plain(flag)} turns it off"
        meant = nearest(flag, self.options)
        hint = f"did you mean --{meant}?" if meant else f"{self.prog} --help names them"
        return f"{flag} is not an option of this command: {hint}"

    def check_command(self, word: str) -> None:
        """End the program unless a word is a command."""
        if word in self.commands:
            return
        elsewhere_called = plain(word).replace("-", "_")
        here, before = (table.get(elsewhere_called, "") for table in (COMMANDS_ELSEWHERE, COMMANDS_AFTER))
        if here.partition(" ")[0] in self.commands:
            hint = f": {self.prog} {here} does that"
        elif before.partition(" ")[0] in self.commands:
            hint = f": run COLMAP's own, after {self.prog} {before}"
        elif os.path.isdir(word) and "run" in self.commands:
            hint = f": {self.prog} run {shlex.quote(word)} makes a model of the photographs in that folder"
        else:
            hint = did_you_mean(word, [*self.commands, *(f"--{name}" for name in self.options)])
        self.error(f"{word!r} is not a command" + (hint or f": expected one of {_listed(self.commands)}"))


def _name(argument: argparse.Action) -> str:
    """What argparse calls it."""
    return "/".join(argument.option_strings) or argument.metavar or argument.dest


def _shown(argument: argparse.Action) -> str:
    """An argument as it is written on a command line."""
    return " ".join([*argument.option_strings[:1], argument.metavar or argument.dest])


def _listed(words) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, found {text!r}") from None


def _path(text: str) -> Path:
    if not text:  # a variable that a script has not set: it would be the current folder
        raise argparse.ArgumentTypeError("expected a path, found an empty one")
    return Path(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, found {text!r}") from None
