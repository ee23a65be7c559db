import numpy as np
import pytest

from d2sfm.pairs import retrieval as module
from d2sfm.pairs.retrieval import retrieval


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("columns", [7, 1024])
def test_each_image_with_those_that_look_most_like_it(monkeypatch, columns):
    monkeypatch.setattr(module, "COLUMNS", columns)
    descriptors = unit(np.random.default_rng(0).normal(size=(30, 16)))
    ids = np.arange(30, dtype=np.uint32) * 2 + 5
    similarity = descriptors @ descriptors.T
    expected = set()
    for a in range(30):
        others = sorted((b for b in range(30) if b != a), key=lambda b: -similarity[a, b])[:4]
        expected |= {tuple(sorted((2 * a + 5, 2 * b + 5))) for b in others}
    found = retrieval(ids, descriptors, 4)
    assert found.dtype == np.uint32
    assert list(map(tuple, found.tolist())) == sorted(expected)


def test_only_some_look_for_others():
    descriptors = unit(np.array([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1]]))
    ids = np.array([1, 2, 3, 4], np.uint32)
    assert retrieval(ids, descriptors, 1).tolist() == [[1, 2], [3, 4]]
    assert retrieval(ids, descriptors, 1, queries=np.array([False, False, True, False])).tolist() == [[3, 4]]


def test_lower_ids_win_a_tie():
    assert retrieval(np.array([3, 5, 8], np.uint32), np.ones((3, 1), np.float32), 1).tolist() == [[3, 5], [3, 8]]


def test_an_image_that_looks_like_no_other_is_in_no_pair():
    descriptors = np.array([[0, 0], [0, 1], [1, 0], [0, -1]], np.float16)  # the last ones less alike than none at all
    assert retrieval(np.array([1, 2, 3, 4], np.uint32), descriptors, 3).tolist() == [[2, 3], [2, 4], [3, 4]]
