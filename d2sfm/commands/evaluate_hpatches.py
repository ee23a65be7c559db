"""The command ``d2sfm evaluate hpatches``."""

import argparse
from pathlib import Path

from d2sfm.commands.arguments import add_kind, add_multiscale, add_options, parse_options
from d2sfm.commands.plot import add_plot, finish_and_draw, require_plot
from d2sfm.console import shows_progress
from d2sfm.options import ComparisonOptions, ExtractionOptions

RESULT = "evaluation.hpatches_result.HPatchesEvaluation"


def add(kinds) -> None:
    """Add the parser of this kind."""
    parser = add_kind(kinds, "hpatches", run, "matches of pictures with true homographies, beside RootSIFT's")
    parser.add_argument(
        "root", type=Path, metavar="ROOT", help="folder of sequences as in HPatches: i_*/ and v_*/ with 1.ppm and H_1_2"
    )
    for name, text in (("only", "evaluate only these sequences"), ("leave-out", "leave these sequences out")):
        example = "for example 'v_*' (default: " + ("all)" if name == "only" else "none)")
        parser.add_argument(f"--{name}", nargs="+", default=(), metavar="PATTERN", help=f"{text}, {example}")
    add_plot(parser, "accuracy by error")
    add_multiscale(parser)
    add_options(parser, ComparisonOptions, ExtractionOptions)


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm evaluate hpatches``."""
    options, comparison = (parse_options(kind, arguments) for kind in (ExtractionOptions, ComparisonOptions))
    require_plot(arguments)
    from d2sfm.evaluation.hpatches import evaluate_hpatches

    result = evaluate_hpatches(
        arguments.root,
        options=options,
        comparison=comparison,
        only=arguments.only,
        leave_out=arguments.leave_out,
        progress=shows_progress(arguments),
    )

    def draw():
        from d2sfm.plots.accuracy import draw_accuracy

        return draw_accuracy(result.curves)

    return finish_and_draw(arguments, result, draw)
