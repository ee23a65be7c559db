"""The command ``d2sfm merge``."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from d2sfm.commands.arguments import add_command
from d2sfm.console import finish
from d2sfm.text import counted

ON_INTERRUPT = "nothing was written"
RESULT = "commands.merge.MergeSummary"


@dataclass(frozen=True, kw_only=True)
class MergeSummary:
    """What was merged."""

    images: int
    databases: int
    output: Path

    def __str__(self) -> str:
        return f"merge: {counted(self.images, 'image')} of {self.databases} databases in {self.output}"


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(commands, "merge", run, "join several databases", ON_INTERRUPT, RESULT)
    parser.add_argument("databases", type=Path, nargs="+", metavar="FILE", help="COLMAP databases, two or more")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="database to make")
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder where the photographs of all databases are (default: the one that extract recorded in them)",
    )


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm merge``."""
    from d2sfm.exchange.merge import merge_databases

    count = merge_databases(arguments.databases, arguments.output, arguments.images)
    return finish(arguments, MergeSummary(images=count, databases=len(arguments.databases), output=arguments.output))
