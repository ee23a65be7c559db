"""Photographs that are stored turned beside upright ones: ``python benchmarks/turned.py FOLDER ... [OPTIONS]``.

Each FOLDER holds ``images/`` and ``ground_truth/`` (a COLMAP model with PINHOLE cameras). Every second photograph is
stored turned, without loss, with the EXIF orientation that makes it upright, and so is its camera. Prints for the set
as it is, and for each set of orientations: inliers of pairs of which one is turned, also as a share of those of the
set as it is; the share of refined matches within half a pixel of the network's input of their true epipolar line;
images and median errors of poses of each seed, centres in a thousandth of the truth's unit. A mirrored picture
(2, 4, 5, 7) is none of a pinhole camera, so it is not mapped.
"""

import argparse
import shutil
import tempfile
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
import pycolmap
from pages import add_update, update
from PIL import ExifTags, Image

from d2sfm.coordinates import stored_array, stored_from_upright, upright_from_stored, upright_size
from d2sfm.database import FeatureStore, MatchStore, mark_cameras_given
from d2sfm.database.pair_ids import image_pairs
from d2sfm.evaluation.poses import compare_with_truth
from d2sfm.extraction.extract import extract_to_database
from d2sfm.mapping.reconstruct import reconstruct
from d2sfm.matching.match import match_database
from d2sfm.options import ExtractionOptions, ReconstructionOptions, RefinementOptions, VerificationOptions
from d2sfm.photographs.reading import load_photograph
from d2sfm.refinement.refine import refine_database
from d2sfm.text import aligned

HEADER = (
    "set",
    "orientations",
    "seed",
    "unlike inliers",
    "inliers",
    "within .5 px",
    "images",
    "rotation, deg",
    "centre, mm",
)
MIRRORED = {2, 4, 5, 7}
NEAR_PX = 0.5  # of the network's input


@dataclass(frozen=True)
class StoredSet:
    """A folder of photographs, some of them stored turned; the truth is that of the upright ones."""

    folder: Path
    orientations: dict[str, int]
    truth: pycolmap.Reconstruction


def write_set(source: Path, folder: Path, orientations: tuple[int, ...]) -> StoredSet:
    """PNG copies of ``source/images``, every second one stored in one of the orientations, in turn."""
    truth, turns, found = pycolmap.Reconstruction(source / "ground_truth"), cycle(orientations), {}
    folder.mkdir()
    for number, path in enumerate(sorted((source / "images").iterdir())):
        name, orientation = f"{path.stem}.png", next(turns) if number % 2 else 1
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        Image.fromarray(stored_array(load_photograph(path), orientation)).save(folder / name, exif=exif)
        found[name] = orientation
    return StoredSet(folder, found, truth)


def true_image(stored: StoredSet, name: str) -> pycolmap.Image:
    """The truth's record of a photograph."""
    return next(image for image in stored.truth.images.values() if Path(image.name).stem == Path(name).stem)


def give_cameras(database: Path, stored: StoredSet) -> None:
    """Write the true cameras, turned as their photographs are."""
    with pycolmap.Database.open(database) as colmap:
        ids = []
        for image in colmap.read_all_images():
            orientation, known = stored.orientations[image.name], true_image(stored, image.name).camera
            fx, fy, cx, cy = known.params
            [[x, y]] = _stored([[cx, cy]], (known.width, known.height), orientation)
            camera = colmap.read_camera(image.camera_id)
            camera.model, camera.has_prior_focal_length = pycolmap.CameraModelId.PINHOLE, True
            camera.params = [*((fx, fy) if orientation < 5 else (fy, fx)), x, y]
            colmap.update_camera(camera)
            ids.append(image.camera_id)
    mark_cameras_given(database, ids)


def _stored(xy: list, size: tuple[int, int], orientation: int) -> np.ndarray:
    return stored_from_upright(np.array(xy), upright_size(size, orientation), orientation)


def prepared(stored: StoredSet, database: Path, edge: int) -> None:
    """Features and matches, with known cameras."""
    options = ExtractionOptions(max_edge=edge, precision="auto")
    extract_to_database(database, stored.folder, options=options)
    give_cameras(database, stored)
    match_database(database, verification=None)


def inliers(database: Path) -> dict[frozenset[str], int]:
    """Verified matches by pair."""
    with MatchStore(database) as store:
        return {frozenset((a, b)): count for a, b, _, count in store.pairs_table()}


def of_unlike(counts: dict[frozenset[str], int], stored: StoredSet) -> int:
    """Inliers of all pairs of which one photograph is stored turned and the other is not."""
    turned = {name for name, orientation in stored.orientations.items() if orientation != 1}
    return sum(count for pair, count in counts.items() if len(pair & turned) == 1)


def near_share(database: Path, stored: StoredSet) -> float:
    """Share of verified matches whose Sampson error under the true cameras is below half a pixel of the input."""
    with FeatureStore(database) as store:
        factors = store.resize_factors()
    errors = []
    with MatchStore(database) as store:
        names = store.image_names()
        for a, b in image_pairs(store.done_pairs(verified=True)).tolist():
            matches = store.inlier_matches(a, b)
            if not len(matches):
                continue
            rays = [
                _upright_rays(store.keypoints(i)[column], stored, names[i])
                for i, column in zip((a, b), matches.T, strict=True)
            ]
            image_a, image_b = (true_image(stored, names[i]) for i in (a, b))
            b_from_a = image_b.cam_from_world() * image_a.cam_from_world().inverse()
            line_b = rays[0] @ pycolmap.essential_matrix_from_pose(b_from_a).T
            line_a = rays[1] @ pycolmap.essential_matrix_from_pose(b_from_a)
            off = np.abs(np.sum(rays[1] * line_b, axis=1))
            sampson = off / np.sqrt(np.sum(line_a[:, :2] ** 2, axis=1) + np.sum(line_b[:, :2] ** 2, axis=1))
            errors.append(sampson * image_a.camera.mean_focal_length() / factors[a])
    return float((np.concatenate(errors) < NEAR_PX).mean())


def _upright_rays(xy: np.ndarray, stored: StoredSet, name: str) -> np.ndarray:
    known, orientation = true_image(stored, name).camera, stored.orientations[name]
    size = upright_size((known.width, known.height), orientation)
    upright = upright_from_stored(xy, size, orientation)
    return np.column_stack([known.cam_from_img(upright), np.ones(len(upright))])


def turned_truth(stored: StoredSet) -> pycolmap.Reconstruction:
    """The truth with cameras that are turned about their axes as their photographs are stored, under their names."""
    quarter = {1: 0, 6: -90, 3: 180, 8: 90}  # degrees about z, from the upright to the stored camera
    truth = pycolmap.Reconstruction()
    for number, (name, orientation) in enumerate(stored.orientations.items(), 1):
        image = true_image(stored, name)
        camera = pycolmap.Camera(image.camera.todict() | {"camera_id": number})
        turn = pycolmap.Rotation3d(np.array([0, 0, np.radians(quarter[orientation])]))
        truth.add_camera_with_trivial_rig(camera)
        new = pycolmap.Image(name=name, camera_id=number, image_id=number)
        truth.add_image_with_trivial_frame(new, pycolmap.Rigid3d(turn, np.zeros(3)) * image.cam_from_world())
    return truth


def rows_of(label: str, stored: StoredSet, scratch: Path, arguments: argparse.Namespace, upright: dict) -> list[tuple]:
    """A row of the table for each seed, without the name of the set.

    upright: inliers by seed of the set as it is, which its own rows enter.
    """
    database, rows = scratch / f"{label}.db", []
    prepared(stored, database, arguments.max_edge)
    for seed in arguments.seeds:
        of_seed = Path(shutil.copy(database, scratch / f"{label}_{seed}.db"))
        match_database(of_seed, verification=VerificationOptions(seed=seed))
        counts = inliers(of_seed)
        found, expected = of_unlike(counts, stored), of_unlike(upright.setdefault(seed, counts), stored)
        refine_database(of_seed, stored.folder, options=RefinementOptions(seed=seed))
        share = f"{found / expected:.3f}" if expected else "-"
        row = [label, str(seed), str(found), share, f"{near_share(of_seed, stored):.3f}"]
        if MIRRORED.isdisjoint(stored.orientations.values()):
            once = ReconstructionOptions(seed=seed, num_threads=1)
            result = reconstruct(of_seed, scratch / f"{label}_{seed}", options=once)
            errors = compare_with_truth(pycolmap.Reconstruction(result.models[0]), turned_truth(stored))
            row += [str(result.statistics[0].images), f"{np.median(errors.rotation_deg):.3f}"]
            row += [f"{1000 * np.median(errors.centre):.1f}"]
        rows.append((*row, *["-"] * (8 - len(row))))
    return rows


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--max-edge", type=int, default=800)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--orientations", nargs="+", default=["3,6,8", "2,4,5,7"], help="sets, each with commas")
    add_update(parser)
    arguments = parser.parse_args()
    rows = [HEADER]
    for folder in arguments.folders:
        rows += rows_of_set(folder, arguments)
        print(aligned(rows), flush=True)
    update(arguments.update, rows)


def rows_of_set(folder: Path, arguments: argparse.Namespace) -> list[tuple]:
    """The rows of the set as it is, and of each set of orientations."""
    rows, upright = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        for label, text in [("as it is", "1"), *((each, each) for each in arguments.orientations)]:
            stored = write_set(folder, Path(scratch, f"photographs {label}"), tuple(map(int, text.split(","))))
            rows += rows_of(label, stored, Path(scratch), arguments, upright)
    return [(folder.name, *row) for row in rows]


if __name__ == "__main__":
    main()
