"""The command ``d2sfm extract``."""

import argparse
import logging
from pathlib import Path

from d2sfm.commands.arguments import DATABASE, GOES_ON, add_cache, add_command, add_database, add_options, parse_options
from d2sfm.console import EXIT_DONE, EXIT_INCOMPLETE, print_result, shows_progress
from d2sfm.options import MAPS_IN_FOLDER_GB, CameraOptions, ExtractionOptions, StorageOptions
from d2sfm.text import printable

NAMES_SHOWN = 20  # of photographs without keypoints, which are no fault: the skipped ones are all named

logger = logging.getLogger(__name__)


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(commands, "extract", run, "features of photographs, into a COLMAP database or files", GOES_ON)
    add_database(parser)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--images", type=Path, metavar="DIR", help="import every photograph below this folder")
    source.add_argument(
        "--image-list", type=Path, metavar="FILE", help="write a feature file beside each photograph named in this file"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="extract photographs again that have features; matches and geometries of their pairs go with these",
    )
    for options in (ExtractionOptions, CameraOptions, StorageOptions):
        add_options(parser, options)
    parser.add_argument(
        "--masks",
        type=Path,
        metavar="DIR",
        help="masks in COLMAP's layout: black in DIR/a.jpg.png is out of a.jpg (default: all is in)",
    )
    parser.add_argument(
        "--camera-mask", type=Path, metavar="FILE", help="one mask for all photographs (default: all is in)"
    )
    add_cache(
        parser, "keep the early feature maps in this folder for d2sfm refine, 150 MB for 1600 x 1000 px (default: none)"
    )
    parser.add_argument(
        "--cache-limit",
        type=float,
        default=MAPS_IN_FOLDER_GB,
        metavar="GB",
        help=f"most that --cache may hold, GB (default: {MAPS_IN_FOLDER_GB:g})",
    )
    parser.add_argument(
        "--multiscale",
        dest="scales",
        action="store_const",
        const=[0.5, 1.0, 2.0],
        default=argparse.SUPPRESS,
        help="short for --scales 0.5 1 2",
    )


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm extract``."""
    options = parse_options(ExtractionOptions, arguments)
    storage = parse_options(StorageOptions, arguments)
    cameras = parse_options(CameraOptions, arguments)
    _refuse_unused(arguments, cameras, storage)
    from d2sfm.exchange.extract_to_files import extract_to_files
    from d2sfm.extraction.extract import extract_to_database
    from d2sfm.photographs.masks import Masks

    common = {"options": options, "storage": storage, "overwrite": arguments.overwrite}
    common["progress"] = shows_progress(arguments)
    if arguments.image_list:
        summary = extract_to_files(arguments.image_list, **common)
    else:
        cache = {"cache": arguments.cache, "cache_limit": arguments.cache_limit}
        given = {"cameras": cameras, "masks": Masks(arguments.masks, arguments.camera_mask)}
        summary = extract_to_database(arguments.database, arguments.images, **given, **cache, **common)
    for name in summary.without_keypoints[:NAMES_SHOWN]:
        logger.warning("%s has no keypoints", printable(name))
    if len(summary.without_keypoints) > NAMES_SHOWN:
        logger.warning("%d more have no keypoints", len(summary.without_keypoints) - NAMES_SHOWN)
    for name, reason in summary.skipped.items():
        logger.warning("skipped %s: %s", printable(name), reason)
    print_result(arguments, summary)
    return EXIT_INCOMPLETE if summary.skipped else EXIT_DONE


def _refuse_unused(arguments: argparse.Namespace, cameras: CameraOptions, storage: StorageOptions) -> None:
    """An option that would be passed over in silence is a misunderstanding."""
    of_files = (storage.output_type, storage.output_extension)
    if arguments.image_list and (cameras != CameraOptions() or arguments.database != DATABASE):
        raise ValueError("--database and the options of cameras go with --images, not with --image-list")
    if arguments.image_list and (arguments.masks or arguments.camera_mask):
        raise ValueError("--masks and --camera-mask go with --images, not with --image-list")
    if arguments.image_list and arguments.cache:
        raise ValueError("--cache goes with --images, not with --image-list")
    if arguments.images and of_files != (StorageOptions.output_type, StorageOptions.output_extension):
        raise ValueError("--output-type and --output-extension go with --image-list, not with --images")
