"""The command ``d2sfm import``."""

import argparse
import logging
from pathlib import Path

from d2sfm.commands.arguments import GOES_ON, add_command, add_database, add_options, parse_options
from d2sfm.console import EXIT_DONE, EXIT_INCOMPLETE, print_result, shows_progress
from d2sfm.options import CameraOptions, ImportOptions, VerificationOptions
from d2sfm.text import printable

logger = logging.getLogger(__name__)


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(commands, "import", run, "features and matches of files into a COLMAP database", GOES_ON)
    add_database(parser)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of the photographs")
    parser.add_argument(
        "--features",
        type=Path,
        required=True,
        metavar="FILE|DIR",
        help="HDF5 file in hloc's layout, or a folder (also that of the photographs) of npz or mat files",
    )
    parser.add_argument(
        "--matches", type=Path, metavar="FILE", help="HDF5 file of matches in hloc's layout (default: none)"
    )
    parser.add_argument("--no-verify", dest="verify", action="store_false", help="write matches only, no geometries")
    for options in (ImportOptions, CameraOptions, VerificationOptions):
        add_options(parser, options)


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm import``."""
    options = parse_options(ImportOptions, arguments)
    cameras = parse_options(CameraOptions, arguments)
    verification = parse_options(VerificationOptions, arguments)
    if arguments.matches is None and (verification != VerificationOptions() or not arguments.verify):
        raise ValueError("--no-verify and the options of verification go with --matches")
    from d2sfm.exchange.import_features import import_features

    summary = import_features(
        arguments.database,
        arguments.images,
        arguments.features,
        matches=arguments.matches,
        options=options,
        cameras=cameras,
        verification=verification if arguments.verify else None,
        progress=shows_progress(arguments),
    )
    for name, reason in summary.skipped.items():
        logger.warning("skipped %s: %s", printable(name), reason)
    print_result(arguments, summary)
    return EXIT_INCOMPLETE if summary.skipped else EXIT_DONE
