from math import ceil, floor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from d2sfm.training.warp import DepthTolerance, View, corresponding_cells, interpolate_depth, warp

UNKNOWN = (0.0, -1.0, float("nan"))


def depth_around(depth, row, column):
    """Bilinear depth at one position, None if a neighbour is missing or unknown."""
    height, width = depth.shape
    if not (0 <= row <= height - 1 and 0 <= column <= width - 1):
        return None
    total = 0.0
    for i in {floor(row), ceil(row)}:
        for j in {floor(column), ceil(column)}:
            if not depth[i, j] > 0:
                return None
            total += (1 - abs(row - i)) * (1 - abs(column - j)) * float(depth[i, j])
    return total


def warp_one(row, column, view1, view2, limit, relative):
    """One position carried from crop 1 to crop 2, step by step; None if it is lost."""
    depth = depth_around(view1.depth, row, column)
    if depth is None:
        return None
    x, y = column + view1.corner[1] + 0.5, row + view1.corner[0] + 0.5
    in_camera1 = depth * np.linalg.solve(view1.intrinsics, [x, y, 1.0])
    in_world = np.linalg.solve(view1.cam_from_world, [*in_camera1, 1.0])
    in_camera2 = (view2.cam_from_world @ in_world)[:3]
    if in_camera2[2] <= 0:
        return None
    x, y, _ = view2.intrinsics @ in_camera2 / in_camera2[2]
    row, column = y - 0.5 - view2.corner[0], x - 0.5 - view2.corner[1]
    measured = depth_around(view2.depth, row, column)
    if measured is None or not abs(in_camera2[2] - measured) < (limit * measured if relative else limit):
        return None
    return row, column


def corresponding_one_by_one(view1, view2, limit, relative):
    """(cell 1, cell 2, position 1, position 2) of each cell that survives, in row-major order."""
    (rows, columns), columns2 = (edge // 8 for edge in view1.depth.shape), view2.depth.shape[1] // 8
    found = []
    for i in range(rows):
        for j in range(columns):
            position1 = (8 * i + 3.5, 8 * j + 3.5)
            position2 = warp_one(*position1, view1, view2, limit, relative)
            if position2 is not None:
                i2, j2 = (round((edge - 3.5) / 8) for edge in position2)
                found.append((i * columns + j, i2 * columns2 + j2, position1, position2))
    return found


def pose(rotation_vector, translation):
    cam_from_world = np.eye(4)
    cam_from_world[:3, :3] = cv2.Rodrigues(np.asarray(rotation_vector, np.float64))[0]
    cam_from_world[:3, 3] = translation
    return cam_from_world


def random_view(generator, shape, hole_share, turn, distance=4.0):
    """A crop of a rough wall some 4 units away: at any place of its photograph, any focal length, with holes."""
    height, width = shape
    depth = (distance + generator.normal(0, 0.03, shape)).astype(np.float32)
    holes = generator.uniform(size=shape) < hole_share
    depth[holes] = generator.choice(UNKNOWN, holes.sum())
    corner = tuple(generator.integers(0, 300, 2).tolist())
    focal = max(shape) * generator.uniform(0.8, 1.5, 2)
    centre = np.array([corner[1] + width / 2, corner[0] + height / 2]) + generator.uniform(-4, 4, 2)
    intrinsics = np.array([[focal[0], 0, centre[0]], [0, focal[1], centre[1]], [0, 0, 1]])
    return View(depth, corner, intrinsics, pose(generator.normal(0, turn, 3), generator.normal(0, 0.1, 3)))


def random_pair(seed, shape1, shape2, hole_share, turn):
    generator = np.random.default_rng(seed)
    return tuple(random_view(generator, shape, hole_share, turn) for shape in (shape1, shape2))


def assert_equal_to_loop(view1, view2, tolerance):
    found = corresponding_cells(view1, view2, tolerance)
    expected = corresponding_one_by_one(view1, view2, tolerance.limit, tolerance.relative)
    assert found.cells1.tolist() == [cell for cell, _, _, _ in expected]
    assert found.cells2.tolist() == [cell for _, cell, _, _ in expected]
    np.testing.assert_allclose(found.in_crop1, np.reshape([row[2] for row in expected], (-1, 2)), rtol=0, atol=0)
    np.testing.assert_allclose(found.in_crop2, np.reshape([row[3] for row in expected], (-1, 2)), rtol=0, atol=1e-9)
    return len(expected)


EDGE = st.integers(1, 6).map(lambda cells: 8 * cells)


@given(
    seed=st.integers(0, 2**32),
    shapes=st.tuples(st.tuples(EDGE, EDGE), st.tuples(EDGE, EDGE)),
    hole_share=st.sampled_from([0.0, 0.01, 0.1]),
    turn=st.sampled_from([0.0, 0.02, 0.1, 2.0]),
    limit=st.sampled_from([0.01, 0.05, 0.3]),
    relative=st.booleans(),
)
@settings(max_examples=examples(120))
def test_any_pair_of_crops_gives_the_loops_cells(seed, shapes, hole_share, turn, limit, relative):
    assert_equal_to_loop(*random_pair(seed, *shapes, hole_share, turn), DepthTolerance(limit, relative))


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize(("hole_share", "turn"), [(0.0, 0.02), (0.05, 0.02), (0.02, 0.05)])
def test_random_pairs_keep_some_cells_and_lose_others(hole_share, turn, relative):
    tolerance = DepthTolerance(0.02 if relative else 0.08, relative)
    count = [
        assert_equal_to_loop(*random_pair(seed, (48, 56), (64, 40), hole_share, turn), tolerance) for seed in range(4)
    ]
    assert 12 < sum(count) < 4 * 42 - 12


@pytest.mark.parametrize("relative", [False, True])
def test_a_view_warps_onto_itself(relative):
    view = random_view(np.random.default_rng(0), (40, 56), hole_share=0, turn=1.0)
    found = corresponding_cells(view, view, DepthTolerance(1e-6, relative))
    assert found.cells1.tolist() == found.cells2.tolist() == list(range(5 * 7))
    assert found.in_crop1[:3].tolist() == [[3.5, 3.5], [3.5, 11.5], [3.5, 19.5]]
    np.testing.assert_allclose(found.in_crop2, found.in_crop1, rtol=0, atol=1e-9)


def flat_view(depth, shift_px=0.0, shape=(16, 24), turn_y=0.0):
    """A wall seen straight on; a shifted view shows it that many pixels to the right where it is 1 unit away."""
    intrinsics = np.array([[64.0, 0, 12], [0, 64, 8], [0, 0, 1]])
    return View(
        np.broadcast_to(np.float64(depth), shape).copy(),
        (0, 0),
        intrinsics,
        pose((0, turn_y, 0), (shift_px / 64, 0, 0)),
    )


def test_a_shifted_wall_by_hand():
    found = corresponding_cells(flat_view(2.0), flat_view(2.0, shift_px=16.0), DepthTolerance(0.05))
    # 2 units away it is 8 px: a cell to the right, where the last column leaves the crop.
    assert found.cells1.tolist() == [0, 1, 3, 4]
    assert found.cells2.tolist() == [1, 2, 4, 5]
    np.testing.assert_allclose(found.in_crop2, np.add(found.in_crop1, (0, 8)), rtol=0, atol=1e-12)


def test_a_corner_moves_the_positions():
    view1, view2 = flat_view(2.0), flat_view(2.0)
    view2 = View(view2.depth, (4, 0), view2.intrinsics, view2.cam_from_world)
    warped = warp(np.array([[6.0, 5.0], [3.0, 5.0]]), view1, view2, DepthTolerance(0.05))
    assert warped.kept.tolist() == [0]
    np.testing.assert_allclose(warped.in_crop2, [[2, 5]], rtol=0, atol=1e-12)


def test_what_lies_behind_the_second_camera_is_lost():
    behind = flat_view(2.0, turn_y=np.pi)
    assert len(corresponding_cells(flat_view(2.0), behind, DepthTolerance(100.0)).cells1) == 0


@pytest.mark.parametrize("unknown", UNKNOWN)
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("pixel", [(3, 3), (3, 4), (4, 3), (4, 4)])
def test_one_unknown_neighbour_in_either_view_loses_the_cell(unknown, side, pixel):
    views = [flat_view(2.0), flat_view(2.0)]
    views[side].depth[pixel] = unknown
    assert corresponding_cells(*views, DepthTolerance(0.05)).cells1.tolist() == [1, 2, 3, 4, 5]


def test_unknown_depth_is_not_the_place_of_the_camera():
    """Camera 2 stands 2 units behind camera 1, whose place has just the depth that camera 2 measured."""
    view1, view2 = flat_view(0.0), flat_view(2.0)
    view2 = View(view2.depth, view2.corner, view2.intrinsics, pose((0, 0, 0), (0, 0, 2.0)))
    assert len(corresponding_cells(view1, view2, DepthTolerance(0.05)).cells1) == 0


def test_a_neighbour_without_weight_may_be_unknown_or_outside():
    view = flat_view(2.0)
    view.depth[5, 7] = 0
    whole = np.array([[5.0, 6.0], [4.0, 7.0], [0.0, 0.0], [15.0, 23.0], [5.0, 7.0], [5.0, 6.25], [4.5, 7.0]])
    assert interpolate_depth(view.depth, whole).tolist() == [2, 2, 2, 2, 0, 0, 0]


def test_positions_outside_have_no_depth():
    edge = np.array([[-1e-9, 3], [3, -1e-9], [15 + 1e-9, 3], [3, 23 + 1e-9], [-100, 900], [np.nan, 3]])
    assert not interpolate_depth(np.ones((16, 24)), edge).any()


def test_depth_is_interpolated_between_the_four_neighbours():
    depth = np.array([[1.0, 3.0], [5.0, 11.0]])
    at = interpolate_depth(depth, np.array([[0.25, 0.5], [0.5, 0.5], [1.0, 0.75]]))
    np.testing.assert_allclose(at, [3.5, 5.0, 9.5])


@pytest.mark.parametrize(
    ("tolerance", "depth1", "depth2", "survives"),
    [
        (DepthTolerance(0.0625), 2.0, 2.0625, False),
        (DepthTolerance(0.0625), 2.0625, 2.0, False),
        (DepthTolerance(np.nextafter(0.0625, 1)), 2.0, 2.0625, True),
        (DepthTolerance(0.25, relative=True), 3.0, 4.0, False),
        (DepthTolerance(np.nextafter(0.25, 1), relative=True), 3.0, 4.0, True),
        # A share of the measured depth: of the projected one it would be 1.25.
        (DepthTolerance(0.25, relative=True), 5.0, 4.0, False),
        (DepthTolerance(np.nextafter(0.25, 1), relative=True), 5.0, 4.0, True),
    ],
)
def test_depths_agree_strictly_below_the_tolerance(tolerance, depth1, depth2, survives):
    found = corresponding_cells(flat_view(depth1), flat_view(depth2), tolerance)
    assert len(found.cells1) == (6 if survives else 0)
    assert tolerance.agree(np.array([depth1]), np.array([depth2])).tolist() == [survives]


@pytest.mark.parametrize(("depth1", "depth2"), [(0.0, 2.0), (2.0, 0.0), (2.0, 9.0)])
def test_nothing_left_has_its_shape(depth1, depth2):
    found = corresponding_cells(flat_view(depth1), flat_view(depth2), DepthTolerance(0.05))
    assert found.cells1.shape == found.cells2.shape == (0,)
    assert found.cells1.dtype == found.cells2.dtype == np.int64
    assert found.in_crop1.shape == found.in_crop2.shape == (0, 2)


def test_no_positions_give_none():
    warped = warp(np.empty((0, 2)), flat_view(2.0), flat_view(2.0), DepthTolerance(0.05))
    assert warped.kept.shape == (0,)
    assert warped.in_crop1.shape == warped.in_crop2.shape == (0, 2)
