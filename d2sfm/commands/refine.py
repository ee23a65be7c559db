"""The command ``d2sfm refine``."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from d2sfm.commands.arguments import GOES_ON, add_command, add_images, add_main_database, add_options, parse_options
from d2sfm.console import finish, shows_progress
from d2sfm.options import STAGES, MapCacheOptions, RefinementOptions

RESULT, RESTORATION = "refinement.summary.RefinementSummary", "commands.refine.RestorationSummary"


@dataclass(frozen=True, kw_only=True)
class RestorationSummary:
    """What --restore did."""

    images: int  # whose original keypoints are back

    def __str__(self) -> str:
        return f"refine: original keypoints of {self.images} images restored"


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(
        commands,
        "refine",
        run,
        "keypoints of verified matches, exact to a fraction of a pixel",
        GOES_ON,
        RESULT,
        restore=RESTORATION,
    )
    add_main_database(parser)
    add_images(parser)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="leave the database as it is and refine a copy of it, in this file (default: none)",
    )
    parser.add_argument("--restore", action="store_true", help="put the original keypoints back and verify their pairs")
    parser.add_argument(
        "--overwrite", action="store_true", help="align all keypoints anew, from the original ones, also refined ones"
    )
    add_options(parser, *STAGES["refine"])


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm refine``."""
    options, cache = parse_options(RefinementOptions, arguments), parse_options(MapCacheOptions, arguments)
    if arguments.restore and (arguments.images or (options, cache) != (RefinementOptions(), MapCacheOptions())):
        raise ValueError("--restore needs neither photographs nor options of refinement")
    if arguments.restore and arguments.overwrite:
        raise ValueError("expected --restore or --overwrite, found both")
    from d2sfm.database import working_copy
    from d2sfm.refinement.refine import refine_database, restore_database

    database, progress = arguments.database, shows_progress(arguments)
    if arguments.output:
        working_copy(database, arguments.output)
        database = arguments.output
    if arguments.restore:
        return finish(arguments, RestorationSummary(images=restore_database(database, progress=progress)))
    given = {"options": options, "cache": cache, "overwrite": arguments.overwrite, "progress": progress}
    refined = refine_database(database, arguments.images, **given)
    return finish(arguments, refined, is_whole=not refined.skipped)
