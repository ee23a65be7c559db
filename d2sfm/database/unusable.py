"""Rows that mapping must not see: pycolmap believes every row, and may end the process."""

from pathlib import Path

import numpy as np

from d2sfm.database.connection import Connection
from d2sfm.database.match_store import MatchStore
from d2sfm.database.pair_ids import image_pairs
from d2sfm.database.rows import UnusableRow, of_images

_DOUBLES = {"F": 9, "E": 9, "H": 9, "qvec": 4, "tvec": 3}
_ODD = " OR ".join(f"coalesce(length({name}), 0) NOT IN (0, {8 * count})" for name, count in _DOUBLES.items())


def unusable_geometries(path: Path) -> dict[int, str]:
    """Two-view geometries that can't be used, or whose images can't, by the numbers of their pairs, with reasons."""
    with Connection(path) as connection:
        pairs = connection.table("SELECT pair_id FROM two_view_geometries", [("pair_id", np.int64)])["pair_id"]
        sql = f"SELECT pair_id FROM two_view_geometries WHERE typeof(config) != 'integer' OR {_ODD}"
        odd = {pair_id for (pair_id,) in connection.rows(sql)}
    with MatchStore(path) as store:
        names, of_image = store.image_names(), {}
        are_pairs = of_images(pairs, list(names))
        found = {
            pair_id: f"{path}: pair_id {pair_id} is not a pair of its images" for pair_id in pairs[~are_pairs].tolist()
        }
        pairs = pairs[are_pairs]
        for image_id in np.unique(image_pairs(pairs)).tolist():
            try:
                store.keypoints(image_id)
            except RuntimeError as error:  # there are none, or unusable ones
                of_image[image_id] = str(error)
        for pair_id, (a, b) in zip(pairs.tolist(), image_pairs(pairs).tolist(), strict=True):
            reason = of_image.get(a) or of_image.get(b)
            if reason is None and pair_id in odd:
                reason = f"{path}: {names[a]} - {names[b]} has a damaged two-view geometry: run d2sfm match --overwrite"
            try:
                store.inlier_matches(a, b)
            except UnusableRow as error:
                reason = reason or str(error)
            if reason is not None:
                found[pair_id] = reason
    return found
