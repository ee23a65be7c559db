"""The command ``d2sfm prepare``."""

import argparse
from pathlib import Path

from d2sfm.commands.arguments import CAN_CONTINUE, add_command, add_options, add_output, parse_options
from d2sfm.console import finish, shows_progress
from d2sfm.options import PreparationOptions

RESULT = "preparation.prepare.PreparationSummary"


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(
        commands,
        "prepare",
        run,
        "turn files and videos of phones and cameras into photographs for COLMAP",
        CAN_CONTINUE,
        RESULT,
    )
    parser.add_argument(
        "sources", nargs="+", type=Path, metavar="SOURCE", help="file, or folder with everything below it"
    )
    add_output(parser, "photos", "folder to write; nothing in it is overwritten")
    add_options(parser, PreparationOptions)


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm prepare``."""
    options = parse_options(PreparationOptions, arguments)
    from d2sfm.preparation.prepare import prepare

    summary = prepare(arguments.sources, arguments.output, options=options, progress=shows_progress(arguments))
    return finish(arguments, summary, is_whole=not summary.remarks, skipped=summary.skipped)
