"""Small pairs of pictures of planes in the layout of WxBS, and in a list of SuperGlue's."""

from pathlib import Path

import numpy as np
from PIL import Image
from support.plane_views import apply, plane_views

SIZE = (112, 84)


def write_hard_pairs(root: Path, names=("A/near", "A/same", "B/last"), size=SIZE) -> Path:
    """Write a pair of a plane of its own for each name, with 12 true points; returns the folder."""
    for seed, name in enumerate(names):
        views, folder = plane_views(seed, scale=1.05, count=2, size=size), root / name
        folder.mkdir(parents=True)
        for number, picture in enumerate(views.pictures, 1):
            Image.fromarray(picture).save(folder / f"0{number}.png")
        places = np.random.default_rng(seed).uniform(10, 70, (12, 2))
        np.savetxt(folder / "corrs.txt", np.column_stack([places, apply(views.from_first[1], places)]))
    return root


def write_list(root: Path, turn: int = 0) -> Path:
    """A list of the pairs that ``write_hard_pairs`` wrote, with a made-up pose; returns its path."""
    lines, matrix, pose = [], "100 0 56 0 100 42 0 0 1", "1 0 0 .3 0 1 0 .1 0 0 1 0 0 0 0 1"
    for points in sorted(root.glob("*/*/corrs.txt")):
        first, second = ((points.parent / f"0{number}.png").relative_to(root) for number in (1, 2))
        lines.append(f"{first} {second} 0 {turn} {matrix} {matrix} {pose}")
    (root / "pairs.txt").write_text("\n".join(lines))
    return root / "pairs.txt"
