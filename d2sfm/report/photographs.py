"""The photographs one by one: their keypoints, agreeing pairs and poses."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.database import ForeignStore, MatchStore
from d2sfm.database.bridge_store import BridgeStore
from d2sfm.database.pair_ids import image_pairs
from d2sfm.mapping.one_run import MappingInput
from d2sfm.report.models import Model
from d2sfm.report.pairs import Pairs
from d2sfm.text import natural_order


@dataclass(frozen=True, kw_only=True)
class Worst:
    """The observation with the largest residual."""

    error_px: float
    xy: tuple[float, float]  # pixels of the photograph


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """A row of the table. Facts from the database are None without one, facts from the model without a pose."""

    name: str  # as it is in the database and the models
    keypoints: int | None = None
    kinds: str | None = None  # of its keypoints, in words, where not all of them are D2-Net's
    matched: int | None = None  # pairs with another photograph
    verified: int | None = None  # of these, those that agree on a geometry
    verified_matches: int | None = None  # of these
    model: str | None = None  # label of the first that it is in
    points: int | None = None  # that it sees in that
    error_px: float | None = None  # mean reprojection error
    worst: Worst | None = None
    reason: str = ""  # why it is in no model


def read_pairs(database: Path, given: MappingInput | None, rows: Mapping[str, int]) -> Pairs:
    """The pairs of a database. rows: of photographs, by name."""
    with MatchStore(database) as store:
        counts, names, refusals = store.pair_counts(), store.image_names(), store.refusals()
    row_of = {image_id: rows[name] for image_id, name in names.items()}
    ends = np.reshape([[row_of[a], row_of[b]] for a, b in image_pairs(counts["pair_id"]).tolist()], (-1, 2))
    by_chance = np.isin(counts["pair_id"], np.zeros(0, np.int64) if given is None else given.left_out)
    why = {row: refusals[pair_id] for row, pair_id in enumerate(counts["pair_id"].tolist()) if pair_id in refusals}
    of_chance = "{} of {} matches agree, no more than by chance"
    for row in np.flatnonzero(by_chance & (counts["inliers"] > 0)).tolist():
        why[row] = of_chance.format(counts["inliers"][row], counts["matches"][row])
    a, b = np.sort(ends, axis=1).T.astype(np.int64)
    return Pairs(a, b, counts["matches"], np.where(by_chance, 0, counts["inliers"]), why)


def names_of_all(database: Path | None, models: Sequence[Model]) -> list[str]:
    """Names of all photographs, of the database and of the models, in natural order.

    RuntimeError if they have none in common: a page of both would be about neither.
    """
    names = {name for model in models for name in model.images}
    if database is not None:
        with MatchStore(database) as store:
            of_database = set(store.image_names().values())
        if names and of_database.isdisjoint(names):
            raise RuntimeError(
                f"the model and {database} have no image in common: expected a model of some of the same photographs"
            )
        names |= of_database
    return sorted(names, key=natural_order)


def read_photographs(
    names: Sequence[str],
    database: Path | None,
    pairs: Pairs | None,
    models: Sequence[Model],
    reasons: Mapping[str, str],
) -> list[Photograph]:
    """A record for each of the names."""
    keypoints, kinds = _keypoints(database)
    found: dict[str, dict] = defaultdict(dict)
    for model in reversed(models):  # the first one has the last word
        for name, of_model in _of_model(model).items():
            found[name] = of_model
    for row, name in enumerate(names):
        found[name] |= {"reason": "" if "model" in found[name] else reasons.get(name, "")}
        if name in keypoints:
            found[name] |= {"keypoints": keypoints[name], "kinds": kinds.get(name)}
        if pairs is not None:
            own = (pairs.a == row) | (pairs.b == row)
            found[name] |= {
                "matched": int(own.sum()),
                "verified": int((own & pairs.is_verified).sum()),
                "verified_matches": int(pairs.verified[own].sum()),
            }
    return [Photograph(name=name, **found[name]) for name in names]


def _keypoints(database: Path | None) -> tuple[dict[str, int], dict[str, str]]:
    """Numbers of keypoints, and their extractors if not all are D2-Net's, by name."""
    if database is None:
        return {}, {}
    with ForeignStore(database) as store:
        others = store.extractor()
        kinds = dict.fromkeys(store.images(), f"keypoints of {others}")
    with BridgeStore(database) as store:
        kinds |= {name: f"{image.first} of {others}, {image.count} of D2-Net" for name, image in store.images().items()}
    with MatchStore(database) as store:
        counts, names = store.keypoint_counts(), store.image_names()
    return {name: counts.get(image_id, 0) for image_id, name in names.items()}, kinds


def _of_model(model: Model) -> dict[str, dict]:
    """Facts from a model about its images, by name."""
    seen, found = model.observations, {}
    errors = np.nan_to_num(seen.error_px, nan=np.inf)
    starts = np.searchsorted(seen.image, np.arange(len(seen.image_ids) + 1))
    for row, image_id in enumerate(seen.image_ids):
        own = slice(starts[row], starts[row + 1])
        image: pycolmap.Image = model.model.images[image_id]
        of_image = {"model": model.label, "points": int(own.stop - own.start)}
        if of_image["points"]:
            at = starts[row] + int(np.argmax(errors[own]))
            x, y = seen.xy[at].tolist()
            of_image |= {"error_px": float(errors[own].mean()), "worst": Worst(error_px=float(errors[at]), xy=(x, y))}
        found[image.name] = of_image
    return found
