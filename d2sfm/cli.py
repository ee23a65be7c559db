"""The command ``d2sfm``: its commands are the modules of ``d2sfm.commands``.

Exit codes: 0 done; 1 done, but inputs were skipped or nothing could be reconstructed; 2 a bad argument, a missing
file or contradicting data; 130 interrupted.
"""

import argparse
import logging
import os

from d2sfm import __version__
from d2sfm.commands import (
    demo,
    export,
    extract,
    import_,
    match,
    merge,
    prepare,
    reconstruct,
    refine,
    remove,
    run,
    train,
    triangulate,
)
from d2sfm.console import Parser, report

COMMANDS = (run, prepare, extract, match, refine, reconstruct, triangulate, export, import_, merge, remove, train, demo)

logger = logging.getLogger("d2sfm")


def main(argv: list[str] | None = None) -> int:
    """Run the command line ``argv`` (default: the process's) and return its exit code."""
    # Threads that wait actively for each other burn what other programs need, and get half as much done beside two of
    # them. OpenMP reads this when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = make_parser().parse_args(argv)
    name = f"d2sfm {arguments.command}"
    before = logger.level
    logger.setLevel(logging.WARNING if arguments.quiet else logging.DEBUG if arguments.verbose else logging.INFO)
    try:
        return report(logger, name, lambda: arguments.run(arguments), arguments.on_interrupt)
    finally:
        logger.setLevel(before)


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = Parser(prog="d2sfm", description="D2-Net features for COLMAP, from photographs to a model.")
    parser.add_argument("--version", action="version", version=f"d2sfm {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser
