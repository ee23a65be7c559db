"""The command ``d2sfm localize``."""

import argparse
import logging
from pathlib import Path

from d2sfm.commands.arguments import CAN_CONTINUE, DATABASE, add_command, add_images, add_options, parse_options
from d2sfm.console import finish, shows_progress
from d2sfm.options import LocalizationOptions, MapCacheOptions, MaskOptions

RESULT = "localization.localize.LocalizationSummary"

logger = logging.getLogger(__name__)


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(commands, "localize", run, "poses of photographs in an existing model", CAN_CONTINUE, RESULT)
    parser.add_argument(
        "queries",
        nargs="+",
        type=Path,
        metavar="QUERIES",
        help="folder, photographs, or a text file of names, one a line",
    )
    parser.add_argument(
        "--database",
        type=Path,
        metavar="FILE",
        help=f"COLMAP database of the model (default: {DATABASE} beside the model or here)",
    )
    parser.add_argument(
        "--model", type=Path, required=True, metavar="DIR", help="COLMAP model of the database, with points"
    )
    add_images(parser, "folder of the model's photographs, for aligning queries")
    parser.add_argument(
        "--output", type=Path, default=Path("poses.txt"), metavar="FILE", help="list of poses (default: poses.txt)"
    )
    parser.add_argument("--base-names", action="store_true", help="write names without folders, as benchmarks expect")
    parser.add_argument(
        "--query-folder",
        type=Path,
        metavar="DIR",
        help="folder that names of queries are relative to (default: the folder of the first file, or of the list)",
    )
    parser.add_argument(
        "--query-cameras",
        type=Path,
        metavar="FILE",
        help='cameras of queries: lines "name model width height parameters", cameras.txt of one camera, or the folder '
        "of a COLMAP model (default: focal length from EXIF, or estimated)",
    )
    parser.add_argument(
        "--pairs",
        type=Path,
        metavar="FILE",
        help="pairs to match: lines with a query and an image of the model (default: similar images)",
    )
    parser.add_argument(
        "--write-model",
        type=Path,
        metavar="DIR",
        help="also write the model with the queries, in this folder's subfolder 0 (default: none)",
    )
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="DIR",
        help="draw each query and its matches beside the image with most inliers (default: none)",
    )
    add_options(parser, LocalizationOptions, MaskOptions, MapCacheOptions)


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm localize``."""
    options = parse_options(LocalizationOptions, arguments)
    masks, cache = parse_options(MaskOptions, arguments), parse_options(MapCacheOptions, arguments)
    from d2sfm.database.file import beside
    from d2sfm.localization.localize import LocalizationFiles, localize
    from d2sfm.photographs.masks import Masks

    files = LocalizationFiles(
        output=arguments.output,
        write_model=arguments.write_model,
        pictures=arguments.pictures,
        base_names=arguments.base_names,
    )
    summary = localize(
        arguments.queries,
        arguments.database or beside(arguments.model, DATABASE) or DATABASE,
        arguments.model,
        query_folder=arguments.query_folder,
        images=arguments.images,
        query_cameras=arguments.query_cameras,
        pairs=arguments.pairs,
        options=options,
        cache=cache,
        masks=Masks.of(masks),
        files=files,
        progress=shows_progress(arguments),
    )
    for name, why in summary.not_placed.items():
        logger.warning("not placed: %s: %s", name, why)
    return finish(arguments, summary, is_whole=not summary.not_placed)
