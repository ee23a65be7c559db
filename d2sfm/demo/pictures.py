"""Pictures of the demonstration: keypoints, matches, and the cameras beside the true ones."""

from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.database import FeatureStore, MatchStore
from d2sfm.demo.photographs import is_by_night
from d2sfm.evaluation.poses import PoseErrors
from d2sfm.photographs.reading import load_photograph
from d2sfm.plots.cameras import Poses, draw_cameras
from d2sfm.plots.canvas import save_image
from d2sfm.plots.keypoints import draw_keypoints, draw_matches


def draw(output: Path, model: pycolmap.Reconstruction, errors: PoseErrors, truth: pycolmap.Reconstruction) -> None:
    """Write keypoints.png, matches.png and cameras.png of a reconstructed demonstration."""
    names = sorted(path.name for path in (output / "images").iterdir())
    middle = len(names) // 2
    name_a, name_b = names[middle], names[middle + 1]
    image_a, image_b = (load_photograph(output / "images" / name) for name in (name_a, name_b))
    with FeatureStore(output / "db.db") as store:
        save_image(output / "keypoints.png", draw_keypoints(image_a, store.read(name_a).keypoints, zoom=2))
    with MatchStore(output / "db.db") as store:
        id_a, id_b = (store.image_ids()[name] for name in (name_a, name_b))
        matches, inliers = store.told_matches(id_a, id_b)
        xy_a, xy_b = store.keypoints(id_a)[matches[:, 0]], store.keypoints(id_b)[matches[:, 1]]
    save_image(output / "matches.png", draw_matches(image_a, image_b, xy_a, xy_b, inliers, zoom=2))

    model.transform(errors.truth_from_model)
    # Points of two images are the least certain, and blur the houses.
    points = [point for _, point in sorted(model.points3D.items()) if point.track.length() >= 3]
    xyz, colours = (np.array([getattr(point, name) for point in points]) for name in ("xyz", "color"))
    recovered, true = (_poses(each, errors.names) for each in (model, truth))
    dark = np.array([is_by_night(name) for name in errors.names])
    picture = draw_cameras(recovered, xyz, colours, true, by_night=dark if dark.any() else None)
    save_image(output / "cameras.png", picture)


def _poses(model: pycolmap.Reconstruction, names: tuple[str, ...]) -> Poses:
    images = [model.find_image_with_name(name) for name in names]
    rotations = [image.cam_from_world().rotation.matrix() for image in images]
    return Poses(np.array([image.projection_center() for image in images]), np.array(rotations))
