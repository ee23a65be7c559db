"""The command ``d2sfm export``."""

import argparse

from d2sfm.commands.arguments import add_command, add_main_database, add_options, add_output, parse_options
from d2sfm.console import finish, shows_progress
from d2sfm.options import ExportOptions

ON_INTERRUPT = "finished files are complete; run the same command again to write all"
RESULT = "exchange.export.ExportSummary"


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(
        commands, "export", run, "features and matches of a database for other tools", ON_INTERRUPT, RESULT
    )
    add_main_database(parser)
    add_output(parser, "exported", "folder to write")
    add_options(parser, ExportOptions)


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm export``."""
    options = parse_options(ExportOptions, arguments)
    from d2sfm.exchange.export import export_database

    progress = shows_progress(arguments)
    summary = export_database(arguments.database, arguments.output, options=options, progress=progress)
    return finish(arguments, summary, skipped=summary.skipped)
