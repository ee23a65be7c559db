"""The command ``d2sfm pairs``."""

import argparse
from pathlib import Path

from d2sfm.commands.arguments import CAN_CONTINUE, add_command, add_options, add_shard, parse_options
from d2sfm.console import finish, shows_progress
from d2sfm.options import PairSelectionOptions

RESULT = "shards.pairs.PairsSummary"
OF_SHARD = "shards.vectors.VectorSummary"


def add(commands) -> None:
    """Add the command's parser."""
    text = "choose the pairs of a folder of shards (many machines only)"
    parser = add_command(commands, "pairs", run, text, CAN_CONTINUE, RESULT, "selection", vectors=OF_SHARD)
    parser.add_argument("shards", type=Path, metavar="SHARDS", help="folder that d2sfm extract --shard filled")
    add_shard(
        parser,
        "only make the global descriptors of share I of N of the photographs, for example 2/7; after that, one process "
        "without --shard chooses the pairs",
    )
    add_options(parser, PairSelectionOptions)


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm pairs``."""
    options, progress = parse_options(PairSelectionOptions, arguments), shows_progress(arguments)
    from d2sfm.shards.folder import ShardFolder
    from d2sfm.shards.pairs import choose_pairs, describe_shard

    folder = ShardFolder(arguments.shards)
    if arguments.shard is not None:
        return finish(arguments, describe_shard(folder, arguments.shard, options, progress=progress))
    summary = choose_pairs(folder, options, progress=progress)
    return finish(arguments, summary, skipped=summary.skipped)
