"""What the commands share: their parsers' first lines, and how results are reported."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

EXIT_DONE, EXIT_INCOMPLETE, EXIT_ERROR, EXIT_INTERRUPTED = 0, 1, 2, 130
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


def shows_progress(arguments: argparse.Namespace) -> bool:
    """Bars are for people who watch: in a log file each step would become a line."""
    return not arguments.quiet and sys.stderr is not None and sys.stderr.isatty()


def print_result(arguments: argparse.Namespace, result: object) -> None:
    """Results go to standard output, progress and warnings to standard error."""
    if not arguments.quiet:
        try:
            print(result, flush=True)
        except BrokenPipeError:
            # The reader (head, say) has seen enough; the work is done, and Python's own flush must not fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
