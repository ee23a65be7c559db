"""The cameras of a model: their initial and final focal lengths, and what their lens model leaves unexplained."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from d2sfm.coordinates import Size
from d2sfm.database import MatchStore, cameras_given
from d2sfm.report.lens import LensResiduals, lens_residuals
from d2sfm.report.models import Model


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A camera of registered images. Focal lengths are means of x and y in pixels; a panorama has none."""

    camera_id: int
    kind: str  # COLMAP's name of its model
    size: Size
    images: list[str]  # names
    focal_px: float | None
    began_px: float | None  # what the database has: None without one, or where it has no such image
    began_by: str  # "EXIF", "given" or "guess"; empty where it is not known
    lens: LensResiduals


def read_cameras(model: Model, database: Path | None) -> list[Camera]:
    """The cameras of a model by their ids; a panorama has no focal length."""
    began, given = {}, set()
    if database is not None:
        given = cameras_given(database)
        with MatchStore(database) as store:
            began = {name: store.camera(image_id) for image_id, name in store.image_names().items()}
    seen = model.observations
    names_of: dict[int, list[str]] = {}
    for name, image in model.images.items():
        names_of.setdefault(image.camera_id, []).append(name)
    camera_of = np.array([image.camera_id for image in model.images.values()], np.int64)[seen.image]
    order = np.argsort(camera_of, kind="stable")
    ascending, found = camera_of[order], []
    for camera_id, names in sorted(names_of.items()):
        camera = model.model.cameras[camera_id]
        own = order[slice(*np.searchsorted(ascending, [camera_id, camera_id + 1]))]
        first = next((began[name] for name in names if name in began), None)
        has_focal = len(camera.focal_length_idxs()) > 0
        knows = first is not None and has_focal and len(first.focal_length_idxs()) > 0
        size = camera.width, camera.height
        found.append(
            Camera(
                camera_id=camera_id,
                kind=camera.model_name,
                size=size,
                images=names,
                focal_px=camera.mean_focal_length() if has_focal else None,
                began_px=first.mean_focal_length() if knows else None,
                began_by=_source(first, given) if knows else "",
                lens=lens_residuals(seen.xy[own], seen.residual[own], size),
            )
        )
    return found


def pooled(model: Model, cameras: list[Camera]) -> LensResiduals:
    """Residuals of all cameras together, each on its own plane stretched to that of the first; in its pixels."""
    seen, size = model.observations, cameras[0].size
    sizes = {camera.camera_id: camera.size for camera in cameras}
    of_row = [model.model.images[image_id].camera_id for image_id in seen.image_ids]
    own = np.array([sizes[camera_id] for camera_id in of_row], float)[seen.image]
    return lens_residuals(seen.xy / own * size, seen.residual * (max(size) / own.max(axis=1))[:, None], size)


def _source(camera, given: set[int]) -> str:
    if camera.camera_id in given:
        return "given"
    return "EXIF" if camera.has_prior_focal_length else "guess"
