"""The command ``d2sfm run``."""

import argparse
from pathlib import Path

from d2sfm.commands.arguments import CAN_CONTINUE, ChoiceOf, add_cluster, add_command, add_main_input, asked_cluster
from d2sfm.console import finish, shows_progress
from d2sfm.options import STAGES, Layout, Quality, ReconstructionOptions

RESULT = "workflow.reconstruct_photographs.RunResult"


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(
        commands, "run", run, "a model from a folder of photographs: all stages in order", CAN_CONTINUE, RESULT
    )
    parser.elsewhere = _in_a_file
    add_main_input(
        parser.add_mutually_exclusive_group(required=True),
        "images",
        "PHOTOS",
        metavar="DIR",
        help="folder of the photographs, with everything below it",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder of the database, the models and the options, outside of PHOTOS (default: PHOTOS-model here)",
    )
    _add_values(parser)
    add_cluster(parser)


def _add_values(parser: argparse.ArgumentParser) -> None:
    """Add what decides the options of the stages, see ``values.run_values``."""
    parser.add_argument(
        "--quality",
        type=ChoiceOf(Quality),
        metavar="|".join(Quality),
        help="how much work is put into the model (default: that of --config, else medium)",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="TOML file of options, as max_edge = 1200 below [extract]; tables: "
        f"{', '.join(f'[{stage}]' for stage in STAGES)} (default: none)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="seed of verification, refinement and mapping "
        f"(default: that of --config, else {ReconstructionOptions.seed})",
    )
    parser.add_argument(
        "--undistort",
        type=ChoiceOf(Layout),
        metavar="|".join(Layout),
        help="also write undistorted photographs and the first model (with --georeference in metres) for this program, "
        "into a folder of that name in the output (default: that of --config, else none)",
    )
    parser.add_argument(
        "--num-threads",
        type=int,
        metavar="N",
        help="threads of mapping, -1 for all processors; only with 1 does the same seed give the same model "
        f"(default: that of --config, else {ReconstructionOptions.num_threads})",
    )
    parser.add_argument(
        "--georeference",
        action="store_true",
        help="also georeference the first model by GPS positions, in its folder georeferenced (default: that of "
        "--config, else no)",
    )


def _in_a_file(flag: str) -> str | None:
    """How an option of a stage is given."""
    from d2sfm.workflow.values import as_written

    written = as_written(flag)
    return written and f"write {written} into a file and give it with --config FILE"


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm run``."""
    from d2sfm.workflow.reconstruct_photographs import reconstruct_photographs

    given = {
        "quality": arguments.quality,
        "config": arguments.config,
        "seed": arguments.seed,
        "num_threads": arguments.num_threads,
        "georeferenced": arguments.georeference,
        "layout": arguments.undistort,
        "progress": shows_progress(arguments),
    }
    with asked_cluster(arguments) as cluster:
        result = reconstruct_photographs(arguments.images, arguments.output, cluster=cluster, **given)
    return finish(arguments, result, is_whole=result.is_whole, skipped=result.skipped)
