"""The command ``d2sfm train``."""

import argparse
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import megadepth_utils
from d2sfm.commands.arguments import add_command, add_options, add_output, parse_options
from d2sfm.console import finish, shows_progress
from d2sfm.options import PairOptions, TrainingOptions
from d2sfm.training.scene_lists import read_scene_list

ON_INTERRUPT = "the same command with --resume continues from the last checkpoint, if there is one yet"
RESULT = "training.train.TrainingSummary"


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(
        commands, "train", run, "tune the network on scenes with known cameras and depth", ON_INTERRUPT, RESULT
    )
    parser.add_argument(
        "--dataset-path",
        type=Path,
        required=True,
        metavar="DIR",
        help="root of MegaDepth or of the COLMAP workspaces; paths in scene info are relative to it",
    )
    parser.add_argument(
        "--scene-info-path",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of <scene>.npz, which megadepth_utils makes",
    )
    parser.add_argument(
        "--train-scenes",
        type=Path,
        default=megadepth_utils.TRAIN_SCENES,
        metavar="FILE",
        help="text file with a scene a line (default: the paper's 117)",
    )
    parser.add_argument(
        "--valid-scenes",
        type=Path,
        default=megadepth_utils.VALID_SCENES,
        metavar="FILE",
        help="the same for --use-validation (default: the paper's 77)",
    )
    add_output(parser, "training", "folder of checkpoints, tables and pictures")
    parser.add_argument(
        "--resume", action="store_true", help="continue from the last checkpoint in the output, or start if it has none"
    )
    parser.add_argument(
        "--evaluate-hpatches",
        type=Path,
        metavar="DIR",
        help="evaluate the weights after each epoch as d2sfm evaluate hpatches does, without refinement (default: no)",
    )
    parser.add_argument(
        "--evaluate-pairs",
        type=Path,
        metavar="PATH",
        help="evaluate them also as d2sfm evaluate pairs does, without SIFT (default: no)",
    )
    add_options(parser, PairOptions, TrainingOptions)


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm train``."""
    # Set by torchrun: one process speaks for all.
    if os.environ.get("WORLD_SIZE", "1") != "1" and os.environ.get("RANK", "0") != "0":
        arguments.quiet, arguments.json = True, False
        logging.getLogger("d2sfm").setLevel(logging.ERROR)
    pairs, options = parse_options(PairOptions, arguments), parse_options(TrainingOptions, arguments)
    train_scenes = read_scene_list(arguments.train_scenes)
    valid_scenes = read_scene_list(arguments.valid_scenes) if options.use_validation else []
    # Here, because torch takes seconds to import and --help should not.
    from d2sfm.training.train import train

    summary = train(
        arguments.dataset_path,
        arguments.scene_info_path,
        arguments.output,
        train_scenes=train_scenes,
        valid_scenes=valid_scenes,
        pairs=pairs,
        options=options,
        resume=arguments.resume,
        progress=shows_progress(arguments),
        evaluations=_evaluations(arguments, pairs, options),
    )
    return finish(arguments, summary, is_whole=summary.is_whole)


def _evaluations(
    arguments: argparse.Namespace, pairs: PairOptions, options: TrainingOptions
) -> dict[str, Callable[[Path], Mapping[str, float]]]:
    """Requested evaluations after each epoch, by name; training itself has none."""
    found = {}
    if arguments.evaluate_hpatches is not None:
        from d2sfm.evaluation.hpatches import accuracy_of_weights

        found["hpatches"] = accuracy_of_weights(arguments.evaluate_hpatches, pairs.preprocessing, options.device)
    if arguments.evaluate_pairs is not None:
        from d2sfm.evaluation.pairs import scores_of_weights

        found["pairs"] = scores_of_weights(arguments.evaluate_pairs, pairs.preprocessing, options.device)
    return found
