"""The command ``d2sfm demo``."""

import argparse
from pathlib import Path

from d2sfm.commands.arguments import NO_MODELS, add_command, add_options, parse_options
from d2sfm.console import EXIT_DONE, EXIT_INCOMPLETE, print_result, shows_progress
from d2sfm.options import DemoOptions


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(commands, "demo", run, "render a scene, reconstruct it, and compare with the truth", NO_MODELS)
    parser.add_argument(
        "--output", type=Path, default=Path("d2sfm_demo"), metavar="DIR", help="folder to write (default: d2sfm_demo)"
    )
    add_options(parser, DemoOptions)


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm demo``."""
    options = parse_options(DemoOptions, arguments)
    from d2sfm.demo.show import run as run_demo

    result = run_demo(arguments.output, options=options, progress=shows_progress(arguments))
    print_result(arguments, result)
    return EXIT_DONE if result.errors is not None else EXIT_INCOMPLETE
