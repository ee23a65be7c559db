"""The points that an image sees of a model, and their residuals.

d2sfm show image a.jpg --model sparse/0
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pycolmap

from d2sfm.colmap import read_model
from d2sfm.database.file import beside
from d2sfm.plots.captions import Key, Ramp, captioned
from d2sfm.plots.palette import RECOVERED, UNUSED
from d2sfm.plots.residuals import arrow_scale, draw_residuals
from d2sfm.show.given import DATABASE, meant
from d2sfm.show.photographs import Photographs
from d2sfm.show.picture import Picture
from d2sfm.text import counted

LONGEST_PX = 1600
LISTED = 25  # of the worst
LARGE = 0.98  # quantile of the errors, which is yellow: outliers would make all others violet
SAMPLE_PX = 70  # about the length of the arrow that tells the scale


class Sight(NamedTuple):
    """What an image observes, positions in pixels of the photograph as it is stored.

    xy: [M, 2]; residuals: [M, 2], from these to where the points are projected; points: [M] ids; others: [K, 2],
    keypoints that see no point.
    """

    xy: np.ndarray
    residuals: np.ndarray
    points: list[int]
    others: np.ndarray


def show_image(
    name: str, model: Path | str = "sparse/0", *, database: Path | str | None = None, images: Path | str | None = None
) -> Picture:
    """The points of a model that an image sees, with an arrow from each keypoint to where its point is projected.

    name: of an image of the model. images: the folder of the photographs (default: the one that extract recorded in the
    database, which is db.db beside the model or here if none is given).

    Raises ValueError if the model has no such image, or no pose of it, FileNotFoundError if the model or the photograph
    is missing, RuntimeError if the model or the database can't be read.
    """
    folder, reconstruction = Path(model), read_model(Path(model))
    by_name = {image.name: image for image in reconstruction.images.values()}
    image = by_name[meant(str(name), list(by_name), str(folder))]
    if not image.has_pose:
        raise ValueError(f"{image.name} has no pose in {folder}")
    seen = sight(reconstruction, image)
    photographs = photographs_of(database or beside(folder, DATABASE), images)
    view = photographs.view(image.name, LONGEST_PX, (image.camera.width, image.camera.height))
    return _picture(reconstruction, image, seen, view)


def photographs_of(database: Path | str | None, images: Path | str | None) -> Photographs:
    """The photographs of a database, or of a folder. FileNotFoundError if these are missing, or neither is given."""
    if database is not None:
        return Photographs.of_database(Path(database), Path(images) if images else None)
    if images is None:
        raise FileNotFoundError(f"no {DATABASE} to find the photographs by: give --images or --database")
    return Photographs(Path(images))


def sight(model: pycolmap.Reconstruction, image: pycolmap.Image) -> Sight:
    """What an image of a model observes. Points behind the camera are left out."""
    xy, residuals, points, others = [], [], [], []
    for observed in image.points2D:
        seen = image.project_point(model.points3D[observed.point3D_id].xyz) if observed.has_point3D() else None
        if seen is None:
            others.append(observed.xy)
            continue
        xy.append(observed.xy)
        residuals.append(seen - observed.xy)
        points.append(observed.point3D_id)
    return Sight(*(np.reshape(each, (-1, 2)) for each in (xy, residuals)), points, np.reshape(others, (-1, 2)))


def _picture(model: pycolmap.Reconstruction, image: pycolmap.Image, seen: Sight, view) -> Picture:
    errors = np.linalg.norm(seen.residuals, axis=1)
    start, end = view.place(seen.xy), view.place(seen.xy + seen.residuals)
    scale, zoom = arrow_scale(end - start, view.pixels.shape[1]), float(view.factors.mean())
    largest = max(float(np.quantile(errors, LARGE)), 0.01) if len(errors) else 1.0
    canvas = draw_residuals(view.pixels, start, end - start, view.place(seen.others), scale, largest * zoom)
    title = (
        f"{image.name}: points seen by {len(errors):,} of {counted(len(errors) + len(seen.others), 'keypoint', ',')}"
    )
    keys = [Key("keypoint that sees no point", UNUSED)]
    facts = {}
    if len(errors):
        sample = _round_number(SAMPLE_PX / (scale * zoom))
        title += f", {np.median(errors):.2f} px off (median)"
        arrow = f"{sample:g} px, from a keypoint to where the model sees its point"
        keys = [Ramp("0 px off", f"{largest:.2g} px and more"), Key(arrow, RECOVERED, sample * scale * zoom), *keys]
        numbers = {"largest residual": errors.max(), "root mean square": np.sqrt((errors**2).mean())}
        facts = {label: f"{number:.2f} px" for label, number in numbers.items()}
    return Picture(
        name=f"image-{image.name}",
        title=title,
        facts=facts,
        table=_worst(model, seen, errors),
        draw=lambda theme: captioned(canvas, title, keys, theme),
    )


def _worst(model: pycolmap.Reconstruction, seen: Sight, errors: np.ndarray) -> list[tuple[str, ...]]:
    """Rows of the largest residuals."""
    rows = [("point", "off, px", "x, px", "y, px", "seen by images")]
    for index in np.argsort(-errors, kind="stable")[:LISTED]:
        x, y = seen.xy[index]
        length = model.points3D[seen.points[index]].track.length()
        rows.append((str(seen.points[index]), f"{errors[index]:.2f}", f"{x:.1f}", f"{y:.1f}", str(length)))
    return rows if len(rows) > 1 else []


def _round_number(value: float) -> float:
    """The nearest one of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(value))
    return min((step * power for step in (1, 2, 5, 10)), key=lambda each: abs(np.log(each / value)))
