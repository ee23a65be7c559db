"""Match two photographs and draw the matches: ``python examples/match_two_photographs.py a.jpg b.jpg matches.png``.

How many keypoints and matches there are is printed, and the picture shows the matches as lines.
"""

import argparse
from pathlib import Path

from d2sfm import Extractor, mutual_nearest_neighbours
from d2sfm.photographs.reading import load_photograph
from d2sfm.plots.canvas import save_image
from d2sfm.plots.keypoints import draw_matches


def main() -> None:
    """Extract, match, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, nargs=2)
    parser.add_argument("picture", type=Path, help="PNG to write")
    arguments = parser.parse_args()
    extractor = Extractor()
    a, b = (extractor.extract(photograph) for photograph in arguments.photographs)
    matches = mutual_nearest_neighbours(a.descriptors, b.descriptors)
    print(f"{len(a)} and {len(b)} keypoints, {len(matches)} matches")
    images = [load_photograph(photograph) for photograph in arguments.photographs]
    xy_a, xy_b = a.keypoints[matches[:, 0], :2], b.keypoints[matches[:, 1], :2]
    save_image(arguments.picture, draw_matches(*images, xy_a, xy_b))


if __name__ == "__main__":
    main()
