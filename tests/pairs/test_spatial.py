import math
import tracemalloc

import numpy as np
import pycolmap
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from d2sfm.colmap import quiet_pycolmap
from d2sfm.database import MatchStore, create_database, import_photographs
from d2sfm.database.connection import open_pycolmap
from d2sfm.pairs.spatial import BLOCK_ENTRIES, nearest_positions, positions_m, spatial
from d2sfm.photographs.reading import list_photographs

WGS84 = pycolmap.PosePriorCoordinateSystem.WGS84
CARTESIAN = pycolmap.PosePriorCoordinateSystem.CARTESIAN
LUND = (55.7, 13.19, 60.0)  # latitude, longitude in degrees, altitude in metres
DEGREE_M = 111_319.49  # of longitude on the equator of WGS84: 2 pi 6378137 / 360


def prior(position, system=WGS84, **fields):
    return pycolmap.PosePrior(position=np.array(position, float), coordinate_system=system, **fields)


def distance_m(a, b, use_altitude=False, system=WGS84):
    found = positions_m({1: prior(a, system), 2: prior(b, system)}, use_altitude)
    return float(np.linalg.norm(found[1] - found[2]))


def test_metres_between_geographic_positions():
    assert distance_m((0, 20, 5), (0, 20.001, 5)) == pytest.approx(DEGREE_M / 1000, rel=1e-6)
    assert distance_m((60, 20, 5), (60, 20.001, 5)) == pytest.approx(DEGREE_M / 2000, rel=3e-3)  # cos 60 degrees
    one_m = 1 / DEGREE_M
    assert distance_m((0, 20, 5), (0, 20 + one_m, 900)) == pytest.approx(1.0, rel=1e-6)
    assert distance_m((0, 20, 5), (0, 20, 900), use_altitude=True) == pytest.approx(895.0, rel=1e-9)
    assert distance_m((0, 1, 5), (3, 5, 7), system=CARTESIAN) == pytest.approx(5.0)
    assert distance_m((0, 1, 5), (3, 5, 5 + 12), use_altitude=True, system=CARTESIAN) == pytest.approx(13.0)


def test_priors_that_tell_no_place():
    nowhere = {1: prior((0, 0, 17)), 2: prior((np.nan, 3, 4)), 3: pycolmap.PosePrior(gravity=np.array([0.0, 1, 0]))}
    assert positions_m(nowhere, use_altitude=True) == {}
    assert positions_m({}, use_altitude=False) == {}
    known = {4: prior(LUND), 5: prior((55.7, 13.19, np.nan))}  # EXIF need not have an altitude
    assert positions_m(nowhere | known, use_altitude=False).keys() == {4, 5}
    assert positions_m(nowhere | known, use_altitude=True).keys() == {4}
    assert positions_m({1: prior((0, 0, 0), CARTESIAN)}, use_altitude=False).keys() == {1}


def test_two_kinds_of_coordinates():
    with pytest.raises(RuntimeError, match="position priors are of two kinds, 1 of 2 geographic"):
        positions_m({1: prior(LUND), 2: prior((1, 2, 3), CARTESIAN)}, use_altitude=False)


def test_the_nearest_within_the_distance():
    positions = np.array([[0.0, 0, 0], [1, 0, 0], [3, 0, 0], [6, 0, 0], [100, 0, 0]])
    ids = np.array([2, 3, 5, 7, 11], np.uint32)
    assert spatial(ids, positions, 1, 50.0).tolist() == [[2, 3], [3, 5], [5, 7]]
    assert spatial(ids, positions, 1, 3.0).tolist() == [[2, 3], [3, 5], [5, 7]]
    assert spatial(ids, positions, 1, 2.9).tolist() == [[2, 3], [3, 5]]
    assert spatial(ids, positions, 4, 3.0).tolist() == [[2, 3], [2, 5], [3, 5], [5, 7]]
    assert len(spatial(ids, positions, 4, np.inf)) == 10


def test_of_a_burst_each_photograph_gets_those_before_and_after():
    pairs = spatial(np.arange(1, 10), np.full((9, 3), 7.0), number=2, max_distance_m=5.0)
    steps = pairs[:, 1].astype(int) - pairs[:, 0]
    assert np.bincount(steps).tolist() == [0, 8, 2]  # the first and the last one have both neighbours on one side


def test_a_geocentric_metre_is_a_metre():
    ids = np.arange(1, 41, dtype=np.uint32)
    along = {int(i): prior((LUND[0], LUND[1] + 1e-6 * (i - 1), 60)) for i in ids}  # 6 cm apart, 2.5 m in all
    positions = np.array(list(positions_m(along, use_altitude=False).values()))
    expected = [[i, i + 1] for i in range(1, 40)] + [[1, 3], [38, 40]]  # the ends have neighbours on one side only
    assert spatial(ids, positions, 2, 1.0).tolist() == sorted(expected)


@pytest.mark.parametrize("max_distance_m", [60.0, 200.0])
def test_pairs_within_a_distance_are_those_of_colmap(tmp_path, max_distance_m):
    path = tmp_path / "db.db"
    create_database(path)
    generator = np.random.default_rng(3)
    with open_pycolmap(path) as colmap:
        camera_id = colmap.write_camera(pycolmap.Camera(model="PINHOLE", width=8, height=6, params=[9, 9, 4, 3]))
        for number in range(25):
            image_id = colmap.write_image(pycolmap.Image(name=f"{number}.jpg", camera_id=camera_id))
            if number != 7:
                offset = generator.uniform(-0.002, 0.002, 2)
                position = (LUND[0] + offset[0], LUND[1] + offset[1], generator.uniform(0, 500))
                data_id = colmap.read_image(image_id).data_id
                colmap.write_pose_prior(prior(position, corr_data_id=data_id))
        options = pycolmap.SpatialPairingOptions(max_distance=max_distance_m, max_num_neighbors=100)
        with quiet_pycolmap():
            expected = pycolmap.SpatialPairGenerator(options, colmap).all_pairs()
    with MatchStore(path) as store:
        positions = positions_m(store.pose_priors(), use_altitude=False)
    assert len(positions) == 24
    found = spatial(np.array(list(positions), np.uint32), np.array(list(positions.values())), 100, max_distance_m)
    assert list(map(tuple, found.tolist())) == sorted({tuple(sorted(pair)) for pair in expected})
    assert len(found) < 24 * 23 / 2


@pytest.mark.photographs
@pytest.mark.parametrize(("folder", "count", "within_25_m"), [("lund", 29, 89), ("brighton_beach", 18, 17)])
def test_real_photographs(tmp_path, shared_data, folder, count, within_25_m):
    path, images = tmp_path / "db.db", shared_data / folder / "images"
    create_database(path)
    import_photographs(path, images, list_photographs(images))
    with MatchStore(path) as store:
        positions = positions_m(store.pose_priors(), use_altitude=False)
    assert len(positions) == count
    ids, xyz = np.array(list(positions), np.uint32), np.array(list(positions.values()))
    assert len(spatial(ids, xyz, count, 25.0)) == within_25_m
    assert len(spatial(ids, xyz, count, np.inf)) == count * (count - 1) // 2


def nearest_plainly(positions, number, max_distance, index_step, allowed):
    """Sorted by distance and then by index, one position after the other."""
    found, points = [], positions.tolist()
    for i, (x, y, z) in enumerate(points):
        others = []
        for j, (u, v, w) in enumerate(points):
            distance = math.sqrt((x - u) * (x - u) + (y - v) * (y - v) + (z - w) * (z - w))
            if i != j and distance <= max_distance and allowed[i, j]:
                others.append((distance + index_step * abs(i - j), j))
        found += [(i, j) for _, j in sorted(others)[:number]]
    return sorted(found)


@given(
    st.integers(0, 120),
    st.sampled_from([0, 1, 2, 3, 7, 130]),
    st.sampled_from([1e-6, 1.0, math.sqrt(2), 1.5, math.inf]),
    st.sampled_from([0.0, 1e-6, 0.1]),
    st.sampled_from([0.0, 1e-7, 1e-3, 0.3]),
    st.sampled_from([0.02, 0.3, 1.0]),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=examples(150), deadline=None)
def test_the_nearest_are_those_of_all_distances(count, number, max_distance, index_step, spread, share, seed):
    """Positions of a grid of 1 to 125 places, many of them equal or next to each other, at the origin or far away."""
    generator = np.random.default_rng(seed)
    positions = generator.integers(0, generator.integers(1, 6), (count, 3)).astype(float)
    positions += spread * generator.integers(-1, 2, (count, 3)) + generator.choice([0.0, 6.3e6])
    allowed = generator.random((count, count)) < share
    found = nearest_positions(
        positions, number, max_distance, index_step, None if share == 1 else lambda some, others: allowed[some, others]
    )
    expected = nearest_plainly(positions, number, max_distance, index_step, allowed)
    assert sorted(zip(*(indices.tolist() for indices in found), strict=True)) == expected


def nothing(some, others):
    return np.zeros(np.broadcast_shapes(some.shape, others.shape), bool)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "allowed"), [(20_000, None), (2500, nothing)])
def test_memory_does_not_grow_with_the_square(count, allowed):
    positions = np.random.default_rng(0).normal(size=(count, 3))
    tracemalloc.start()
    try:
        first, _ = nearest_positions(positions, 2, allowed=allowed)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(first) == (0 if allowed else 2 * count)
    assert peak < 150 * BLOCK_ENTRIES < 8 * count * count
