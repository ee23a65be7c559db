"""The command ``d2sfm triangulate``."""

import argparse
from pathlib import Path

from d2sfm.commands.arguments import (
    NO_MODELS,
    add_command,
    add_images,
    add_main_database,
    add_options,
    add_output,
    parse_options,
)
from d2sfm.console import finish, shows_progress
from d2sfm.options import TriangulationOptions

RESULT = "mapping.triangulate.TriangulationResult"


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(
        commands, "triangulate", run, "points for known cameras, for example for localization", NO_MODELS, RESULT
    )
    add_main_database(parser)
    parser.add_argument(
        "--reference",
        type=Path,
        required=True,
        metavar="DIR",
        help="COLMAP model with the poses and intrinsics; its points are not used",
    )
    add_output(parser, "triangulated", "folder of the model, in its subfolder 0")
    add_images(parser, "folder of the photographs, for point colours")
    add_options(parser, TriangulationOptions)


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm triangulate``."""
    options = parse_options(TriangulationOptions, arguments)
    from d2sfm.mapping.triangulate import triangulate

    files, progress = (arguments.database, arguments.reference, arguments.output), shows_progress(arguments)
    result = triangulate(*files, images=arguments.images, options=options, progress=progress)
    return finish(arguments, result, is_whole=bool(result.model) and not result.unusable)
