"""The command ``d2sfm triangulate``."""

import argparse
from pathlib import Path

from d2sfm.commands.arguments import NO_MODELS, add_command, add_database, add_options, parse_options
from d2sfm.console import EXIT_DONE, EXIT_INCOMPLETE, print_result, shows_progress
from d2sfm.options import TriangulationOptions


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(commands, "triangulate", run, "points for cameras that are known, for localisation", NO_MODELS)
    add_database(parser)
    parser.add_argument(
        "--reference",
        type=Path,
        required=True,
        metavar="DIR",
        help="COLMAP model with the poses and intrinsics; its points are not used",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("triangulated"),
        metavar="DIR",
        help="folder of the model, in its subfolder 0 (default: triangulated)",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder of the photographs, for point colours (default: the one that extract recorded)",
    )
    add_options(parser, TriangulationOptions)


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm triangulate``."""
    options = parse_options(TriangulationOptions, arguments)
    from d2sfm.mapping.triangulate import triangulate

    result = triangulate(
        arguments.database,
        arguments.reference,
        arguments.output,
        images=arguments.images,
        options=options,
        progress=shows_progress(arguments),
    )
    print_result(arguments, result)
    return EXIT_DONE if result.model else EXIT_INCOMPLETE
