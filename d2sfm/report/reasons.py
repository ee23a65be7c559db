"""Why photographs are not in a model: for each of them, and for all together."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from d2sfm.database import MatchStore
from d2sfm.database.pair_ids import image_pairs, rows_by_image
from d2sfm.mapping.causes import likely_causes
from d2sfm.mapping.not_placed import at_best, why_not
from d2sfm.mapping.one_run import MappingInput, Trial, incremental_options
from d2sfm.mapping.reconstruct import read_input
from d2sfm.matching.in_common import has_usable
from d2sfm.options import ReconstructionOptions
from d2sfm.report.models import Model
from d2sfm.text import counted


def mapping_input(database: Path) -> MappingInput | None:
    """What mapping would use of the database; None if no pair was verified."""
    with MatchStore(database) as store:
        if not len(store.done_pairs(verified=True)):
            return None
    return read_input(database, ReconstructionOptions())


def reasons(database: Path, given: MappingInput | None, model: Model | None) -> dict[str, str]:
    """By name, for images of the database that the model lacks, worded to follow their names."""
    with MatchStore(database) as store:
        left_out = np.zeros(0, np.int64) if given is None else given.left_out
        if given is None or model is None:
            return _without_model(store, left_out)
        return why_not(store, left_out, _Seen(store, given, model))


def causes(given: MappingInput | None, models: Collection[Model]) -> tuple[str, ...]:
    """Sentences about what keeps many photographs out, and what to try, as mapping says them."""
    if given is None:
        return ()
    return likely_causes(given, [each.model for each in models])


class _Seen:
    """What images of a database see of a model on the disk."""

    def __init__(self, store: MatchStore, given: MappingInput, model: Model):
        by_name = {name: image_id for image_id, name in store.image_names().items()}
        self._store, self._has_point = store, {}
        for name, image in model.images.items():
            if name in by_name:
                self._has_point[by_name[name]] = np.array([point.has_point3D() for point in image.points2D], bool)
        self.there = set(self._has_point)
        self.needed = incremental_options(given, Trial(seed=0)).mapper.abs_pose_min_num_inliers
        verified = np.setdiff1d(store.done_pairs(verified=True), given.left_out)
        self._pairs = image_pairs(verified).astype(np.int64)
        self._rows = rows_by_image(self._pairs)

    def visible_points(self, image_id: int) -> int:
        """Keypoints of an image whose matches lead to points of the model."""
        seen = set()
        for a, b in self._pairs[self._rows[image_id]].tolist():
            other = b if a == image_id else a
            has_point = self._has_point.get(other, np.zeros(0, bool))
            matches = self._store.inlier_matches(image_id, other)
            known = matches[:, 1] < len(has_point)
            seen.update(matches[known][has_point[matches[known, 1]], 0].tolist())
        return len(seen)


def _without_model(store: MatchStore, left_out: np.ndarray) -> dict[str, str]:
    """What each image lacks by itself, without a model that it could be placed in."""
    names, counts, refusals = store.image_names(), store.pair_counts(), store.refusals()
    rows, found = rows_by_image(image_pairs(counts["pair_id"])), {}
    verified = (counts["inliers"] > 0) & ~np.isin(counts["pair_id"], left_out)
    for image_id, name in sorted(names.items(), key=lambda each: each[1]):
        own = rows[image_id]
        if not has_usable(store, image_id):
            found[name] = "has no keypoints that can be used: run d2sfm extract"
        elif not len(own):
            found[name] = "was not matched with another image: run d2sfm match"
        elif not verified[own].any():
            found[name] = (
                "agrees with no other image by more matches than chance explains "
                f"({at_best(counts[own], refusals, names, image_id)})"
            )
        else:
            agreeing = verified[own].sum()
            found[name] = f"agrees with {counted(agreeing, 'other image')}, and no model could be made of them"
    return found
