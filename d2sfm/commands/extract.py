"""The command ``d2sfm extract``."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from d2sfm.commands.arguments import (
    CAN_CONTINUE,
    DATABASE,
    NOT_A_SHARE,
    add_cluster,
    add_command,
    add_database,
    add_main_input,
    add_multiscale,
    add_options,
    add_shard,
    asked_cluster,
    is_clustered,
    parse_options,
)
from d2sfm.console import finish, shows_progress
from d2sfm.options import (
    STAGES,
    CameraOptions,
    ExtractionOptions,
    MapCacheOptions,
    MaskOptions,
    PhotographOptions,
    StorageOptions,
)
from d2sfm.options.fields import Options

if TYPE_CHECKING:  # it imports torch
    from d2sfm.extraction.summary import ExtractionSummary

NAMES_SHOWN = 20  # of photographs without keypoints, which are no fault: the skipped ones are all named
RESULT = "extraction.summary.ExtractionSummary"

logger = logging.getLogger(__name__)


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(
        commands, "extract", run, "features of photographs, into a COLMAP database or files", CAN_CONTINUE, RESULT
    )
    add_database(parser)
    source = parser.add_mutually_exclusive_group(required=True)
    add_main_input(source, "images", "PHOTOS", metavar="DIR", help="folder: every photograph below it is taken")
    source.add_argument(
        "--image-list",
        type=Path,
        metavar="FILE",
        help="text file of paths, one a line: a feature file is written beside each",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=(),
        metavar="PATTERN",
        help="only photographs with names (relative to --images) or folders like one of these, for example 'left/*' "
        "(default: all)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="extract again also those that have features, which removes the matches and geometries of their pairs; "
        "replace feature files, whatever they hold",
    )
    add_shard(parser, "do share I of N of the photographs, for example 2/7, and write its blocks to --output")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="with --shard: folder of all shards, in place of --database (default: none)",
    )
    add_cluster(parser)
    add_multiscale(parser)
    add_options(parser, *STAGES["extract"])


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm extract``."""
    common = {
        "options": parse_options(ExtractionOptions, arguments),
        "storage": parse_options(StorageOptions, arguments),
        "limits": parse_options(PhotographOptions, arguments),
        "overwrite": arguments.overwrite,
        "progress": shows_progress(arguments),
    }
    of_database = {
        "cameras": parse_options(CameraOptions, arguments),
        "masks": parse_options(MaskOptions, arguments),
        "cache": parse_options(MapCacheOptions, arguments),
    }
    if arguments.shard is not None or arguments.output is not None:
        return _extract_shard(arguments, common, of_database)
    to_files = arguments.image_list is not None or common["storage"].is_of_files
    _refuse_unused(arguments, of_database if to_files else {})
    if to_files and is_clustered(arguments):
        raise ValueError("--num-workers and --scheduler go with --images and a database, not with files")
    from d2sfm.exchange.extract_to_files import extract_to_files
    from d2sfm.extraction.extract import extract_to_database

    if to_files:
        summary = extract_to_files(arguments.image_list, images=arguments.images, only=arguments.only, **common)
        return _finish(arguments, summary)
    given = {"only": arguments.only, **of_database, **common}
    with asked_cluster(arguments) as cluster:
        if cluster is None:
            return _finish(arguments, extract_to_database(arguments.database, arguments.images, **given))
        from d2sfm.shards.cluster_extraction import extract_on_cluster

        summary = extract_on_cluster(cluster, arguments.database, arguments.images, **given)
    return _finish(arguments, summary)


def _extract_shard(arguments: argparse.Namespace, common: dict, of_database: dict[str, Options]) -> int:
    if is_clustered(arguments):
        raise ValueError(NOT_A_SHARE)
    if arguments.shard is None or arguments.output is None:
        raise ValueError("--shard I/N and --output DIR go together")
    if arguments.images is None:
        raise ValueError("--shard goes with --images, not with --image-list")
    unused = {
        "--overwrite": common.pop("overwrite"),
        "--cache": of_database.pop("cache") != MapCacheOptions(),
        "--output-type and --output-extension": common["storage"].is_of_files,
        "--database": arguments.database != DATABASE,
    }
    if found := [flag for flag, is_given in unused.items() if is_given]:
        verb = "do" if " and " in found[0] else "does"
        raise ValueError(f"{found[0]} {verb} not go with --shard (d2sfm assemble makes the database)")
    from d2sfm.shards.features import extract_shard

    given = common | of_database
    summary = extract_shard(arguments.output, arguments.images, arguments.shard, only=arguments.only, **given)
    return _finish(arguments, summary)


def _finish(arguments: argparse.Namespace, summary: "ExtractionSummary") -> int:
    for name in summary.without_keypoints[:NAMES_SHOWN]:
        logger.warning("%s has no keypoints", name)
    if len(summary.without_keypoints) > NAMES_SHOWN:
        logger.warning("%d more without keypoints", len(summary.without_keypoints) - NAMES_SHOWN)
    return finish(arguments, summary, skipped=summary.skipped)


def _refuse_unused(arguments: argparse.Namespace, not_of_files: dict[str, Options]) -> None:
    """An option that would be passed over in silence is a misunderstanding."""
    given = {name for name, options in not_of_files.items() if options != type(options)()}
    if not_of_files and ("cameras" in given or arguments.database != DATABASE):
        raise ValueError(
            "--database and the options of cameras go with --images and a database, not with files (d2sfm export "
            "writes those of a database)"
        )
    if "masks" in given:
        raise ValueError("--masks and --camera-mask go with --images and a database, not with files")
    if "cache" in given:
        raise ValueError("--cache and --cache-limit go with --images and a database, not with files")
    if arguments.image_list and arguments.only:
        raise ValueError("--only goes with --images, not with --image-list")
