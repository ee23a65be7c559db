"""The command ``d2sfm demo``."""

import argparse

from d2sfm.commands.arguments import NO_MODELS, add_command, add_options, add_output, parse_options
from d2sfm.console import finish, shows_progress
from d2sfm.options import DemoOptions

RESULT = "demo.show.DemoResult"


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(
        commands, "demo", run, "render a scene, reconstruct it, and compare with the truth", NO_MODELS, RESULT
    )
    add_output(parser, "d2sfm_demo", "folder to write")
    add_options(parser, DemoOptions)


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm demo``."""
    options = parse_options(DemoOptions, arguments)
    from d2sfm.demo.show import show

    result = show(arguments.output, options=options, progress=shows_progress(arguments))
    return finish(arguments, result, is_whole=result.errors is not None)
