"""The command ``d2sfm evaluate``, with a command of its own for each kind of result."""

import argparse
from pathlib import Path

from d2sfm.commands import evaluate_hpatches, evaluate_pairs
from d2sfm.commands.arguments import add_command, add_kind
from d2sfm.commands.plot import add_plot, finish_and_draw, require_plot

POSES = "evaluation.localization.PoseEvaluation"


def add(commands) -> None:
    """Add the command's parser."""
    further = {"hpatches": evaluate_hpatches.RESULT, "pairs": evaluate_pairs.RESULT}
    parser = add_command(
        commands, "evaluate", None, "how accurate poses and matches are", "nothing was written", POSES, **further
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    poses = add_kind(kinds, "poses", run_poses, "poses of a model, after alignment with the true one")
    localization = add_kind(kinds, "localization", run_localization, "poses of queries, in the frame of the true ones")
    poses.add_argument("estimate", type=Path, metavar="MODEL", help="folder of a COLMAP model")
    poses.add_argument("truth", type=Path, metavar="TRUTH", help="folder of the true one")
    of_either = "folder of a COLMAP model, or a list as d2sfm localize writes it"
    localization.add_argument("estimate", type=Path, metavar="MODEL|POSES", help=of_either)
    localization.add_argument("truth", type=Path, metavar="TRUTH", help="the same with the true poses")
    localization.add_argument(
        "--queries", type=Path, metavar="PATH", help="folder or list of the queries (default: all images of the truth)"
    )
    for each in (poses, localization):
        add_plot(each, "the cumulative curves")
    evaluate_hpatches.add(kinds)
    evaluate_pairs.add(kinds)


def run_poses(arguments: argparse.Namespace) -> int:
    """``d2sfm evaluate poses``."""
    from d2sfm.evaluation.localization import evaluate_poses

    require_plot(arguments)
    return _finish(arguments, evaluate_poses(arguments.estimate, arguments.truth))


def run_localization(arguments: argparse.Namespace) -> int:
    """``d2sfm evaluate localization``."""
    from d2sfm.evaluation.localization import evaluate_localization
    from d2sfm.localization.queries import find_queries

    require_plot(arguments)
    queries = find_queries([arguments.queries]).names if arguments.queries else None
    return _finish(arguments, evaluate_localization(arguments.estimate, arguments.truth, queries))


def _finish(arguments: argparse.Namespace, result) -> int:
    """Print, and draw on request. result: a ``PoseEvaluation``."""

    def draw():
        from d2sfm.evaluation.localization import WITHIN
        from d2sfm.plots.cumulative import draw_cumulative

        errors = {"centre error, m": result.centre, "rotation error, deg": result.rotation_deg}
        return draw_cumulative(errors, dict(zip(errors, zip(*WITHIN, strict=True), strict=True)))

    return finish_and_draw(arguments, result, draw)
