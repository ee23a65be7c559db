"""The command ``d2sfm remove``."""

import argparse
from pathlib import Path

from d2sfm.commands.arguments import add_command, add_database, add_images
from d2sfm.console import finish

ON_INTERRUPT = "the database is unchanged"
RESULT = "exchange.remove.RemovalSummary"


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(commands, "remove", run, "remove images from a database and a model", ON_INTERRUPT, RESULT)
    parser.add_argument("names", nargs="*", metavar="NAME", help="images, as the database names them")
    parser.add_argument(
        "--image-list", type=Path, metavar="FILE", help="text file with such names, one a line (default: none)"
    )
    parser.add_argument(
        "--missing", action="store_true", help="images whose photographs no longer exist, instead of names"
    )
    parser.add_argument("--dry-run", action="store_true", help="only list them")
    add_database(parser)
    add_images(parser, "folder of the photographs, for --missing")
    parser.add_argument(
        "--model",
        type=Path,
        metavar="DIR",
        help="COLMAP model, or folder of numbered models, to take them out of, too (default: none)",
    )


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm remove``."""
    from d2sfm.exchange.remove import remove_images

    summary = remove_images(
        arguments.database,
        arguments.names,
        image_list=arguments.image_list,
        missing=arguments.missing,
        images=arguments.images,
        model=arguments.model,
        dry_run=arguments.dry_run,
    )
    return finish(arguments, summary)
