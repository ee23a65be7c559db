import numpy as np
import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2sfm.colmap import quiet_pycolmap
from d2sfm.database import create_database
from d2sfm.database.connection import open_pycolmap
from d2sfm.pairs.sequential import loop_candidates, sequential


@pytest.mark.parametrize(("count", "overlap"), [(1, 3), (2, 3), (9, 1), (9, 2), (23, 3), (23, 4), (23, 40), (40, 5)])
def test_the_pairs_are_all_that_colmap_makes(tmp_path, count, overlap):
    path = tmp_path / "db.db"
    create_database(path)
    names = [f"{number * 7 % count:02} view.jpg" for number in range(count)]  # ids are not in the order of names
    with open_pycolmap(path) as colmap:
        camera_id = colmap.write_camera(pycolmap.Camera(model="PINHOLE", width=8, height=6, params=[9, 9, 4, 3]))
        ids = {name: colmap.write_image(pycolmap.Image(name=name, camera_id=camera_id)) for name in set(names)}
        expected = set()
        for quadratic in (False, True):  # COLMAP 3 made both at once, 4 makes one or the other
            options = pycolmap.SequentialPairingOptions(overlap=overlap, quadratic_overlap=quadratic)
            with quiet_pycolmap():
                expected |= set(pycolmap.SequentialPairGenerator(options, colmap).all_pairs())
    found = sequential(np.array([ids[name] for name in sorted(ids)], np.uint32), overlap)
    assert found.dtype == np.uint32
    assert list(map(tuple, found.tolist())) == sorted({tuple(sorted(pair)) for pair in expected})


def walk(places):
    """Descriptors of a walk through places on a circle; places that are near look alike."""
    angle = np.asarray(places, float) * 2 * np.pi / 40
    return np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)


def test_coming_back_to_a_place_is_found_and_its_neighbours_are_not():
    ids = np.arange(100, 160, dtype=np.uint32)  # a circle of 40 places, and the first 20 of them again
    found = loop_candidates(ids, walk(range(60)), overlap=3, number=5)
    pairs = set(map(tuple, found.tolist()))
    again = {(100 + i, 140 + i) for i in range(20)}
    assert again <= pairs
    inner = {(a, b) for a, b in pairs - again if a > 103 and b < 156}  # the first and the last have but one side
    assert inner == set()


@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_candidates_by_their_definition(count, overlap, number, seed):
    ids = np.random.default_rng(seed).permutation(count).astype(np.uint32) + 1
    descriptors = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    similarity = (descriptors @ descriptors.T).astype(float)
    np.fill_diagonal(similarity, np.inf)
    expected = set()
    for a, row in enumerate(similarity):
        peaks = [b for b in range(count) if b != a and row[b] >= row[max(0, b - overlap) : b + overlap + 1].max()]
        for b in sorted(peaks, key=lambda b: -row[b])[:number]:
            expected.add(tuple(sorted((int(ids[a]), int(ids[b])))))
    assert list(map(tuple, loop_candidates(ids, descriptors, overlap, number).tolist())) == sorted(expected)


def test_the_most_similar_of_several_visits_come_first():
    places = np.concatenate([np.arange(20), np.arange(20) + 0.3, np.arange(20) + 0.1])
    pairs = loop_candidates(np.arange(60, dtype=np.uint32), walk(places), overlap=4, number=1).tolist()
    assert [5, 45] in pairs  # 0.1 away
    assert [25, 45] in pairs  # 0.2 away
    assert [5, 25] not in pairs  # 0.3 away, and both have a nearer one


def test_no_loop_in_a_straight_walk():
    straight = np.column_stack([np.ones(50), np.linspace(0, 0.5, 50)]).astype(np.float32)
    straight /= np.linalg.norm(straight, axis=1, keepdims=True)
    assert loop_candidates(np.arange(50, dtype=np.uint32), straight, overlap=3, number=5).shape == (0, 2)
