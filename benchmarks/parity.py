"""Keypoints against the published code's: ``python benchmarks/parity.py GOLDEN [--weights d2_ots.pth]``.

GOLDEN holds network inputs (``name.png``) and what the published code found in them (``name.variant.npz``).
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial import cKDTree

from d2sfm import Extractor
from d2sfm.options import Convention, ExtractionOptions, Preprocessing
from d2sfm.text import aligned

VARIANTS = {
    "singlescale": {},
    "multiscale": {"scales": (0.5, 1.0, 2.0)},
    "singlescale_norelu": {"relu": False},
    "singlescale_torch": {"preprocessing": Preprocessing.TORCH},
}
SAME_PX = 0.001


def row(path: Path, weights: str) -> tuple[str, ...]:
    """Compare one golden file."""
    picture, variant = path.stem.split(".")
    image = np.asarray(Image.open(path.with_name(f"{picture}.png")).convert("RGB"))
    options = ExtractionOptions(weights=weights, convention=Convention.REFERENCE, **VARIANTS[variant])
    features, golden = Extractor(options).extract(image), np.load(path)
    distance, partner = cKDTree(features.keypoints[:, :3]).query(golden["keypoints"])
    extra, _ = cKDTree(golden["keypoints"]).query(features.keypoints[:, :3])
    same = distance < SAME_PX
    partner = partner[same]
    return (
        path.stem,
        str(len(distance)),
        str(np.sum(~same)),
        str(np.sum(extra >= SAME_PX)),
        f"{distance[same].max():.1e}",
        f"{np.abs(features.scores[partner] / golden['scores'][same] - 1).max():.1e}",
        f"{np.abs(features.descriptors[partner] - golden['descriptors'][same]).max():.1e}",
        f"{np.sum(distance >= 0.1)}",
    )


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("golden", type=Path)
    parser.add_argument("--weights", default=ExtractionOptions.weights)
    arguments = parser.parse_args()
    header = ("file", "keypoints", "missing", "extra", "px", "score", "descriptor", "moved 0.1 px or more")
    files = sorted(path for path in arguments.golden.glob("*.*.npz") if path.stem.split(".")[1] in VARIANTS)
    print(aligned([header, *(row(path, arguments.weights) for path in files)]))


if __name__ == "__main__":
    main()
