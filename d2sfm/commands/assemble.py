"""The command ``d2sfm assemble``."""

import argparse
from pathlib import Path

from d2sfm.commands.arguments import CAN_CONTINUE, add_command, add_database
from d2sfm.console import finish, shows_progress

RESULT = "shards.assemble.AssemblySummary"


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(commands, "assemble", run, "join shards of many machines in a database", CAN_CONTINUE, RESULT)
    parser.add_argument("shards", type=Path, metavar="SHARDS", help="folder that d2sfm extract --shard filled")
    add_database(parser)
    parser.add_argument(
        "--descriptors",
        action="store_true",
        help="write descriptors, too, which match and refine need; 1 kB a keypoint",
    )


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm assemble``."""
    from d2sfm.shards.assemble import assemble

    given = {"descriptors": arguments.descriptors, "progress": shows_progress(arguments)}
    return finish(arguments, assemble(arguments.shards, arguments.database, **given))
