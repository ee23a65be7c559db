"""The command ``d2sfm refine``."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from d2sfm.commands.arguments import (
    CAN_CONTINUE,
    NOT_A_SHARE,
    add_cluster,
    add_command,
    add_copy,
    add_images,
    add_main_database,
    add_options,
    add_shard,
    asked_cluster,
    database_or_copy,
    is_clustered,
    parse_options,
)
from d2sfm.console import finish, shows_progress
from d2sfm.options import STAGES, MapCacheOptions, RefinementOptions
from d2sfm.text import counted

RESULT, RESTORATION = "refinement.summary.RefinementSummary", "commands.refine.RestorationSummary"
SHARE, PARTS = "refinement.shares.ShareSummary", "refinement.gather.GatherSummary"


@dataclass(frozen=True, kw_only=True)
class RestorationSummary:
    """What --restore did."""

    images: int  # whose original keypoints are back

    def __str__(self) -> str:
        return f"refine: original keypoints of {counted(self.images, 'image')} restored"


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(
        commands,
        "refine",
        run,
        "make matched keypoints exact to a fraction of a pixel",
        CAN_CONTINUE,
        RESULT,
        restore=RESTORATION,
        share=SHARE,
        parts=PARTS,
    )
    add_main_database(parser)
    add_images(parser)
    add_copy(parser, "refine")
    parser.add_argument("--restore", action="store_true", help="put the original keypoints back and verify their pairs")
    parser.add_argument(
        "--overwrite", action="store_true", help="align all keypoints again, also refined ones, from the original ones"
    )
    parser.add_argument(
        "--parts",
        type=Path,
        metavar="DIR",
        help="folder for the work of many machines; without --shard, the command takes in what finished shares have "
        "found, and tells which stage is next (default: none)",
    )
    add_shard(parser, "do share I of N, for example 2/7, of what is next in --parts; the database is not needed")
    add_cluster(parser)
    add_options(parser, *STAGES["refine"])


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm refine``."""
    options, cache = parse_options(RefinementOptions, arguments), parse_options(MapCacheOptions, arguments)
    if arguments.restore and (arguments.images or (options, cache) != (RefinementOptions(), MapCacheOptions())):
        raise ValueError("--restore needs neither photographs nor options of refinement")
    if arguments.restore and arguments.overwrite:
        raise ValueError("expected --restore or --overwrite, found both")
    _check_shards(arguments)
    given = {"options": options, "cache": cache, "progress": shows_progress(arguments)}
    if arguments.shard is not None:
        from d2sfm.refinement.shares import align_share

        return finish(arguments, align_share(arguments.parts, *arguments.shard, arguments.images, **given))
    database = database_or_copy(arguments)
    if arguments.parts is not None:
        return _gather(arguments, database, given)
    from d2sfm.refinement.refine import refine_database, restore_database

    if arguments.restore:
        restored = restore_database(database, progress=given["progress"])
        return finish(arguments, RestorationSummary(images=restored))
    given["overwrite"] = arguments.overwrite
    with asked_cluster(arguments) as cluster:
        if cluster is None:
            refined = refine_database(database, arguments.images, **given)
        else:
            from d2sfm.shards.cluster_refinement import refine_on_cluster

            refined = refine_on_cluster(cluster, database, arguments.images, **given)
    return finish(arguments, refined, is_whole=not refined.skipped)


def _check_shards(arguments: argparse.Namespace) -> None:
    """ValueError where --parts and --shard, and a cluster, do not go with what else is asked for."""
    if is_clustered(arguments) and (arguments.shard is not None or arguments.parts is not None):
        raise ValueError(NOT_A_SHARE.replace("--shard", "--parts", 1))
    if is_clustered(arguments) and arguments.restore:
        raise ValueError("--restore is done by one process: without --num-workers and --scheduler")
    if arguments.shard is not None and arguments.parts is None:
        raise ValueError("--shard needs --parts DIR, the folder that all shards share")
    if arguments.shard is not None and arguments.output:
        raise ValueError("--output goes with --parts alone: a shard opens no database")
    for flag in ("restore", "overwrite"):
        if arguments.parts is not None and getattr(arguments, flag):
            raise ValueError(
                f"--{flag} does not go with --parts: d2sfm refine --restore, and then --parts, aligns all again"
            )


def _gather(arguments: argparse.Namespace, database: Path, given: dict) -> int:
    """Tell what is next, or take in what shards have found."""
    from d2sfm.refinement.gather import gather_shares

    found = gather_shares(database, arguments.parts, arguments.images, **given)
    if found.refinement is not None:
        return finish(arguments, found.refinement, is_whole=not found.refinement.skipped)
    return finish(arguments, found, is_whole=not found.is_begun)
