"""The table of ``d2sfm evaluate pairs`` for clicked points, pair by pair: ``python benchmarks/hard_pairs.py ROOT``

ROOT is in WxBS's layout; what is measured is in docs/evaluation.md. At the pictures' own size, in float32. A row for
each pair, and the means of all pairs and of either half, for which SIFT's best setting is found again.
"""

import argparse
from pathlib import Path

from pages import add_update, update

from d2sfm.evaluation.pair_results import MethodOnPairs, PairsEvaluation
from d2sfm.evaluation.pairs import D2, SIFT, evaluate_pairs
from d2sfm.options import ExtractionOptions, PairEvaluationOptions, PairHalf, Precision
from d2sfm.text import aligned

SHOWN = ("10 px", "mAA 1-10", "mAA 1-20")
HEADER = ("pair", "half", *(f"{name} {column}" for name in (D2, SIFT) for column in ("agree, of", *SHOWN)))


def main() -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    add_update(parser)
    arguments = parser.parse_args()
    found = {half: evaluated(arguments.root, half) for half in (None, *PairHalf)}
    halves = {name: half for half in PairHalf for name in found[half].names}
    columns = {name: columns_of(method) for name, method in found[None].methods.items()}
    rows = [HEADER]
    for number, pair in enumerate(found[None].names):
        rows.append((pair, halves[pair], *(cell for name in (D2, SIFT) for cell in columns[name][number])))
    for half, result in found.items():
        means = [columns_of(result.methods[name])[-1] for name in (D2, SIFT)]
        rows.append((f"mean of the {half} half" if half else "mean", "", *(cell for mean in means for cell in mean)))
        print(f"{half or 'all'}: SIFT with {result.methods[SIFT].settings}")
    print(aligned(rows))
    update(arguments.update, rows)


def evaluated(root: Path, half: PairHalf | None) -> PairsEvaluation:
    """All pairs or half of them."""
    extraction = ExtractionOptions(max_edge=0, max_sum_edges=0, precision=Precision.FLOAT32)
    return evaluate_pairs(root, extraction=extraction, options=PairEvaluationOptions(half=half))


def columns_of(method: MethodOnPairs) -> list[tuple[str, ...]]:
    """Cells of each pair, and of their mean, for one method."""
    found = method.columns()
    agree = [
        f"{inliers} of {matches}" if matches else ""
        for inliers, matches in zip(found["agree"], found["matches"], strict=True)
    ]
    return list(zip(agree, *(found[column] for column in SHOWN), strict=True))


if __name__ == "__main__":
    main()
