"""What a database and a model with known poses have in common."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pycolmap

from d2sfm.database import MatchStore
from d2sfm.database.rows import UnusableRow, warn_once
from d2sfm.text import counted, first_few

logger = logging.getLogger(__name__)

NAMES_SHOWN = 20


class InCommon(NamedTuple):
    """A model of the images that both have, with ids of the database, without points; and names that only one has."""

    model: pycolmap.Reconstruction
    without_pose: tuple[str, ...]
    without_features: tuple[str, ...]


def in_common(store: MatchStore, poses: pycolmap.Reconstruction, reference: Path) -> InCommon:
    """What the database and the reference with these poses have in common. RuntimeError for fewer than two images."""
    database = store.path
    posed = {image.name: image for image in poses.images.values() if image.has_pose}
    ids = {name: image_id for name, image_id in store.image_ids().items() if has_usable(store, image_id)}
    names = sorted(posed.keys() & ids.keys())
    without_pose = tuple(sorted(ids.keys() - posed.keys()))
    without_features = tuple(sorted(posed.keys() - ids.keys()))
    for missing, what in (
        (without_pose, f"of {database} without a pose in {reference}"),
        (without_features, f"of {reference} without features in {database}"),
    ):
        if missing:
            logger.warning("%s %s: %s", counted(len(missing), "image"), what, first_few(missing, NAMES_SHOWN))
    if len(names) < 2:
        raise RuntimeError(
            f"{reference} and {database} have {counted(len(names), 'image')} in common, expected two or more"
        )
    model = _posed_model({ids[name]: posed[name] for name in names}, store, reference)
    return InCommon(model, without_pose, without_features)


def has_usable(store: MatchStore, image_id: int) -> bool:
    """Whether an image has usable keypoints; warns of others."""
    try:
        return store.has_keypoints(image_id) and store.keypoints(image_id) is not None
    except UnusableRow as error:
        warn_once(f"left out: {error}")
        return False


def require_same_size(store: MatchStore, image_id: int, image: pycolmap.Image, model: Path) -> None:
    """RuntimeError if the photograph of an image of a model has another size in the database."""
    camera, of_database = image.camera, store.camera(image_id)
    if (camera.width, camera.height) != (of_database.width, of_database.height):
        raise RuntimeError(
            f"{image.name} is {camera.width} x {camera.height} px in {model}, {of_database.width} x "
            f"{of_database.height} px in {store.path}: expected the same photographs"
        )


def _posed_model(posed: Mapping[int, pycolmap.Image], store: MatchStore, reference: Path) -> pycolmap.Reconstruction:
    """A model of images of the reference by their ids in the database. RuntimeError if sizes differ."""
    known = pycolmap.Reconstruction()
    for image_id, of_reference in posed.items():
        require_same_size(store, image_id, of_reference, reference)
        name, camera = of_reference.name, of_reference.camera
        if not known.exists_camera(camera.camera_id):
            known.add_camera_with_trivial_rig(camera)
        image = pycolmap.Image(name=name, camera_id=camera.camera_id, image_id=image_id)
        known.add_image_with_trivial_frame(image, of_reference.cam_from_world())
    return known
