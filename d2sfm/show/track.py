"""Patches around a point's keypoints in its images, before and after refinement.

d2sfm show track 1234 --model sparse/0
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pycolmap

from d2sfm.colmap import read_model
from d2sfm.coordinates import upright_from_stored
from d2sfm.database import FeatureStore, MatchStore, RefinementStore
from d2sfm.database.bridge_store import BridgeStore, layer_of
from d2sfm.database.file import beside
from d2sfm.plots.captions import Key, captioned
from d2sfm.plots.palette import INLIER, RECOVERED, Theme
from d2sfm.plots.track_patches import LETTERS_PX, Observation, Patch, cut_patch, draw_track
from d2sfm.show.given import DATABASE
from d2sfm.show.photographs import Photographs
from d2sfm.show.picture import Picture
from d2sfm.text import counted, natural_order

SIDE_IN_INPUT_PX = 20  # of a patch, pixels of the network's input
SAME_PX = 0.01  # that keypoints of a model and of its database may differ
MOST = 24  # observations that are drawn


def show_track(
    point: int | None = None,
    model: Path | str = "sparse/0",
    *,
    database: Path | str | None = None,
    images: Path | str | None = None,
) -> Picture:
    """Patches around the keypoints of a point's track, as extraction found them and as refinement placed them.

    point: its id in the model (default: one that most images see, of the smallest error). database: of the model
    (default: db.db beside the model or here). images: the folder of the photographs (default: the one that extract
    recorded).

    Raises ValueError if the model has no such point, or the database not its keypoints, FileNotFoundError and
    RuntimeError if files are missing or can't be read.
    """
    reconstruction = read_model(Path(model))
    database = Path(database or beside(Path(model), DATABASE) or DATABASE)
    points = reconstruction.points3D
    if not points:
        raise ValueError(f"{model} has no points")
    if point is None:
        point = min(sorted(points), key=lambda each: (-len(_images(points[each])), points[each].error))
    if point not in points:
        raise ValueError(f"{model} has no point {point}: d2sfm show image NAME --output NAME.html lists some")
    photographs = Photographs.of_database(database, Path(images) if images else None)
    seen = _keypoints(reconstruction, point, database)
    is_refined = any(each.original is not None for each in seen)
    side = round(SIDE_IN_INPUT_PX * float(np.median([each.factor for each in seen])))
    observations = [_observation(each, points[point], photographs, side, is_refined) for each in seen[:MOST]]
    rows = ("before refinement", "after") if is_refined else ("as extracted",)
    number = len(_images(points[point]))
    observed = ("" if number == len(seen) else f"{counted(len(seen), 'keypoint')} of ") + counted(number, "image")
    title = f"point {point}: seen by {observed}, {points[point].error:.2f} px off (mean)"
    keys = [Key("keypoint", RECOVERED), Key("where the model sees the point", INLIER), Key(f"patches of {side} px")]
    keys += [Key(f"the first {MOST} of {len(seen)}")] if len(seen) > MOST else []

    def draw(theme: Theme) -> np.ndarray:
        return captioned(draw_track(observations, rows, side, theme), title, keys, theme, LETTERS_PX)

    return Picture(name=f"track-{point}", title=title, is_photograph=False, draw=draw)


def _images(point: pycolmap.Point3D) -> set[int]:
    return {element.image_id for element in point.track.elements}


class _Keypoint(NamedTuple):
    """An observation: positions [2] in pixels of the stored photograph, now and before refinement, if it was refined;
    factor: pixels of the photograph for one of the network's input."""

    image: pycolmap.Image
    xy: np.ndarray
    original: np.ndarray | None
    factor: float


def _keypoints(model: pycolmap.Reconstruction, point: int, database: Path) -> list[_Keypoint]:
    """The observations of a point, sorted by name. ValueError if the database has others."""
    found = []
    elements = [(model.images[each.image_id], each.point2D_idx) for each in model.points3D[point].track.elements]
    with MatchStore(database) as store:
        ids = store.image_ids()
        for image, index in elements:
            xy = store.keypoints(ids[image.name]) if image.name in ids else np.zeros((0, 2))
            if index >= len(xy) or np.abs(xy[index] - image.points2D[index].xy).max() > SAME_PX:
                raise ValueError(
                    f"keypoint {index} of {image.name} has another position in {database} than in the model: the model "
                    "was made from another database, or before the keypoints changed"
                )
    with _own_part(database) as (part, first):
        with RefinementStore(part) as store:
            there = {image.name: ids[image.name] for image, _ in elements if ids[image.name] in store.refined()}
            originals = {name: store.originals(image_id) for name, image_id in there.items()}
        with FeatureStore(part) as store:
            factors = store.resize_factors()
    for image, index in elements:
        own = index - first.get(image.name, 0)
        of_image = originals.get(image.name, np.zeros((0, 4)))
        original = of_image[own, :2] if 0 <= own < len(of_image) else None
        found.append(_Keypoint(image, image.points2D[index].xy, original, factors.get(ids[image.name], 1.0)))
    return sorted(found, key=lambda each: natural_order(each.image.name))


@contextmanager
def _own_part(database: Path) -> Iterator[tuple[Path, Mapping[str, int]]]:
    """The database with d2sfm's keypoints, and the index of the first of these in each image, by name."""
    with BridgeStore(database) as store:
        first = {name: image.first for name, image in store.images().items()}
    if not first:
        yield database, {}
        return
    with layer_of(database) as layer:
        yield layer, first


def _observation(
    seen: _Keypoint, point: pycolmap.Point3D, photographs: Photographs, side: float, is_refined: bool
) -> Observation:
    camera, name = seen.image.camera, seen.image.name
    upright, orientation = photographs.upright(name, (camera.width, camera.height))
    projected = seen.image.project_point(point.xyz)

    def turned(xy: np.ndarray) -> np.ndarray:
        return upright_from_stored(np.reshape(xy, (1, 2)), (camera.width, camera.height), orientation)[0]

    def patch(xy: np.ndarray | None) -> Patch | None:
        if xy is None:
            return None
        middle = turned(xy)
        return Patch(cut_patch(upright, middle, side), None if projected is None else turned(projected) - middle)

    off = "" if projected is None else f"{np.linalg.norm(projected - seen.xy):.2f} px off"
    if not is_refined:
        return Observation([patch(seen.xy)], [name, off])
    moved = "of a continued track"
    if seen.original is not None:
        moved = f"moved {np.linalg.norm(seen.xy - seen.original):.2f} px"
    return Observation([patch(seen.original), patch(seen.xy)], [name, moved, off])
