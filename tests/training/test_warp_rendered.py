"""Correspondences in rendered pictures, whose depth and cameras are exact."""

import numpy as np
import pytest
from support.helpers import scene_of, simple_camera, wall
from support.rendered_truth import depth_at, transfer

from d2sfm.demo.rendering import render
from d2sfm.demo.scene import arc_of_views, look_at
from d2sfm.demo.square import CENTRE
from d2sfm.training.dataset import crop_corner
from d2sfm.training.warp import DepthTolerance, View, corresponding_cells, interpolate_depth, warp

GREY = np.full((2, 2, 3), 128, np.uint8)


def view_of(scene, camera, corner=(0, 0), shape=None):
    """A crop of a rendered picture, by default all of it."""
    row, column = corner
    height, width = shape or (camera.height, camera.width)
    depth = render(scene, camera, samples=1).depth[row : row + height, column : column + width]
    cam_from_world = np.eye(4)
    cam_from_world[:3] = np.column_stack([camera.rotation, camera.translation])
    return View(depth, corner, camera.calibration, cam_from_world)


def image_xy(positions, corner):
    """(x, y) in the photograph, COLMAP's frame, of crop positions (row, column)."""
    return (positions + corner)[:, ::-1] + 0.5


def looking_at_wall(centre, **changes):
    rotation, translation = look_at(np.array(centre), np.array([0.0, 6.0, 0.0]))
    return simple_camera(rotation=rotation, translation=translation, **changes)


@pytest.mark.parametrize("corners", [((0, 0), (0, 0)), ((16, 40), (0, 56)), ((16, 56), (16, 56)), ((7, 13), (5, 31))])
def test_cells_of_a_rendered_wall_land_where_the_exact_transfer_puts_them(corners):
    """Seen at a slant, in crops that touch the photographs' borders: 1/z is linear on it, z almost."""
    scene = scene_of(wall(6.0, GREY))
    a, b = looking_at_wall((-1.5, -0.5, 0.4)), looking_at_wall((1.0, 0.3, -0.2), fx=110.0, fy=108.0)
    view1, view2 = (view_of(scene, camera, corner, (64, 64)) for camera, corner in zip((a, b), corners, strict=True))
    found = corresponding_cells(view1, view2, DepthTolerance(0.05))
    centres = np.stack(np.mgrid[0:8, 0:8], axis=-1).reshape(-1, 2) * 8 + 3.5
    exact, _ = transfer(scene, a, b, image_xy(centres, corners[0]))
    in_crop2 = exact[:, ::-1] - 0.5 - corners[1]
    lands_inside = ((in_crop2 >= 0) & (in_crop2 <= 63)).all(axis=1)
    assert found.cells1.tolist() == np.flatnonzero(lands_inside).tolist()
    assert 8 < len(found.cells1) < 64
    np.testing.assert_allclose(found.in_crop2, in_crop2[lands_inside], rtol=0, atol=1e-3)


def test_a_crop_at_the_border_sees_what_the_whole_photograph_sees():
    """Cutting out changes the frame, and what is inside, but no correspondence."""
    scene = scene_of(wall(6.0, GREY), wall(4.0, GREY, (0.7, 0.9)))
    a, b = looking_at_wall((-1.0, 0.0, 0.3)), looking_at_wall((0.6, 0.2, 0.1))
    # Around points so near to the border that the crops are moved: to the last and the first row.
    corner1, corner2 = (np.array(crop_corner(xy, (120, 80), 64)) for xy in ((118.5, 79.0), (63.2, 3.0)))
    shape = (64, 64)
    assert corner1.tolist() == [16, 56]
    assert corner2.tolist() == [0, 31]
    whole1, whole2 = view_of(scene, a), view_of(scene, b)
    cut1, cut2 = view_of(scene, a, tuple(corner1), shape), view_of(scene, b, tuple(corner2), shape)
    positions = np.random.default_rng(3).uniform(0, 63, (300, 2))
    cut = warp(positions, cut1, cut2, DepthTolerance(0.05))
    whole = warp(positions + corner1, whole1, whole2, DepthTolerance(0.05))
    in_crop2 = whole.in_crop2 - corner2
    inside = ((in_crop2 >= 0) & (in_crop2 <= 63)).all(axis=1)
    assert 50 < inside.sum() < 300
    assert cut.kept.tolist() == whole.kept[inside].tolist()
    np.testing.assert_allclose(cut.in_crop2, in_crop2[inside], rtol=0, atol=1e-9)


def test_occluded_cells_are_dropped():
    """A panel before the wall hides another part of it from each camera."""
    scene = scene_of(wall(10, GREY), wall(5, GREY, (1.0, 1.6)))
    a, b = simple_camera(), simple_camera(translation=np.array([0.9, 0, 0]))
    found = corresponding_cells(view_of(scene, a), view_of(scene, b), DepthTolerance(0.05))
    # By hand: the wall moves by 9 px, the panel by 18. In a it takes columns 50 to 70, so it is at 68 to 88 in b,
    # where the wall's columns 59 to 79 of a belong. Rows 24 to 56.
    rows, columns = np.divmod(np.arange(10 * 15), 15)
    rows, columns = 8 * rows + 4, 8 * columns + 4  # centres of the cells in the image frame
    beside_panel = (rows > 24) & (rows < 56)
    on_panel = beside_panel & (columns > 50) & (columns < 70)
    hidden = beside_panel & ~on_panel & (columns > 59) & (columns < 79)
    expected = ~hidden & (columns + 9 < 120)
    assert hidden.sum() == 4
    assert on_panel.sum() == 12
    assert found.cells1.tolist() == np.flatnonzero(expected).tolist()
    np.testing.assert_allclose((found.in_crop2 - found.in_crop1)[:, 1], np.where(on_panel, 18, 9)[expected], atol=1e-9)


def is_smooth(scene, camera, xy, depth):
    """Whether interpolated depth is that of the surface: no step of depth within the pixels around."""
    exact = depth_at(scene, camera, xy)
    return (depth > 0) & (np.abs(depth - exact) < 1e-4 * exact)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [(3, 5), pytest.param(6, 7, marks=pytest.mark.slow)])
def test_a_rendered_square_away_from_edges_of_depth(square, first, second):
    """Boxes, walls and ground: what both see survives at its exact place, what one doesn't see is dropped."""
    cameras = arc_of_views(CENTRE, 14, size=(320, 240))
    a, b = cameras[first], cameras[second]
    view1, view2 = view_of(square, a, (0, 40), (240, 240)), view_of(square, b, (0, 80), (240, 240))
    found = corresponding_cells(view1, view2, DepthTolerance(0.05))
    centres = np.stack(np.mgrid[0:30, 0:30], axis=-1).reshape(-1, 2) * 8 + 3.5
    exact, visible = transfer(square, a, b, image_xy(centres, (0, 40)))
    in_crop2 = exact[:, ::-1] - 0.5 - (0, 80)
    sure = is_smooth(square, a, image_xy(centres, (0, 40)), interpolate_depth(view1.depth, centres))
    sure &= ((in_crop2 >= 0) & (in_crop2 <= 239)).all(axis=1)
    depth2 = interpolate_depth(view2.depth, np.where(sure[:, None], in_crop2, 0))
    sure &= is_smooth(square, b, np.where(sure[:, None], exact, 0), depth2)
    kept = np.zeros(900, bool)
    kept[found.cells1] = True
    assert (sure & visible).sum() > 200
    assert (sure & ~visible).sum() > 5
    assert kept[sure].tolist() == visible[sure].tolist()
    np.testing.assert_allclose(found.in_crop2[sure[found.cells1]], in_crop2[kept & sure], rtol=0, atol=0.05)
