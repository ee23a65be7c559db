"""How exact the observations of refined tracks are under true cameras, stage by stage.

    python benchmarks/observations.py DATABASE TRUTH [--images DIR] [--precision P] [--cache DIR]

DATABASE is matched and verified, and stays as it is; TRUTH is a COLMAP model of the same photographs without
distortion. Aligns all tracks on a copy, by features and then by grey values, and continues them. Prints the share that
grey values accept, the Sampson errors of observations against the reference of their track in pixels of the photograph
(also by quarters of the predicted standard deviation, and of what continues tracks), the length of tracks, CPU
milliseconds for an observation, and the peak of resident memory.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pycolmap
from pages import add_update, update

from d2sfm.database import FeatureStore, MatchStore, working_copy
from d2sfm.options import MapCacheOptions, Precision, RefinementOptions
from d2sfm.refinement.collection import Collection, read_collection, read_images
from d2sfm.refinement.stages import Stages
from d2sfm.refinement.standing import Standing
from d2sfm.refinement.tracks import Tracks, build_tracks
from d2sfm.text import aligned

BELOW_PX = (0.1, 0.25, 0.5, 1.0)
HEADER = ["", "median", *(f"< {px:g}" for px in BELOW_PX)]


def main() -> None:
    """Align and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--precision", type=Precision, default=Precision.AUTO)
    parser.add_argument("--cache", type=Path)
    add_update(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        database = Path(scratch) / "db.db"
        working_copy(arguments.database, database)
        with FeatureStore(database) as features:
            images, folder = read_images(features), features.notes.find_images_folder(arguments.images)
        with MatchStore(database) as store:
            collection = read_collection(images, store)
        stages = Stages(
            database=database,
            folder=folder,
            collection=collection,
            tracks=build_tracks(collection.image_of_node, collection.edges),
            options=RefinementOptions(precision=arguments.precision),
            cache=MapCacheOptions(cache=arguments.cache),
            progress=False,
            standing=Standing.nothing(collection),
            scratch=Path(scratch),
        )
        rows = show(stages, pycolmap.Reconstruction(arguments.truth))
    update(arguments.update, rows)


def show(stages: Stages, truth: pycolmap.Reconstruction) -> list[list[str]]:
    """All stages, and the table, which is returned."""
    nodes = stages.tracks.observations()
    begun = time.process_time()
    by_features = stages.by_features()
    between = time.process_time()
    by_grey_values, sigmas = stages.by_grey_values(by_features)
    ended = time.process_time()
    accepted = np.isfinite(sigmas[nodes])
    print(f"{len(nodes)} observations of {len(stages.tracks.reference)} tracks, {accepted.mean():.3f} accepted")
    for stage, seconds in (("features", between - begun), ("grey values", ended - between)):
        print(f"{stage}: {1000 * seconds / len(nodes):.2f} CPU ms an observation")
    print(f"peak of memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")
    rows = [HEADER]
    stops = ("unrefined", stages.collection.xy), ("by features", by_features), ("by grey values", by_grey_values)
    for of_which, which in (("all", np.ones(len(nodes), bool)), ("accepted", accepted)):
        for label, xy in stops:
            rows.append(
                row(f"{of_which}, {label}", errors_px(stages.collection, stages.tracks, nodes[which], xy, truth))
            )
    errors = errors_px(stages.collection, stages.tracks, nodes[accepted], by_grey_values, truth)
    by_sigma = np.argsort(sigmas[nodes[accepted]], kind="stable")
    for number, quarter in enumerate(np.array_split(by_sigma, 4), 1):
        rows.append(row(f"accepted, quarter {number} of predicted", errors[quarter]))
    rows.append(row("continued", continued_px(stages, by_grey_values, sigmas, truth)))
    print(aligned(rows))
    return rows


def row(label: str, errors: np.ndarray) -> list[str]:
    """A row of the table."""
    return [label, f"{np.median(errors):.3f}", *(f"{np.mean(errors < px):.3f}" for px in BELOW_PX)]


def continued_px(stages: Stages, xy: np.ndarray, sigmas: np.ndarray, truth: pycolmap.Reconstruction) -> np.ndarray:
    """Errors as of ``errors_px`` of what continues tracks; prints how much that is."""
    stage, extended = stages.continuation(xy, sigmas)
    positions, accepted = extended.xy.copy(), []
    for nodes, found in stage.parts([], progress=False):
        is_accepted = np.isfinite(found[:, 2])
        accepted.append(nodes[is_accepted])
        positions[accepted[-1]] = found[is_accepted, :2]
    new = np.sort(np.concatenate(accepted))
    more = np.count_nonzero(extended.own[np.isin(extended.new, new)] < 0)
    count, in_track = len(stages.tracks.reference), np.count_nonzero(stages.tracks.of_node >= 0)
    print(f"{len(extended.new)} places are predicted, {len(new)} accepted, {more} of these without a keypoint before")
    print(f"tracks of {in_track / count:.2f} images become {(in_track + more) / count:.2f} long")
    return errors_px(extended.collection, extended.tracks, new, positions, truth)


def errors_px(
    collection: Collection, tracks: Tracks, nodes: np.ndarray, xy: np.ndarray, truth: pycolmap.Reconstruction
) -> np.ndarray:
    """Sampson errors of nodes against the references of their tracks, [M], in pixels of the photographs."""
    references = tracks.reference[tracks.of_node[nodes]]
    split = np.split(xy, collection.first_node[1:-1])
    in_image = np.concatenate([image.in_image(each) for image, each in zip(collection.images, split, strict=True)])
    pairs, of_pair = np.unique(collection.image_of_node[np.stack([references, nodes])], axis=1, return_inverse=True)
    errors, posed = np.empty(len(nodes)), {image.name: image for image in truth.images.values()}
    for number, (a, b) in enumerate(pairs.T):
        here = of_pair.ravel() == number
        images = [posed[collection.images[each].name] for each in (a, b)]
        rays_a, rays_b = (np.column_stack([in_image[each[here]], np.ones(here.sum())]) for each in (references, nodes))
        fundamental = _fundamental(truth, *images)
        lines_b, lines_a = rays_a @ fundamental.T, rays_b @ fundamental
        length = np.hypot(np.linalg.norm(lines_a[:, :2], axis=1), np.linalg.norm(lines_b[:, :2], axis=1))
        errors[here] = np.abs((rays_b * lines_b).sum(axis=1)) / length
    return errors


def _fundamental(truth: pycolmap.Reconstruction, a: pycolmap.Image, b: pycolmap.Image) -> np.ndarray:
    essential = pycolmap.essential_matrix_from_pose(b.cam_from_world() * a.cam_from_world().inverse())
    of_a, of_b = (np.linalg.inv(truth.cameras[each.camera_id].calibration_matrix()) for each in (a, b))
    return of_b.T @ essential @ of_a


if __name__ == "__main__":
    main()
