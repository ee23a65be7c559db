"""The command ``d2sfm evaluate``."""

import argparse
from pathlib import Path

from d2sfm.commands.arguments import add_command
from d2sfm.console import finish

KINDS = ("poses", "localization")
RESULT = "evaluation.localization.PoseEvaluation"


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(commands, "evaluate", run, "errors of poses against known ones", "nothing was written", RESULT)
    parser.add_argument(
        "kind",
        choices=KINDS,
        help="poses: of a model, which is aligned with the truth; localization: of queries, in the world of the truth",
    )
    parser.add_argument("estimate", type=Path, metavar="MODEL|POSES", help="COLMAP model, or a list as of localize")
    parser.add_argument("truth", type=Path, metavar="TRUTH", help="the same of what is true")
    parser.add_argument(
        "--queries",
        type=Path,
        metavar="PATH",
        help="folder or list of the queries of localization (default: all images of the truth)",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="PNG of the cumulative curves (default: none)")


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm evaluate``."""
    if arguments.kind == "poses" and arguments.queries is not None:
        raise ValueError("--queries goes with localization")
    from d2sfm.evaluation.localization import WITHIN, evaluate_localization, evaluate_poses

    if arguments.kind == "poses":
        result = evaluate_poses(arguments.estimate, arguments.truth)
    else:
        from d2sfm.localization.queries import find_queries

        queries = find_queries([arguments.queries]).names if arguments.queries else None
        result = evaluate_localization(arguments.estimate, arguments.truth, queries)
    if arguments.plot is not None:
        from d2sfm.plots.canvas import save_image
        from d2sfm.plots.cumulative import draw_cumulative

        errors = {"centre error, m": result.centre, "rotation error, deg": result.rotation_deg}
        limits = dict(zip(errors, zip(*WITHIN, strict=True), strict=True))
        save_image(arguments.plot, draw_cumulative(errors, limits))
    return finish(arguments, result)
