"""The command ``d2sfm``: its commands are the modules of ``d2sfm.commands``.

Exit codes: 0 done; 1 done, but inputs were skipped or nothing could be reconstructed; 2 a bad argument, a missing
file or contradicting data; 130 interrupted.
"""

import argparse
import logging
import os
import sys

from d2sfm import __version__
from d2sfm.commands import (
    assemble,
    bridge,
    demo,
    evaluate,
    export,
    extract,
    georeference,
    import_,
    localize,
    match,
    merge,
    pairs,
    prepare,
    reconstruct,
    refine,
    remove,
    run,
    show,
    train,
    triangulate,
    undistort,
)
from d2sfm.commands import report as report_page
from d2sfm.commands.completion import SHELLS, PrintCompletion
from d2sfm.commands.json_output import PrintSchema, json_output
from d2sfm.console import Heard, report
from d2sfm.console import show as print_text
from d2sfm.parser import Parser, UsageError

STAGES = (prepare, extract, pairs, match, refine, reconstruct, triangulate)
AFTERWARDS = (report_page, show, georeference, undistort, localize, evaluate)
COMMANDS = (run, *STAGES, *AFTERWARDS, bridge, export, import_, merge, assemble, remove, train, demo)

logger = logging.getLogger("d2sfm")


def main(argv: list[str] | None = None) -> int:
    """Run the command line ``argv`` (default: the process's) and return its exit code."""
    # Threads that wait actively for each other burn what other programs need, and get half as much done beside two of
    # them. OpenMP reads this when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = _parsed(sys.argv[1:] if argv is None else argv)
    name = f"d2sfm {arguments.command}"
    before, heard, arguments.results = logger.level, Heard(), {}
    logger.setLevel(logging.WARNING if arguments.quiet else logging.DEBUG if arguments.verbose else logging.INFO)
    logger.addHandler(heard)
    try:
        code = report(logger, name, lambda: arguments.run(arguments), arguments.on_interrupt)
    finally:
        logger.removeHandler(heard)
        logger.setLevel(before)
    if arguments.json:
        error = heard.errors[-1] if heard.errors else None
        print_text(json_output(arguments.command, code, error, heard.warnings, arguments.results))
    return code


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = Parser(prog="d2sfm", description="D2-Net features for COLMAP, from photographs to a model.")
    parser.add_argument("--version", action="version", version=f"d2sfm {__version__}")
    parser.add_argument(
        "--print-completion", action=PrintCompletion, choices=SHELLS, help="print the completion script of a shell"
    )
    parser.add_argument(
        "--print-schema", action=PrintSchema, metavar="COMMAND", help="print the JSON Schema of a command's --json"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser


def _parsed(argv: list[str]) -> argparse.Namespace:
    try:
        return make_parser().parse_args(argv)
    except UsageError as error:
        if "--json" in argv:
            command = next(iter(error.program.split()[1:]), None)
            print_text(json_output(command, error.code, f"{error.program}: {error.message}", [], {}))
        raise
