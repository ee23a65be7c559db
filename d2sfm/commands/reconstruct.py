"""The command ``d2sfm reconstruct``."""

import argparse
from pathlib import Path

from d2sfm.commands.arguments import NO_MODELS, add_cache, add_command, add_database, add_options, parse_options
from d2sfm.console import EXIT_DONE, EXIT_INCOMPLETE, print_result, shows_progress
from d2sfm.options import ReconstructionOptions, RefinementOptions


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(commands, "reconstruct", run, "cameras and points from a matched database", NO_MODELS)
    add_database(parser)
    parser.add_argument(
        "--output", type=Path, default=Path("sparse"), metavar="DIR", help="folder of the models (default: sparse)"
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder of the photographs, for point colours and --refine (default: the one that extract recorded)",
    )
    parser.add_argument(
        "--refine", action="store_true", help="refine the keypoints first, with d2sfm refine's defaults and this seed"
    )
    add_cache(parser, "folder of feature maps for --refine, see d2sfm refine (default: none)")
    add_options(parser, ReconstructionOptions)


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm reconstruct``."""
    options = parse_options(ReconstructionOptions, arguments)
    from d2sfm.mapping.reconstruct import reconstruct

    if arguments.cache and not arguments.refine:
        raise ValueError("--cache goes with --refine")
    if arguments.refine:
        from d2sfm.refinement.refine import refine_database

        refined = refine_database(
            arguments.database,
            arguments.images,
            options=RefinementOptions(seed=options.seed),
            cache=arguments.cache,
            progress=shows_progress(arguments),
        )
        print_result(arguments, refined)
    result = reconstruct(
        arguments.database,
        arguments.output,
        images=arguments.images,
        options=options,
        progress=shows_progress(arguments),
    )
    print_result(arguments, result)
    return EXIT_DONE if result.models else EXIT_INCOMPLETE
