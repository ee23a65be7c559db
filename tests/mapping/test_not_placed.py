"""Why images could not be placed; the sentences themselves are tested in test_extend.py."""

from types import SimpleNamespace

import numpy as np
import pytest

from d2sfm.database.pair_ids import image_pairs, pair_ids
from d2sfm.mapping import not_placed
from d2sfm.mapping.not_placed import at_best, why_not

MODEL, NEEDED = set(range(1, 21)), 50


class Counted(np.ndarray):
    """Counts the operations over all its elements."""

    operations = 0

    def __array_ufunc__(self, function, method, *inputs, **options):
        Counted.operations += 1
        return getattr(function, method)(*map(np.asarray, inputs), **options)


@pytest.fixture(autouse=True)
def with_features(monkeypatch):
    monkeypatch.setattr(not_placed, "has_usable", lambda store, image_id: image_id % 7 != 0)


def database(images, pairs, seed=0):
    """A stand-in for the store of a database, with counts of random pairs; few are verified."""
    rng = np.random.default_rng(seed)
    first, second = rng.integers(1, images + 1, (2, pairs))
    numbers = np.unique(pair_ids(first, second)[first != second])
    counts = np.zeros(len(numbers), [(name, np.int64) for name in ("pair_id", "matches", "inliers")])
    counts["pair_id"], counts["matches"] = numbers, rng.integers(0, 5, len(numbers))
    counts["inliers"] = rng.integers(0, 4, len(numbers)) * (rng.random(len(numbers)) < 0.15)
    return SimpleNamespace(
        image_names=lambda: {image_id: f"{image_id:03}.jpg" for image_id in range(1, images + 1)},
        pair_counts=lambda: counts,
        refusals=lambda: {int(numbers[0]): "too few"},
    )


def placing():
    return SimpleNamespace(there=MODEL, needed=NEEDED, visible_points=lambda image_id: image_id)


def kind_of(store, left_out, image_id):
    """The same, plainly: the pairs of one image, searched among all."""
    counts = store.pair_counts()
    pairs = image_pairs(counts["pair_id"])
    own = (pairs == image_id).any(axis=1) & np.isin(pairs, list(MODEL)).any(axis=1)
    if image_id % 7 == 0:
        return "no keypoints"
    if not own.any():
        return "was not matched"
    if not (own & (counts["inliers"] > 0) & ~np.isin(counts["pair_id"], left_out)).any():
        return f"({at_best(counts[own], store.refusals(), store.image_names(), image_id)})"
    return f"{image_id} points of the model, " + ("expected" if image_id < NEEDED else "but no pose")


@pytest.mark.parametrize("seed", range(3))
def test_reasons_are_those_that_a_search_for_each_image_finds(seed):
    store = database(80, 400, seed)
    left_out = store.pair_counts()["pair_id"][::5]
    found = why_not(store, left_out, placing())
    assert list(found) == [f"{image_id:03}.jpg" for image_id in range(21, 81)]
    for name, reason in found.items():
        assert kind_of(store, left_out, int(name[:3])) in reason
    kinds = ("no keypoints", "was not matched", "agrees with no image", f"expected {NEEDED}", "but no pose")
    assert all(any(kind in reason for reason in found.values()) for kind in kinds)


def test_all_pairs_are_gone_through_as_often_for_many_images_as_for_few(monkeypatch):
    monkeypatch.setattr(not_placed, "image_pairs", lambda ids: image_pairs(ids).view(Counted))
    operations = []
    for images in (25, 80):
        Counted.operations = 0
        why_not(database(images, 400), np.zeros(0, np.int64), placing())
        operations.append(Counted.operations)
    assert operations[0] == operations[1]
