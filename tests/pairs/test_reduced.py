"""Neighbours by faiss, where it is installed."""

import numpy as np
import pytest

from d2sfm.pairs import retrieval as by_looks
from d2sfm.pairs.arrays import nearest
from d2sfm.pairs.retrieval import retrieval, similarities

pytest.importorskip("faiss", reason="the extra faiss is not installed")

COUNT, DIMENSIONS = 300, 1500


@pytest.fixture(scope="module")
def descriptors():
    """Views of 30 places, one of which shows nothing, and two are the same."""
    generator = np.random.default_rng(0)
    places = np.repeat(generator.normal(size=(30, DIMENSIONS)), COUNT // 30, axis=0)
    found = places + 0.7 * generator.normal(size=places.shape)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    found[7], found[20] = 0, found[21]
    return found.astype(np.float16)


@pytest.fixture
def reduced(monkeypatch):
    from d2sfm.pairs import reduced

    monkeypatch.setattr(reduced, "COMPONENTS", 64)
    monkeypatch.setattr(reduced, "SAMPLE", 150)
    monkeypatch.setattr(reduced, "ROWS", 101)
    return reduced


def test_most_neighbours_are_those_of_all_numbers(descriptors, reduced):
    found, expected = reduced.nearest_reduced(descriptors, 5), nearest(similarities(descriptors), COUNT, 5)
    assert np.array_equal(found[0], expected[0])
    assert (np.diff(found[1].reshape(-1, 5)) > 0).all()
    assert 7 not in found[1]
    recall = len(set(zip(*found, strict=True)) & set(zip(*expected, strict=True))) / len(expected[0])
    assert recall > 0.97


def test_few_are_compared_with_all(descriptors, reduced):
    found = reduced.nearest_reduced(descriptors[:4], 20)
    assert np.stack(found, axis=1).tolist() == [[a, b] for a in range(4) for b in range(4) if a != b]


def test_many_images_are_compared_by_it(descriptors, reduced, monkeypatch):
    ids = np.arange(10, 10 + COUNT, dtype=np.uint32)
    expected = retrieval(ids, descriptors, 5)
    monkeypatch.setattr(by_looks, "MANY_IMAGES", COUNT)
    monkeypatch.setattr(reduced, "COMPONENTS", 8)  # so few that it shows
    assert not np.array_equal(retrieval(ids, descriptors, 5), expected)
    monkeypatch.setattr(by_looks, "find_spec", lambda name: None)
    assert np.array_equal(retrieval(ids, descriptors, 5), expected)
