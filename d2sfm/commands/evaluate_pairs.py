"""The command ``d2sfm evaluate pairs``."""

import argparse
from pathlib import Path

from d2sfm.commands.arguments import add_kind, add_multiscale, add_options, parse_options
from d2sfm.commands.plot import add_plot, finish_and_draw, require_plot
from d2sfm.console import shows_progress
from d2sfm.options import ExtractionOptions, PairEvaluationOptions

RESULT = "evaluation.pair_results.PairsEvaluation"


def add(kinds) -> None:
    """Add the parser of this kind."""
    parser = add_kind(kinds, "pairs", run, "geometry of pairs that are hard to match, beside SIFT's")
    parser.add_argument(
        "pairs",
        type=Path,
        metavar="ROOT|FILE",
        help="folder of pairs with clicked points as in WxBS, or list of pairs with poses as in SuperGlue",
    )
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="folder of a list's pictures (default: that of the list)"
    )
    add_plot(parser, "the curves")
    add_multiscale(parser)
    add_options(parser, PairEvaluationOptions, ExtractionOptions)


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm evaluate pairs``."""
    extraction, options = (parse_options(kind, arguments) for kind in (ExtractionOptions, PairEvaluationOptions))
    require_plot(arguments)
    from d2sfm.evaluation.pairs import evaluate_pairs

    result = evaluate_pairs(
        arguments.pairs,
        images=arguments.images,
        extraction=extraction,
        options=options,
        progress=shows_progress(arguments),
    )

    def draw():
        from d2sfm.plots.accuracy import draw_accuracy

        return draw_accuracy(*result.curves)

    return finish_and_draw(arguments, result, draw)
