"""The command ``d2sfm reconstruct``."""

import argparse

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


def add(commands) -> None:
    """Add the command's parser."""
    left, text = f"{NO_MODELS}; refinement goes on where it was", "cameras and points from a matched database"
    parser = add_command(commands, "reconstruct", run, text, left, RESULT, refine=REFINEMENT)
    add_main_database(parser)
    add_output(parser, "sparse", "folder of the models")
    add_images(parser, "folder of the photographs, for refinement and point colours")
    parser.add_argument(
        "--no-refine",
        dest="refine",
        action="store_false",
        help="map keypoints as they are; those of d2sfm that are not refined are refined first otherwise, with d2sfm "
        "refine's defaults and this seed, where the photographs are there and the database can be written",
    )
    add_options(parser, ReconstructionOptions, MapCacheOptions)


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm reconstruct``."""
    options, cache = parse_options(ReconstructionOptions, arguments), parse_options(MapCacheOptions, arguments)
    database, images, progress = arguments.database, arguments.images, shows_progress(arguments)
    if cache != MapCacheOptions() and not arguments.refine:
        raise ValueError("--cache and --cache-limit are for refinement, which --no-refine leaves out")
    from d2sfm.mapping.reconstruct import reconstruct

    if arguments.refine:
        from d2sfm.workflow.refine_first import refine_first

        refinement = RefinementOptions(seed=options.seed)
        way_out = "--no-refine maps them as they are"
        refined = refine_first(database, images, options=refinement, cache=cache, way_out=way_out, progress=progress)
        if refined is not None:
            print_result(arguments, refined)
    result = reconstruct(database, arguments.output, images=images, options=options, progress=progress)
    return finish(arguments, result, is_whole=bool(result.models) and not result.unusable)
