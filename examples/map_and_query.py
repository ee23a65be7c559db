"""Where photographs were taken: ``python examples/map_and_query.py photos map a.jpg b.jpg``.

A map of the folder ``photos`` is made in the folder ``map``, or completed where it is there. Then each further
photograph is placed in it: printed are the camera's centre in the frame of the map and how many keypoints agree, or
why there is no pose.
"""

import argparse
from pathlib import Path

from d2sfm import Localizer, Pose, reconstruct_photographs


def main() -> None:
    """Make the map, keep it in memory, place the queries."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, help="folder of the map's photographs")
    parser.add_argument("map", type=Path, help="folder to write")
    parser.add_argument("queries", type=Path, nargs="+", help="photographs to place")
    arguments = parser.parse_args()
    print(reconstruct_photographs(arguments.photographs, arguments.map, progress=True))
    localizer = Localizer(arguments.map / "db.db", arguments.map / "sparse" / "0")
    for query in arguments.queries:
        found = localizer.localize(query)
        if isinstance(found, Pose):
            x, y, z = found.centre
            print(f"{query}: at {x:.3f} {y:.3f} {z:.3f}, {found.inliers} keypoints agree")
        else:
            print(f"{query}: not placed, {found.reason}")


if __name__ == "__main__":
    main()
