"""The command ``d2sfm train``."""

import argparse
from pathlib import Path

import megadepth_utils
from d2sfm.arguments import add_options, parse_options
from d2sfm.training.options import PairOptions, TrainingOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of training to the command's parser."""
    parser.add_argument(
        "--dataset-path",
        type=Path,
        required=True,
        metavar="DIR",
        help="root of MegaDepth, or of the COLMAP workspaces: what the scene info's paths are relative to",
    )
    parser.add_argument(
        "--scene-info-path", type=Path, required=True, metavar="DIR", help="folder of the scene info, <scene>.npz each"
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
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("training"),
        metavar="DIR",
        help="folder of checkpoints, tables and pictures (default: training)",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from the last checkpoint in the output, or start where there is none",
    )
    for options in (PairOptions, TrainingOptions):
        add_options(parser, options)


def run(arguments: argparse.Namespace, progress: bool):
    """Train as the command line says; the summary (see ``d2sfm.training.run``)."""
    pairs, options = parse_options(PairOptions, arguments), parse_options(TrainingOptions, arguments)
    train_scenes = megadepth_utils.read_scene_list(arguments.train_scenes)
    valid_scenes = megadepth_utils.read_scene_list(arguments.valid_scenes) if options.use_validation else []
    # Here, because torch takes seconds to import and --help should not.
    from d2sfm.training.run import train

    return train(
        arguments.dataset_path,
        arguments.scene_info_path,
        arguments.output,
        train_scenes=train_scenes,
        valid_scenes=valid_scenes,
        pairs=pairs,
        options=options,
        resume=arguments.resume,
        progress=progress,
    )
