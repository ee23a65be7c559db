"""The command ``d2sfm import``."""

import argparse
from pathlib import Path

from d2sfm.commands.arguments import (
    CAN_CONTINUE,
    add_command,
    add_database,
    add_main_input,
    add_no_verify,
    add_options,
    parse_options,
)
from d2sfm.console import finish, shows_progress
from d2sfm.options import CameraOptions, ImportOptions, PhotographOptions, VerificationOptions

RESULT = "exchange.import_features.ImportSummary"


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(
        commands, "import", run, "import features and matches of files into a COLMAP database", CAN_CONTINUE, RESULT
    )
    add_database(parser)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of the photographs")
    add_main_input(
        parser.add_mutually_exclusive_group(required=True),
        "features",
        "FEATURES",
        metavar="FILE|DIR",
        help="HDF5 file in hloc's layout, or a folder (also that of the photographs) of npz or mat files",
    )
    parser.add_argument(
        "--matches",
        type=Path,
        metavar="FILE",
        help="HDF5 file of matches in hloc's or deep-image-matching's layout; required for features that are not "
        "D2-Net's (default: none)",
    )
    add_no_verify(parser)
    add_options(parser, ImportOptions, PhotographOptions, CameraOptions, VerificationOptions)


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
        limits=parse_options(PhotographOptions, arguments),
        verification=verification if arguments.verify else None,
        progress=shows_progress(arguments),
    )
    return finish(arguments, summary, skipped=summary.skipped)
