"""The commands' parsers: what all of them have, and arguments from option dataclasses, each written once."""

import argparse
import types
from collections.abc import Callable, Iterable
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

Options = TypeVar("Options")

DATABASE = Path("db.db")
GOES_ON = "what was finished is saved, the same command goes on from there"
NO_MODELS = "nothing was written of this run's models"


def add_command(
    commands, name: str, run: Callable[[argparse.Namespace], int], text: str, on_interrupt: str
) -> argparse.ArgumentParser:
    """A command's parser. text: what it makes, in a line; on_interrupt: what Ctrl-C leaves, in words."""
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(run=run, on_interrupt=on_interrupt)
    noise = parser.add_mutually_exclusive_group()
    noise.add_argument("--quiet", action="store_true", help="only warnings and errors")
    noise.add_argument("--verbose", action="store_true", help="more about what is done, and tracebacks of errors")
    return parser


def add_database(parser: argparse.ArgumentParser) -> None:
    """Add --database."""
    parser.add_argument(
        "--database", type=Path, default=DATABASE, metavar="FILE", help=f"COLMAP database (default: {DATABASE})"
    )


def add_cache(parser: argparse.ArgumentParser, text: str) -> None:
    """Add --cache. text: its help."""
    parser.add_argument("--cache", type=Path, metavar="DIR", help=text)


def add_options(parser: argparse.ArgumentParser, options: type) -> None:
    """Add an argument for each field of the dataclass ``options``, in a group named by its docstring's first line.

    A bool becomes a switch (``--no-relu`` for a default of True), an enum a choice, a tuple one or more values.
    """
    group = parser.add_argument_group(options.__doc__.splitlines()[0].rstrip("."))
    types_of = get_type_hints(options)
    for field in fields(options):
        group.add_argument(*_flags(field, types_of[field.name]), dest=field.name, **_settings(field, types_of))


def parse_options(options: type[Options], arguments: argparse.Namespace) -> Options:
    """The dataclass with what the command line said. ValueError where the options refuse it."""
    values = {field.name: getattr(arguments, field.name) for field in fields(options)}
    return options(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _flags(field, kind: Any) -> Iterable[str]:
    name = field.name.replace("_", "-")
    return [f"--no-{name}" if kind is bool and field.default else f"--{name}"]


def _settings(field, types_of: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments of add_argument."""
    kind, text = types_of[field.name], field.metadata["help"]
    settings: dict[str, Any] = {"default": field.default}
    if kind is bool:
        return settings | {"action": "store_false" if field.default else "store_true", "help": text}
    if get_origin(kind) is tuple:
        kind, settings["nargs"] = get_args(kind)[0], "+"
    elif get_origin(kind) in (Union, types.UnionType):
        kind = next(member for member in get_args(kind) if member is not type(None))
    settings["type"] = _choice(kind) if issubclass(kind, Enum) else kind
    settings["metavar"] = field.metadata["metavar"] or _metavar(kind)
    return settings | {"help": _with_default(text, field.default)}


def _choice(kind: type[Enum]) -> Callable[[str], Enum]:
    def convert(text: str) -> Enum:
        if text not in list(kind):
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(kind)}")
        return kind(text)

    return convert


def _metavar(kind: type) -> str:
    if issubclass(kind, Enum):
        return "|".join(kind)
    return {int: "N", float: "X", str: "TEXT"}[kind]


def _with_default(text: str, default: Any) -> str:
    text = text.replace("%", "%%")
    if default is None or default in ("", ()):
        return text if "default:" in text else f"{text} (default: none)"
    shown = " ".join(f"{value:g}" for value in default) if isinstance(default, tuple) else default
    return f"{text} (default: {shown})"
