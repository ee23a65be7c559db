"""The commands' parsers: common arguments, and those from option dataclasses, each written once."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import Field, fields
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from d2sfm.options.fields import Options, is_several, value_type
from d2sfm.parser import Parser
from d2sfm.shards.share import Share
from d2sfm.spelling import chosen, did_you_mean

if TYPE_CHECKING:  # it imports torch
    from d2sfm.shards.cluster import Cluster

AnyOptions = TypeVar("AnyOptions", bound=Options)

DATABASE = Path("db.db")
CAN_CONTINUE = "finished work is saved; run the same command again to continue"
NOT_A_SHARE = "--shard is one process's part of the work: leave out --num-workers and --scheduler"
NO_MODELS = "no models were written"
_DATABASE = {"default": DATABASE, "metavar": "FILE", "help": f"COLMAP database (default: {DATABASE})"}


def add_command(
    commands,
    name: str,
    run: Callable[[argparse.Namespace], int] | None,
    text: str,
    on_interrupt: str,
    result: str,
    result_name: str | None = None,
    **of_stages: str,
) -> Parser:
    """A command's parser. text: what it makes, in a line; on_interrupt: what Ctrl-C leaves, in words.

    run: None if each of the command's kinds has its own, see ``add_kind``. result: the class below ``d2sfm`` of what it
    gives to ``finish``; result_name: what the JSON object calls it, if that is not the command's name; of_stages: those
    of what it gives to ``print_result`` before, or a kind of it to ``finish``, each by the name that it has in the JSON
    object.
    """
    parser = _add_parser(commands, name, text, default=False)
    parser.set_defaults(run=run, on_interrupt=on_interrupt, result_classes={**of_stages, result_name or name: result})
    return parser


def add_kind(kinds, name: str, run: Callable[[argparse.Namespace], int], text: str) -> Parser:
    """The parser of one kind of a command. kinds: of the command's parser, by its ``add_subparsers``."""
    parser = _add_parser(kinds, name, text, default=argparse.SUPPRESS)  # what stands before the kind stays
    parser.set_defaults(run=run)
    return parser


def _add_parser(commands, name: str, text: str, default: Any) -> Parser:
    """A parser with the switches that all commands have. default: of these."""
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.commands = commands.choices
    switch = {"action": "store_true", "default": default}
    parser.add_argument("--json", **switch, help="print the result as one JSON object, and nothing else")
    noise = parser.add_mutually_exclusive_group()
    noise.add_argument("--quiet", **switch, help="only warnings and errors")
    noise.add_argument("--verbose", **switch, help="more about each step, and tracebacks of errors")
    return parser


def add_main_input(parser, name: str, shown: str, **settings: Any) -> None:
    """Add an option, given by its name, that is the command's main input: its value may also stand without the option.

    parser: what both are added to, where they exclude each other. settings: of the option, as add_argument takes them.
    """
    text = f"{settings['help'].partition(' (default:')[0]} (or --{name})"
    parser.add_argument(f"--{name}", type=Path, **settings)
    parser.add_argument(name, nargs="?", type=Path, action=_Given, metavar=shown, help=text)


class _Given(argparse.Action):
    """Stores a given value. Without one, the value of the option stays."""

    def __call__(self, parser, namespace, values, option_string=None):
        if values is not None:
            setattr(namespace, self.dest, values)


def add_database(parser: argparse.ArgumentParser) -> None:
    """Add --database, which the command makes or adds to."""
    parser.add_argument("--database", type=Path, **_DATABASE)


def add_main_database(parser: argparse.ArgumentParser) -> None:
    """Add --database as the main input."""
    add_main_input(parser.add_mutually_exclusive_group(), "database", "DATABASE", **_DATABASE)


def add_copy(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add --output for a command that changes the database. verb: what it does with it."""
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help=f"leave the database as it is and {verb} a copy of it, in this file (default: none)",
    )


def database_or_copy(arguments: argparse.Namespace) -> Path:
    """The database that is to be changed: the copy at --output, which is made here, if that is given."""
    if arguments.output is None:
        return arguments.database
    from d2sfm.database import working_copy

    working_copy(arguments.database, arguments.output)
    return arguments.output


def add_images(parser: argparse.ArgumentParser, text: str = "folder of the photographs") -> None:
    """Add --images, where extract noted them. text: what they are for."""
    parser.add_argument("--images", type=Path, metavar="DIR", help=f"{text} (default: the one that extract recorded)")


def add_output(parser: argparse.ArgumentParser, default: str, text: str) -> None:
    """Add --output, a folder. text: of what."""
    parser.add_argument(
        "--output", type=Path, default=Path(default), metavar="DIR", help=f"{text} (default: {default})"
    )


def add_shard(parser: argparse.ArgumentParser, text: str) -> None:
    """Add --shard. text: what a process then does."""
    parser.add_argument("--shard", type=_share, metavar="I/N", help=f"{text} (default: all in one process)")


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Add --num-workers and --scheduler, which exclude each other."""
    group = parser.add_argument_group("a cluster of Dask").add_mutually_exclusive_group()
    group.add_argument(
        "--num-workers", type=int, metavar="N", help="do the work in N processes here (default: in this one)"
    )
    group.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="do the work on the workers of this scheduler, tls://HOST:PORT, which see all files at the same paths "
        "(default: none)",
    )


@contextmanager
def asked_cluster(arguments: argparse.Namespace) -> "Iterator[Cluster | None]":
    """The cluster that --num-workers or --scheduler asks for; None if neither is given."""
    if not is_clustered(arguments):
        yield None
        return
    from d2sfm.shards.cluster import cluster

    with cluster(arguments.num_workers, arguments.scheduler) as workers:
        yield workers


def is_clustered(arguments: argparse.Namespace) -> bool:
    """Whether the work is to be done by a cluster."""
    return arguments.num_workers is not None or arguments.scheduler is not None


def _share(text: str) -> Share:
    try:
        return Share.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_multiscale(parser: argparse.ArgumentParser) -> None:
    """Add --multiscale, before the options of extraction."""
    parser.add_argument(
        "--multiscale",
        dest="scales",
        action="store_const",
        const=[0.5, 1.0, 2.0],
        default=argparse.SUPPRESS,
        help="short for --scales 0.5 1 2",
    )


def add_no_verify(parser: argparse.ArgumentParser) -> None:
    """Add --no-verify."""
    parser.add_argument("--no-verify", dest="verify", action="store_false", help="write matches only, no geometries")


def add_options(parser: argparse.ArgumentParser, *kinds: type[Options]) -> None:
    """Add an argument for each field of these option classes, in a group of the class's title.

    A bool becomes a switch (``--no-relu`` for a default of True), an enum a choice, a tuple one or more values.
    """
    for kind in kinds:
        group = parser.add_argument_group(kind.TITLE)
        for field in fields(kind):
            name = field.name.rstrip("_").replace("_", "-")
            flag = f"--no-{name}" if field.type is bool and field.default else f"--{name}"
            group.add_argument(flag, dest=field.name, **_settings(field))


def parse_options(kind: type[AnyOptions], arguments: argparse.Namespace) -> AnyOptions:
    """The options of this class, with what the command line said. ValueError if they refuse it."""
    return kind(**{field.name: getattr(arguments, field.name) for field in fields(kind)})


def _settings(field: Field) -> dict[str, Any]:
    """Keyword arguments of add_argument."""
    text, default = field.metadata["help"], field.default
    if field.type is bool:
        return {"default": default, "action": "store_false" if default else "store_true", "help": text}
    kind = value_type(field.type)
    return {
        "default": default,
        "nargs": "+" if is_several(field.type) else None,
        "type": ChoiceOf(kind) if issubclass(kind, Enum) else kind,
        "metavar": field.metadata["metavar"] or _metavar(kind),
        "help": _with_default(text, default),
    }


class ChoiceOf:
    """Makes choices out of arguments."""

    def __init__(self, kind: type[Enum]):
        self.kind = kind

    def __call__(self, text: str) -> Enum:
        choice = chosen(self.kind, text)
        if choice is None:
            hint = did_you_mean(text, self.kind)
            raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(self.kind)}{hint}")
        return choice


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
