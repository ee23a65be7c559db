"""The command ``d2sfm reconstruct``."""

import argparse
from pathlib import Path

from d2sfm.commands.arguments import (
    NO_MODELS,
    add_command,
    add_images,
    add_main_database,
    add_options,
    add_output,
    parse_options,
)
from d2sfm.console import finish, print_result, shows_progress
from d2sfm.options import MapCacheOptions, ReconstructionOptions, RefinementOptions

RESULT, REFINEMENT = "mapping.reconstruct.ReconstructionResult", "refinement.summary.RefinementSummary"
EXTENSION = "mapping.extend.ExtensionResult"
OF_STARTS = ("mapper", "min_starts", "max_starts", "time_budget")  # which a model that is there does not need


def add(commands) -> None:
    """Add the command's parser."""
    left, text = f"{NO_MODELS}; what was refined is kept", "cameras and points from a matched database"
    parser = add_command(commands, "reconstruct", run, text, left, RESULT, refine=REFINEMENT, extend=EXTENSION)
    add_main_database(parser)
    add_output(parser, "sparse", "folder of the models")
    add_images(parser, "folder of the photographs, for refinement and point colours")
    parser.add_argument(
        "--no-refine",
        dest="refine",
        action="store_false",
        help="map keypoints as they are; without it, those not refined yet are refined first, if photographs are there "
        "and the database can be written (with --extend only if others are refined)",
    )
    parser.add_argument(
        "--extend",
        type=Path,
        metavar="MODEL",
        help="COLMAP model, in which the database's other photographs are placed; its poses, cameras and points stay; "
        "give --output: another folder, or the model's own, to replace it (default: none)",
    )
    parser.add_argument(
        "--extend-adjust",
        action="store_true",
        help="with --extend: adjust all poses, cameras and points together; the world frame stays",
    )
    parser.add_argument(
        "--join",
        type=Path,
        nargs="+",
        default=[],
        metavar="MODEL",
        help="with --extend: folders of other COLMAP models, whose poses are taken for images that can't be placed by "
        "themselves; two or more images of such a model must be placed (default: none)",
    )
    add_options(parser, ReconstructionOptions, MapCacheOptions)


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm reconstruct``."""
    options, cache = parse_options(ReconstructionOptions, arguments), parse_options(MapCacheOptions, arguments)
    database, images, progress = arguments.database, arguments.images, shows_progress(arguments)
    if cache != MapCacheOptions() and not arguments.refine:
        raise ValueError("--cache and --cache-limit are for refinement, which --no-refine leaves out")
    _require_fitting(arguments, options)
    files, kept = (database, arguments.extend, arguments.output), None
    if arguments.refine:
        from d2sfm.workflow.refine_first import refine_first

        if arguments.extend is not None:
            from d2sfm.mapping.extend import needs_keypoints

            kept = arguments.extend if needs_keypoints(*files, join=arguments.join) else None
        refined = refine_first(
            database,
            images,
            options=RefinementOptions(seed=options.seed),
            cache=cache,
            way_out="--no-refine maps them as they are",
            model=kept,
            progress=progress,
        )
        if refined is not None:
            print_result(arguments, refined)
    settings = {"images": images, "options": options, "progress": progress}
    if arguments.extend is not None:
        from d2sfm.mapping.extend import extend_model

        extended = extend_model(*files, adjust=arguments.extend_adjust, join=arguments.join, **settings)
        return finish(arguments, extended, is_whole=extended.is_whole)
    from d2sfm.mapping.reconstruct import reconstruct

    result = reconstruct(database, arguments.output, **settings)
    return finish(arguments, result, is_whole=bool(result.models) and not result.unusable)


def _require_fitting(arguments: argparse.Namespace, options: ReconstructionOptions) -> None:
    """ValueError for options that would do nothing."""
    if arguments.extend is None and arguments.extend_adjust:
        raise ValueError("--extend-adjust goes with --extend MODEL")
    if arguments.extend is None and arguments.join:
        raise ValueError("--join goes with --extend MODEL, the one whose poses stay")
    for name in OF_STARTS if arguments.extend is not None else ():
        if getattr(options, name) != getattr(ReconstructionOptions, name):
            raise ValueError(f"--{name.replace('_', '-')} is for a new model, not for --extend")
