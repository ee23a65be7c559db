"""Poses in files: the localization benchmarks' list, a COLMAP model with the queries, pictures."""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pycolmap

from d2sfm.files import replacing
from d2sfm.localization.outcome import NotPlaced, Pose
from d2sfm.mapping.model_files import write_models
from d2sfm.photographs.reading import load_photograph
from d2sfm.plots.canvas import limited, save_image
from d2sfm.plots.keypoints import draw_matches
from d2sfm.text import errors_at

PICTURE_PX = 800  # longer edge of either photograph


def write_poses(path: Path, poses: Iterable[tuple[str, Pose]]) -> None:
    """Lines "name qw qx qy qz tx ty tz", world to camera."""
    with replacing(path) as stream:
        for name, pose in poses:
            numbers = " ".join(f"{number:.17g}" for number in (*pose.quaternion, *pose.translation))
            stream.write(f"{name} {numbers}\n".encode())


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Base names, as the benchmarks' servers expect them. ValueError if two queries have the same."""
    names, of_short = list(names), {}
    for name in names:
        short = PurePosixPath(name).name
        if short in of_short:
            raise ValueError(f"{of_short[short]} and {name} have the same base name: run without --base-names")
        of_short[short] = name
    return {name: short for short, name in of_short.items()}


def add_queries(model: pycolmap.Reconstruction, poses: Iterable[tuple[str, Pose]]) -> None:
    """Images with cameras of their own, which see the agreeing points, each once."""
    for name, pose in poses:
        # A trivial rig has its camera's id, and a trivial frame its image's.
        camera_id, image_id = _next_id(model.cameras, model.rigs), _next_id(model.images, model.frames)
        pose.camera.camera_id = camera_id
        model.add_camera_with_trivial_rig(pose.camera)
        point_ids, rows = np.unique(pose.point_ids, return_index=True)
        image = pycolmap.Image(name=name, camera_id=camera_id, image_id=image_id)
        image.points2D = [pycolmap.Point2D(xy) for xy in pose.xy[rows]]
        model.add_image_with_trivial_frame(image, pose.cam_from_world)
        for number, point_id in enumerate(point_ids.tolist()):
            model.add_observation(point_id, pycolmap.TrackElement(image_id, number))


def _next_id(*taken: Iterable[int]) -> int:
    return max((each for ids in taken for each in ids), default=0) + 1


def write_model(model: pycolmap.Reconstruction, poses: Iterator[tuple[str, Pose]], output: Path) -> None:
    """The model with the queries in ``output``/0. Changes the model. Raises as ``write_models``."""
    add_queries(model, poses)
    write_models([model], output, text=False, ply=False)


def draw(path: Path, photograph: Path, folder: Path, found: Pose | NotPlaced) -> None:
    """Query and the image of the map with most inliers, with their matches; nothing without a match.

    Raises ValueError if a photograph can't be read.
    """
    if found.view is None:
        return
    (query, to_query), (other, to_other) = _small(photograph), _small(folder / found.view.name)
    view = found.view
    canvas = draw_matches(query, other, view.xy_in_query * to_query, view.xy_in_map * to_other, view.inliers)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_image(path, canvas)


def _small(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A photograph as it is stored, and how many of its pixels are one of the picture file's, [2]."""
    with errors_at(path):
        pixels = load_photograph(path)
    return limited(pixels, min(PICTURE_PX, max(pixels.shape[:2])))
