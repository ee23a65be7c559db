"""Photographs placed in a model, against mapping all at once.

    python benchmarks/extension.py DATABASE TRUTH --parts 5 3 3 [--seeds 3] [--refine-cameras yes]

DATABASE is matched, verified and refined with all photographs, and stays as it is; the first part of them, in order of
names, is mapped, and the next ones are placed in that model, strictly and adjusted. TRUTH is a COLMAP model. Prints,
errors after alignment to the truth, of all photographs and of those that are new in a part (medians over images, then
over seeds), CPU seconds (one thread), and whether all that was old is there to the last bit.
"""

import argparse
import tempfile
import time
from itertools import accumulate
from pathlib import Path

import numpy as np
import pycolmap
from pages import add_update, update

from d2sfm.database import MatchStore, remove_photographs, working_copy
from d2sfm.evaluation.poses import compare_with_truth
from d2sfm.mapping.extend import extend_model
from d2sfm.mapping.reconstruct import reconstruct
from d2sfm.options import ReconstructionOptions, RefineCameras
from d2sfm.text import aligned

HEADER = (
    "part, way",
    "images",
    "rotation, deg",
    "centre",
    "of new: rotation",
    "of new: centre",
    "CPU s",
    "old as it was",
)


def main() -> None:
    """Map, place and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--parts", type=int, nargs="+", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--refine-cameras", type=RefineCameras, default=RefineCameras.AUTO)
    add_update(parser)
    arguments = parser.parse_args()
    truth = pycolmap.Reconstruction(arguments.truth)
    rows: dict[str, list[tuple]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        parts = databases(arguments.database, list(accumulate(arguments.parts)), Path(scratch))
        for seed in range(arguments.seeds):
            options = ReconstructionOptions(seed=seed, num_threads=1, refine_cameras=arguments.refine_cameras)
            for way, row in grow(parts, truth, options, Path(scratch) / str(seed)):
                rows.setdefault(way, []).append(row)
    shown = []
    for way, found in rows.items():
        numbers, kept = np.median([row[:-1] for row in found], axis=0), {row[-1] for row in found}
        shown.append((way, f"{numbers[0]:.0f}", *(f"{number:.4f}" for number in numbers[1:5]), f"{numbers[5]:.1f}"))
        shown[-1] += (", ".join(sorted(kept)),)
    print(aligned([HEADER, *shown]))
    update(arguments.update, [HEADER, *shown])


def databases(database: Path, sizes: list[int], folder: Path) -> list[tuple[Path, list[str]]]:
    """Copies with so many of the images, in order of names, each with the names that are new in it."""
    with MatchStore(database) as store:
        names = sorted(store.image_names().values())
    made = []
    for number, size in enumerate(sizes):
        copy = folder / f"part{number}.db"
        working_copy(database, copy)
        remove_photographs(copy, names[size:])
        made.append((copy, names[sizes[number - 1] if number else 0 : size]))
    return made


def grow(parts, truth, options, folder):
    """Yield a way and its row for each part, mapped at once, placed strictly, and adjusted."""
    models = {}
    for number, (database, new) in enumerate(parts):
        ways = {"at once": None, "strict": False, "adjusted": True} if number else {"at once": None}
        for way, adjust in ways.items():
            started, output = time.process_time(), folder / f"{number} {way}"
            if adjust is None:
                model = reconstruct(database, output, options=options).models[0]
            else:
                model = extend_model(database, models[way], output, adjust=adjust, options=options).model
            seconds = time.process_time() - started
            kept = "" if adjust is None else str(is_kept(models[way], model))
            yield f"{number + 1}, {way}", (*errors(model, truth, new), seconds, kept)
            models[way] = model
            if not number:
                models |= {"strict": model, "adjusted": model}


def errors(model: Path, truth: pycolmap.Reconstruction, new: list[str]) -> tuple[float, ...]:
    """Number of images, and the median errors of all and of the new ones."""
    found = compare_with_truth(pycolmap.Reconstruction(model), truth)
    is_new = np.isin(found.names, new)
    numbers = [
        (np.median(found.rotation_deg[these]), np.median(found.centre[these])) for these in (slice(None), is_new)
    ]
    return len(found.names), *numbers[0], *numbers[1]


def is_kept(old: Path, new: Path) -> bool:
    """Whether poses, points and cameras of a model are in another one, to the last bit."""
    before, after = pycolmap.Reconstruction(old), pycolmap.Reconstruction(new)
    if not set(before.points3D) <= set(after.points3D) or not set(before.cameras) <= set(after.cameras):
        return False
    poses = {image.name: image.cam_from_world().matrix() for image in after.images.values()}
    return (
        all((poses[image.name] == image.cam_from_world().matrix()).all() for image in before.images.values())
        and all((after.points3D[key].xyz == point.xyz).all() for key, point in before.points3D.items())
        and all((after.cameras[key].params == camera.params).all() for key, camera in before.cameras.items())
    )


if __name__ == "__main__":
    main()
