"""Keypoints of an image of a database, of a photograph, or of a feature file.

d2sfm show keypoints a.jpg
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from d2sfm.database import FeatureStore, ForeignStore, MatchStore
from d2sfm.database.bridge_store import BridgeStore
from d2sfm.features.record import Features
from d2sfm.formats.npz_mat import read_features
from d2sfm.options import ExtractionOptions
from d2sfm.photographs.headers import PHOTOGRAPH_SUFFIXES
from d2sfm.plots.captions import Key, Ramp, captioned
from d2sfm.plots.keypoints import add_keypoints, backdrop
from d2sfm.plots.palette import INLIER, OTHER_KIND, TRUE, Colour
from d2sfm.show.given import database_of, known_names
from d2sfm.show.photographs import Photographs, View
from d2sfm.show.picture import Picture

LONGEST_PX = 1600


class Kind(NamedTuple):
    """Keypoints that are drawn alike: [N, 4] x, y, scale, score, pixels of the photograph as it is stored.

    colour: None for that of the rank, the best first.
    """

    label: str
    keypoints: np.ndarray
    colour: Colour | None = None


def show_keypoints(
    image: Path | str,
    database: Path | str | None = None,
    *,
    images: Path | str | None = None,
    options: ExtractionOptions | None = None,
    progress: bool = False,
) -> Picture:
    """Positions, scales and scores of the keypoints of an image.

    image: a name in the database (default: db.db, if it exists), or else a photograph, whose features are extracted, or
    a feature file of d2sfm beside its photograph. images: the folder of the photographs (default: the one that extract
    recorded). options: of extraction.

    Raises ValueError or FileNotFoundError if there is no such image or file, RuntimeError if the image has no
    keypoints, or the file is not a COLMAP database.
    """
    word, images = str(image), Path(images) if images else None
    known = known_names([word], Path(database) if database else None, images, options)
    if known:
        database, [name] = known
        view = Photographs.of_database(database, images).view(name, LONGEST_PX)
        return _picture(name, view, kinds_of(database, name))
    path = Path(word)
    if path.suffix.lower() not in PHOTOGRAPH_SUFFIXES:
        return _of_feature_file(path, images)
    with database_of([path], options, progress) as (database, folder, [name]):
        view = Photographs.of_database(database, folder).view(name, LONGEST_PX)
        return _picture(path.name, view, kinds_of(database, name))


def kinds_of(database: Path, name: str) -> list[Kind]:
    """The keypoints of an image by kind. Raises RuntimeError if it has none."""
    with FeatureStore(database) as store:
        own = store.read(name) if name in store.extracted() else None
    with BridgeStore(database) as store:
        bridged = store.images().get(name)
    with ForeignStore(database) as store:
        others = store.extractor()
    with MatchStore(database) as store:
        xy = store.keypoints(store.image_ids()[name])
    if own is not None:
        kinds = [_by_score(own), Kind("continued tracks", _alike(xy[len(own) :]), TRUE)]
    elif bridged is not None:
        kinds = [
            Kind(f"keypoints of {others}", _alike(xy[: bridged.first]), OTHER_KIND),
            Kind("keypoints of D2-Net", _alike(xy[bridged.first :]), INLIER),
        ]
    else:
        kinds = [Kind(f"keypoints of {others}", _alike(xy), OTHER_KIND)]
    return [kind for kind in kinds if len(kind.keypoints)] or kinds[:1]


def _by_score(features: Features) -> Kind:
    return Kind("keypoints", features.keypoints)


def _alike(xy: np.ndarray) -> np.ndarray:
    return np.column_stack([xy, np.ones((len(xy), 2))])


def _of_feature_file(path: Path, images: Path | None) -> Picture:
    features = read_features(path)
    folder = images or path.parent
    if not (folder / path.stem).is_file():
        raise FileNotFoundError(
            f"no photograph {folder / path.stem} for {path.name}: a feature file has its photograph's name plus a "
            "suffix (--images gives the folder)"
        )
    greys = {path.stem: features.grey_range} if features.grey_range else {}
    photographs = Photographs(folder, {path.stem: features.orientation}, greys)
    view = photographs.view(path.stem, LONGEST_PX, features.image_size)
    return _picture(path.name, view, [_by_score(features)])


def _picture(name: str, view: View, kinds: Sequence[Kind]) -> Picture:
    canvas, stroke = backdrop(view.pixels, 1), max(1, round(view.pixels.shape[1] / 900))
    keys = []
    for kind in kinds:
        placed = kind.keypoints.astype(np.float64)
        placed[:, :2] = view.place(placed[:, :2])
        placed[:, 2] *= view.factors.mean()
        add_keypoints(canvas, placed, 1, stroke, kind.colour)
        keys.append(Ramp("low score, by rank", "high") if kind.colour is None else Key(kind.label, kind.colour))
    title = f"{name}: {', '.join(_counted(kind) for kind in kinds)}"
    width, height = view.size
    facts = {"photograph": f"{width} x {height} px"}
    return Picture(
        name=f"keypoints-{name}", title=title, facts=facts, draw=lambda theme: captioned(canvas, title, keys, theme)
    )


def _counted(kind: Kind) -> str:
    return f"{len(kind.keypoints):,} {kind.label}"
