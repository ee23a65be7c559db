"""The option ``--plot`` of the evaluations."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from d2sfm.console import finish
from d2sfm.parser import Parser

if TYPE_CHECKING:  # the command line loads nothing that computes
    import numpy as np


def add_plot(parser: Parser, text: str) -> None:
    """Add it. text: what is drawn."""
    parser.add_argument("--plot", type=Path, metavar="FILE", help=f"PNG of {text} (default: none)")


def require_plot(arguments: argparse.Namespace) -> None:
    """Before the work: ValueError for a file that is not .png, FileNotFoundError if its folder is missing."""
    if arguments.plot is not None:
        from d2sfm.plots.canvas import require_png

        require_png(arguments.plot)


def finish_and_draw(arguments: argparse.Namespace, result: object, draw: Callable[[], "np.ndarray"]) -> int:
    """Print, then draw on request: what was found is not lost with the picture."""
    code = finish(arguments, result)
    if arguments.plot is not None:
        from d2sfm.plots.canvas import save_image

        save_image(arguments.plot, draw())
    return code
