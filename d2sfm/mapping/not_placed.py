"""Why images could not be placed in a model, for each image."""

from collections.abc import Collection, Mapping
from typing import Protocol

import numpy as np

from d2sfm.database import MatchStore
from d2sfm.database.pair_ids import image_pairs, rows_by_image
from d2sfm.matching.in_common import has_usable
from d2sfm.text import counted, printable


class Placing(Protocol):
    """The state of placing images of a database in a model; ids are the database's."""

    @property
    def there(self) -> Collection[int]:
        """Images with a pose, also those that the database lacks."""

    @property
    def needed(self) -> int:
        """Number of points that must agree with one pose before an image is placed."""

    def visible_points(self, image_id: int) -> int:
        """Number of points of the model to which an image's matches lead."""


def why_not(
    store: MatchStore, left_out: np.ndarray, placing: Placing, only: Collection[str] | None = None
) -> dict[str, str]:
    """By name, sorted, for images of the database that the model lacks: the reason, worded to follow the name.

    left_out: numbers of pairs that mapping ignores; placing: after placing all that can be placed; only: names of
    images that were to be placed (default: all).
    """
    names, there = store.image_names(), placing.there
    wanted = set(names.values()) if only is None else only
    counts, refusals = store.pair_counts(), store.refusals()
    counts = counts[np.isin(image_pairs(counts["pair_id"]), list(there)).sum(axis=1) == 1]  # of one with the model
    verified = (counts["inliers"] > 0) & ~np.isin(counts["pair_id"], left_out)
    rows, reasons = rows_by_image(image_pairs(counts["pair_id"])), {}
    lacking = sorted((name, image_id) for image_id, name in names.items() if name in wanted and image_id not in there)
    for name, image_id in lacking:
        own = rows[image_id]
        if not has_usable(store, image_id):
            reasons[name] = "has no keypoints that can be used: run d2sfm extract"
        elif not len(own):
            reasons[name] = "was not matched with an image of the model: run d2sfm match"
        elif not verified[own].any():
            reasons[name] = (
                "agrees with no image of the model by more matches than chance explains "
                f"({at_best(counts[own], refusals, names, image_id)}): it shows another place or shares too little"
            )
        elif (seen := placing.visible_points(image_id)) < placing.needed:
            reasons[name] = (
                f"has matches with {counted(seen, 'point')} of the model, expected {placing.needed}: add photographs "
                "between it and those of the model"
            )
        else:
            reasons[name] = (
                f"has matches with {seen} points of the model, but no pose agrees with {placing.needed} of them"
            )
    return reasons


def at_best(counts: np.ndarray, refusals: Mapping[int, str], names: Mapping[int, str], image_id: int) -> str:
    """The result of the best of an image's pairs, and the other image.

    counts: of these pairs, as of ``MatchStore.pair_counts``; refusals: of all, as of ``MatchStore.refusals``.
    """
    pair_id, matches, inliers = max(counts.tolist(), key=lambda pair: (pair[2], pair[1]))
    [other] = set(image_pairs([pair_id])[0].tolist()) - {image_id}
    found = refusals.get(pair_id, f"{inliers} of {counted(matches, 'match')}")
    return f"of {counted(len(counts), 'pair')}, at best {found}, with {printable(names[other])}"
