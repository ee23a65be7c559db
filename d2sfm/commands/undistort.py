"""The command ``d2sfm undistort``."""

import argparse
from pathlib import Path

from d2sfm.commands.arguments import CAN_CONTINUE, add_command, add_main_input, add_options, add_output, parse_options
from d2sfm.console import finish, shows_progress
from d2sfm.options import MaskOptions, PhotographOptions, UndistortionOptions

KINDS = (UndistortionOptions, MaskOptions, PhotographOptions)
RESULT = "undistortion.undistort.UndistortionSummary"


def add(commands) -> None:
    """Add the command's parser."""
    text = "undistorted photographs and model, for other programs"
    parser = add_command(commands, "undistort", run, text, CAN_CONTINUE, RESULT)
    model = parser.add_mutually_exclusive_group(required=True)
    add_main_input(model, "model", "MODEL", metavar="DIR", help="folder of a COLMAP model, of any program")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of its photographs")
    add_output(parser, "undistorted", "folder to write")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="make the output anew, also one that was made from another model or with other options",
    )
    add_options(parser, *KINDS)


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm undistort``."""
    options, masks, limits = (parse_options(kind, arguments) for kind in KINDS)
    from d2sfm.undistortion.undistort import undistort

    summary = undistort(
        arguments.model,
        arguments.images,
        arguments.output,
        options=options,
        masks=masks,
        limits=limits,
        overwrite=arguments.overwrite,
        progress=shows_progress(arguments),
    )
    return finish(arguments, summary, skipped=summary.skipped)
