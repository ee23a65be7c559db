"""Known poses and intrinsics of a database's images, by which pairs are verified.

They are noted in the database. So whatever verifies pairs later goes by them, too, as refinement does.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pycolmap

from d2sfm.colmap import read_model
from d2sfm.database import MatchStore, Note
from d2sfm.database.pair_ids import image_pairs, pair_ids
from d2sfm.database.rows import json_object
from d2sfm.matching.in_common import in_common
from d2sfm.text import counted


class KnownView(NamedTuple):
    """The camera and the pose that an image is known to have."""

    camera: pycolmap.Camera
    cam_from_world: pycolmap.Rigid3d


def note_poses(store: MatchStore, reference: Path) -> str:
    """Note the poses of the images that the database and a COLMAP model in this folder have in common, in place of
    others, and return in words how many. All pairs of these images lose their geometries, unless the same poses are
    noted.

    Raises FileNotFoundError if there is no model, RuntimeError if it can't be read, they have fewer than two images in
    common, or the sizes of a photograph differ.
    """
    common = in_common(store, read_model(reference), reference)
    cameras = {str(each.camera_id): each.todict() for each in common.model.cameras.values()}
    images = {image.name: [image.camera_id, *_numbers(image)] for image in common.model.images.values()}
    for camera in cameras.values():
        camera |= {"model": camera["model"].name, "params": list(camera["params"]), "has_prior_focal_length": True}
    if (text := json.dumps({"cameras": cameras, "images": images})) != store.notes.read(Note.POSES):
        store.note_and_unverify(Note.POSES, text, _within(common.model.images, store.done_pairs(verified=True)))
    of_all = counted(len(store.image_names()), "image")
    return f"pairs are verified by the poses that {reference} has of {len(images)} of {of_all}"


def forget_poses(store: MatchStore, asked: np.ndarray) -> None:
    """Note no poses any more. Of the pairs that are asked for, those that were verified by them lose their
    geometries."""
    if known := known_views(store):
        store.note_and_unverify(Note.POSES, None, _within(known, pair_ids(*asked.T)))


def known_views(store: MatchStore) -> dict[int, KnownView]:
    """What is noted, by image_id. RuntimeError if d2sfm did not write it."""
    if (text := store.notes.read(Note.POSES)) is None:
        return {}
    noted, ids, found = json_object(store.path, Note.POSES, text), store.image_ids(), {}
    try:
        cameras = {key: pycolmap.Camera(camera) for key, camera in noted["cameras"].items()}
        for name, (camera_id, *numbers) in noted["images"].items():
            if name in ids:
                pose = pycolmap.Rigid3d(pycolmap.Rotation3d(numbers[:4]), numbers[4:])
                found[ids[name]] = KnownView(cameras[str(camera_id)], pose)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise RuntimeError(
            f"{store.path}: the note of known poses is not of d2sfm: give d2sfm match --reference"
        ) from error
    return found


def unverified_of_known(store: MatchStore) -> np.ndarray:
    """The pairs of images of known poses that have matches but no geometry, [P, 2]."""
    unverified = np.setdiff1d(store.done_pairs(verified=False), store.done_pairs(verified=True))
    return image_pairs(_within(known_views(store), unverified))


def _within(image_ids: Iterable[int], pairs: np.ndarray) -> np.ndarray:
    """Those of the pairs, [P] numbers (see ``pair_ids``), of which both images are among these."""
    return pairs[np.isin(image_pairs(pairs), list(image_ids)).all(axis=1)]


def _numbers(image: pycolmap.Image) -> list[float]:
    """The quaternion (x, y, z, w) and the translation of its pose."""
    pose = image.cam_from_world()
    return [*pose.rotation.quat.tolist(), *pose.translation.tolist()]
