"""Views of the demonstration's square, matched, whose correspondences are exact."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from support.rendered_truth import transfer

from d2sfm.database import MatchStore
from d2sfm.demo.rendering import render
from d2sfm.demo.scene import Camera, Scene, arc_of_views
from d2sfm.demo.square import CENTRE
from d2sfm.extraction.extract import extract_to_database
from d2sfm.matching.match import match_database
from d2sfm.options import (
    CameraMode,
    CameraOptions,
    ExtractionOptions,
    MapCacheOptions,
    Precision,
    RefinementOptions,
    VerificationOptions,
)
from d2sfm.refinement.refine import refine_database

PAIRS = [(1, 2), (2, 3), (1, 3)]
CPU = {"device": "cpu", "precision": Precision.FLOAT32}
OPTIONS = RefinementOptions(**CPU)


class Matched(NamedTuple):
    """Three views of the square, 320 x 240 px, of which the network saw 256 x 192."""

    scene: Scene
    cameras: list[Camera]
    folder: Path
    database: Path
    cache: Path  # feature maps, so that only the first run computes them


def match_square(root, square):
    """Render, extract and match in the folder ``root``."""
    cameras = arc_of_views(CENTRE, 3, size=(320, 240))
    (root / "images").mkdir()
    for camera in cameras:
        cv2.imwrite(str(root / "images" / camera.name), render(square, camera).image[..., ::-1])
    first = cameras[0]
    given = CameraOptions(
        camera_mode=CameraMode.SINGLE,
        camera_model="PINHOLE",
        camera_params=f"{first.fx},{first.fy},{first.cx},{first.cy}",
    )
    options = ExtractionOptions(max_edge=256, **CPU)
    extract_to_database(root / "db.db", root / "images", options=options, cameras=given)
    # Not the default, so that restoring has to look up what match was given.
    match_database(root / "db.db", verification=VerificationOptions(max_error=6.0, seed=3))
    return Matched(square, cameras, root / "images", root / "db.db", root / "cache")


def refined(database, matched, **changes):
    return refine_database(database, **{"options": OPTIONS, "cache": MapCacheOptions(cache=matched.cache), **changes})


def errors_px(path, matched, inliers_of=None, pairs=PAIRS):
    """Distances of the inlier matches of ``match``, or of another database, from where the scene says that they belong,
    in network pixels."""
    errors = []
    for a, b in pairs:
        with MatchStore(inliers_of or matched.database) as store:
            of_a, of_b = store.inlier_matches(a, b).T
        with MatchStore(path) as store:
            xy_a, xy_b = store.keypoints(a)[of_a].astype(float), store.keypoints(b)[of_b]
        expected, visible = transfer(matched.scene, matched.cameras[a - 1], matched.cameras[b - 1], xy_a)
        errors.append(np.linalg.norm(expected - xy_b, axis=1)[visible] * 256 / 320)
    return np.concatenate(errors)
