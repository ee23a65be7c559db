"""The table of ``d2sfm evaluate hpatches`` for several folders of sequences: ``python benchmarks/hpatches.py ROOT...``

In float32, at one scale or at --scales; what is measured is in docs/evaluation.md. A row for each sequence, and one for
all of a folder. Where there are three numbers in a cell, they are of D2, of D2 refined, and of RootSIFT at its best on
this folder.
"""

import argparse
from pathlib import Path

from pages import add_update, update

from d2sfm.evaluation.homographies import ACCURACY_PX, CORNERS_PX
from d2sfm.evaluation.hpatches import evaluate_hpatches
from d2sfm.evaluation.hpatches_result import ALL, GroupFigures, HPatchesEvaluation
from d2sfm.options import ExtractionOptions, Precision
from d2sfm.text import aligned

WITHIN_PX = (1, 3, 10)
CORNER_PX = 3
HEADER = (
    "sequence",
    "matches: D2, RootSIFT",
    "right within 1 px",
    *(f"{limit} px" for limit in WITHIN_PX[1:]),
    f"H {CORNER_PX} px",
)


def main() -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("roots", type=Path, nargs="+", metavar="ROOT")
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0], metavar="S")
    add_update(parser)
    arguments = parser.parse_args()
    rows, options = [HEADER], ExtractionOptions(precision=Precision.FLOAT32, scales=tuple(arguments.scales))
    for root in arguments.roots:
        result = evaluate_hpatches(root, options=options)
        print(result)
        rows += rows_of(result)
    print(aligned(rows))
    update(arguments.update, rows)


def rows_of(result: HPatchesEvaluation) -> list[tuple[str, ...]]:
    """Of each sequence, and of all."""
    plain, refined, *_, sift = result.methods
    names = [*plain.sequences, ALL]
    labels = [*names[:-1], f"all of {result.root.name}"]
    found = [[(method.sequences | method.groups)[name] for method in (plain, refined, sift)] for name in names]
    return [(label, *cells(*figures)) for label, figures in zip(labels, found, strict=True)]


def cells(plain: GroupFigures, refined: GroupFigures, sift: GroupFigures) -> tuple[str, ...]:
    """The columns after the name."""
    methods = plain, refined, sift
    shares = [[method.accuracy[ACCURACY_PX.index(limit)] for method in methods] for limit in WITHIN_PX]
    shares.append([method.homography[CORNERS_PX.index(CORNER_PX)] for method in methods])
    return (
        f"{plain.matches:.0f}, {sift.matches:.0f}",
        *(" / ".join(f"{share:.3f}" for share in each) for each in shares),
    )


if __name__ == "__main__":
    main()
