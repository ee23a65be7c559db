"""The command ``d2sfm match``."""

import argparse
from pathlib import Path
from typing import Any

from d2sfm.commands.arguments import (
    CAN_CONTINUE,
    DATABASE,
    NOT_A_SHARE,
    add_cluster,
    add_command,
    add_main_database,
    add_no_verify,
    add_options,
    add_shard,
    asked_cluster,
    is_clustered,
    parse_options,
)
from d2sfm.console import finish, shows_progress
from d2sfm.options import STAGES, MatchingOptions, PairSelectionOptions, VerificationOptions

RESULT = "matching.summary.MatchSummary"


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(commands, "match", run, "match pairs of images, and verify the matches", CAN_CONTINUE, RESULT)
    add_main_database(parser)
    parser.add_argument(
        "--write-pairs",
        type=Path,
        metavar="FILE",
        help="write the chosen pairs, two names a line, as COLMAP and hloc read them (default: none)",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="DIR",
        help="COLMAP model of known poses and intrinsics: pairs are verified by it, now and later (default: the one "
        "given before, without --overwrite; else RANSAC)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="match and verify again also the pairs that are there already"
    )
    add_shard(
        parser,
        "do share I of N, for example 2/7, of the pairs in a folder of shards, which is given in place of the database",
    )
    add_cluster(parser)
    add_no_verify(parser)
    add_options(parser, *STAGES["match"])


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm match``."""
    pairs = parse_options(PairSelectionOptions, arguments)
    options = parse_options(MatchingOptions, arguments)
    verification = parse_options(VerificationOptions, arguments) if arguments.verify else None
    if arguments.shard is not None:
        return _match_shard(arguments, pairs, {"options": options, "verification": verification})
    from d2sfm.matching.match import match_database

    given = {
        "options": options,
        "verification": verification,
        "pairs": pairs,
        "write_pairs_to": arguments.write_pairs,
        "reference": arguments.reference,
        "overwrite": arguments.overwrite,
        "progress": shows_progress(arguments),
    }
    with asked_cluster(arguments) as cluster:
        if cluster is None:
            summary = match_database(arguments.database, **given)
        else:
            from d2sfm.shards.cluster_matching import match_on_cluster

            summary = match_on_cluster(cluster, arguments.database, **given)
    return finish(arguments, summary, skipped=summary.skipped)


def _match_shard(arguments: argparse.Namespace, pairs: PairSelectionOptions, given: dict[str, Any]) -> int:
    if is_clustered(arguments):
        raise ValueError(NOT_A_SHARE)
    if arguments.database == DATABASE:
        raise ValueError("--shard goes with a folder: d2sfm match --shard J/M SHARDS")
    unused = {
        "--overwrite": arguments.overwrite,
        "--write-pairs": arguments.write_pairs is not None,
        "--pairs and what goes with it": pairs != PairSelectionOptions(),
    }
    if arguments.reference is not None:
        raise ValueError("--reference does not go with --shard: give it to d2sfm match with the assembled database")
    if found := [flag for flag, is_given in unused.items() if is_given]:
        raise ValueError(f"{found[0]} does not go with --shard (d2sfm pairs SHARDS chose the pairs)")
    from d2sfm.shards.matching import match_shard

    summary = match_shard(arguments.database, arguments.shard, progress=shows_progress(arguments), **given)
    return finish(arguments, summary, skipped=summary.skipped)
