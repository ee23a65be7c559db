"""Which photographs of a database are not connected by verified pairs."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from d2sfm.colmap import read_model
from d2sfm.database import BridgeStore, MatchStore
from d2sfm.database.pair_ids import connected_groups, image_pairs
from d2sfm.matching.chance import chance_explains
from d2sfm.matching.settings import EXTRACTORS_PX
from d2sfm.text import counted


def verified_pairs(database: Path) -> np.ndarray:
    """Pairs of images verified by the extractor's own keypoints that chance does not explain, [P, 2] uint32."""
    with BridgeStore(database) as store:
        matches, inliers = store.own_rows("matches"), store.own_rows("two_view_geometries")
    with MatchStore(database) as store:
        cameras = {image_id: store.camera(image_id) for image_id in store.image_names()}
    ids = np.array(sorted(pair_id for pair_id, rows in inliers.items() if rows), np.int64)
    pairs = image_pairs(ids)
    are_true = np.zeros(len(pairs), bool)
    for row, (pair_id, pair) in enumerate(zip(ids.tolist(), pairs.tolist(), strict=True)):
        of_pair = [cameras[image_id] for image_id in pair if image_id in cameras]
        facts = matches.get(pair_id, 0), inliers[pair_id], EXTRACTORS_PX
        are_true[row] = len(of_pair) == 2 and not chance_explains(of_pair, *facts)
    return pairs[are_true]


def largest_group(pairs: np.ndarray) -> np.ndarray:
    """The largest group of images that pairs, [P, 2], connect, ascending; empty without pairs."""
    groups = connected_groups(pairs)
    return groups[0] if groups else np.zeros(0, np.uint32)


def outside_of(image_ids: np.ndarray, pairs: np.ndarray, names: dict[int, str], model: Path | None) -> np.ndarray:
    """The images that are apart, ascending: without a pose in the model, or outside of the largest group.

    Raises as ``read_model``, and RuntimeError if the model has none of the images.
    """
    if model is None:
        return np.setdiff1d(image_ids, largest_group(pairs))
    posed = {image.name for image in read_model(model).images.values() if image.has_pose}
    inside = np.array([image_id for image_id in image_ids.tolist() if names[image_id] in posed], np.uint32)
    if not len(inside):
        raise RuntimeError(
            f"{model} contains none of the {counted(len(image_ids), 'image')} of the database: expected a model of "
            "the same photographs"
        )
    return np.setdiff1d(image_ids, inside)


def among_both(pairs: np.ndarray, image_ids: Iterable[int]) -> np.ndarray:
    """Those of the pairs, [P, 2], of which both images are among these."""
    return pairs[np.isin(pairs, np.fromiter(image_ids, np.uint32)).all(axis=1)]
