"""The vertical by photographs: people hold cameras upright, and EXIF tells which way round."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pycolmap

from d2sfm.coordinates import Size, is_upright, stored_from_upright
from d2sfm.database import FeatureStore, MatchStore
from d2sfm.photographs.headers import read_header
from d2sfm.skipped import Skipped

AGREEING = 0.9  # length of the mean of unit vectors: below, cameras were held in all ways
PARALLEL = 0.98  # the same of viewing directions that are all but the same, as of a camera that looks straight down


class Down(NamedTuple):
    """axis: unit vector [3] in the model, down by the cameras; agreement: 0 to 1, length of the mean; view: mean of the
    unit viewing directions, [3]."""

    axis: np.ndarray
    agreement: float
    view: np.ndarray


def orientations(sizes: Mapping[str, Size], database: Path | None, images: Path | None) -> dict[str, int]:
    """EXIF orientations by which a model's pictures become upright, by name, as far as the database or the files have
    them: 1 for those that are the upright ones of photographs that are stored turned.

    sizes: (width, height) of the pictures in the model, by name. images: folder of the photographs (default: the
    database's).
    """
    found, by_gravity, stored = {}, {}, {}
    if database is not None:
        with FeatureStore(database) as store:
            found, images = store.orientations(), images or store.notes.images_folder()
            stored = {name: (image.width, image.height) for name, image in store.images().items()}
        with MatchStore(database) as matches:
            of_ids, priors = matches.image_names(), matches.pose_priors()
        by_gravity = {of_ids[id_]: _of_gravity(prior.gravity) for id_, prior in priors.items() if prior.has_gravity()}
    if images is not None:
        for name in sizes.keys() - found.keys():
            with Skipped().catching(name):  # a file that is not there, or damaged: something else may tell
                stored[name], found[name] = read_header(Path(images) / name)
    found = {name: orientation for name, orientation in (by_gravity | found).items() if name in sizes}
    return {
        name: 1 if is_upright(sizes[name], stored.get(name, sizes[name]), orientation) else orientation
        for name, orientation in found.items()
    }


def mean_down(images: list[pycolmap.Image], turned: dict[str, int], is_nadir: bool = False) -> Down:
    """The mean down axis of cameras with poses, or their mean viewing direction if they looked straight down.

    turned: EXIF orientation by name, see ``orientations``; others are upright as they are stored.
    """
    in_world = [image.cam_from_world().rotation.matrix().T for image in images]
    view = np.mean([rotation[:, 2] for rotation in in_world], axis=0)
    down = [
        rotation @ _down_in_camera(turned.get(image.name, 1)) for rotation, image in zip(in_world, images, strict=True)
    ]
    mean = view if is_nadir else np.mean(down, axis=0)
    length = float(np.linalg.norm(mean))
    return Down(mean / length if length > 0 else np.array([0.0, 1, 0]), length, view)


def upright_rotation(down: np.ndarray) -> np.ndarray:
    """The smallest rotation [3, 3] that takes a direction, [3], to that of -z."""
    from scipy.spatial.transform import Rotation

    return Rotation.align_vectors([[0, 0, -1]], [down])[0].as_matrix()


def _down_in_camera(orientation: int) -> np.ndarray:
    begin, end = stored_from_upright(np.array([[0.0, 0], [0, 1]]), (0, 0), orientation)
    return np.array([*(end - begin), 0])


def _of_gravity(gravity: np.ndarray) -> int:
    """The orientation of a photograph that is not mirrored, by the direction of gravity in its camera, [3]."""
    return max((1, 3, 6, 8), key=lambda each: _down_in_camera(each) @ np.ravel(gravity))
