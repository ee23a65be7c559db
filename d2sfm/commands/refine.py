"""The command ``d2sfm refine``."""

import argparse
from pathlib import Path

from d2sfm.commands.arguments import GOES_ON, add_cache, add_command, add_database, add_options, parse_options
from d2sfm.console import EXIT_DONE, print_result, shows_progress
from d2sfm.options import RefinementOptions


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(
        commands, "refine", run, "keypoints of verified matches, exact to a fraction of a pixel", GOES_ON
    )
    add_database(parser)
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="folder of the photographs (default: the one that extract recorded)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="leave the database as it is and refine a copy of it, in this file (default: none)",
    )
    add_cache(
        parser, "folder of feature maps, as extract fills it; what it lacks is computed and kept there (default: none)"
    )
    parser.add_argument("--restore", action="store_true", help="put the original keypoints back and verify their pairs")
    add_options(parser, RefinementOptions)


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm refine``."""
    options = parse_options(RefinementOptions, arguments)
    from d2sfm.database import working_copy
    from d2sfm.refinement.refine import refine_database, restore_database

    if arguments.restore and (options != RefinementOptions() or arguments.images or arguments.cache):
        raise ValueError("--restore needs neither photographs nor options of refinement")
    database, progress = arguments.database, shows_progress(arguments)
    if arguments.output:
        working_copy(database, arguments.output)
        database = arguments.output
    if arguments.restore:
        restored = restore_database(database, progress=progress)
        print_result(arguments, f"refine: original keypoints of {restored} images restored")
    else:
        print_result(
            arguments,
            refine_database(database, arguments.images, options=options, cache=arguments.cache, progress=progress),
        )
    return EXIT_DONE
