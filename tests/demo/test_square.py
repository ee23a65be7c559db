from itertools import pairwise

import numpy as np
import pytest
from support.rendered_truth import depth_at, transfer, unproject

from d2sfm.demo.scene import arc_of_views
from d2sfm.demo.square import EXTENT_M


@pytest.fixture(scope="module", params=[5, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "all"])
def pairs_of_views(square, request):
    """Neighbours along the arc."""
    return list(pairwise(arc_of_views(square.centre)))[:: request.param]


@pytest.fixture(scope="module")
def views(pairs_of_views):
    return [first for first, _ in pairs_of_views]


def lattice(camera, step_px: int = 20) -> np.ndarray:
    x, y = np.meshgrid(np.arange(step_px / 2, camera.width, step_px), np.arange(step_px / 2, camera.height, step_px))
    return np.stack([x.ravel(), y.ravel()], axis=1)


@pytest.mark.slow
def test_views_see_the_square_and_stand_in_the_open(square, views):
    for camera in views:
        depth = depth_at(square, camera, lattice(camera))
        assert (depth > 0).mean() > 0.8
        assert depth[depth > 0].min() > 1.5


@pytest.mark.slow
def test_neighbouring_views_overlap(square, pairs_of_views):
    for a, b in pairs_of_views:
        assert transfer(square, a, b, lattice(a))[1].mean() > 0.4


@pytest.mark.slow
def test_no_plane_explains_a_view(square, views):
    """The best of many planes through three visible points holds less than half of the points, within 10 cm."""
    rng = np.random.default_rng(0)
    for camera in views[::4]:
        xy = lattice(camera)
        depth = depth_at(square, camera, xy)
        points = unproject(camera, xy[depth > 0], depth[depth > 0])
        shares = []
        for _ in range(300):
            a, b, c = points[rng.choice(len(points), 3, replace=False)]
            normal = np.cross(b - a, c - a)
            length = np.linalg.norm(normal)
            if length > 1e-6:
                shares.append((np.abs((points - a) @ normal) < 0.1 * length).mean())
        assert max(shares) < 0.5


@pytest.mark.slow
def test_what_views_show_is_about_as_large_as_stated(square, views):
    """Nine tenths of what is seen lies within the stated extent around the centre."""
    seen = []
    for camera in views:
        depth = depth_at(square, camera, lattice(camera))
        seen.append(unproject(camera, lattice(camera)[depth > 0], depth[depth > 0]))
    distances = np.linalg.norm(np.concatenate(seen) - square.centre, axis=1)
    assert 0.6 * EXTENT_M < 2 * np.quantile(distances, 0.9) < 1.4 * EXTENT_M


@pytest.mark.slow
def test_the_seed_decides_every_texel(coarse_squares):
    square, again, other = coarse_squares
    for first, second in zip(square.quads, again.quads, strict=True):
        np.testing.assert_array_equal(first.texture, second.texture)
    assert any((first.texture != third.texture).any() for first, third in zip(square.quads, other.quads, strict=True))
    for first, third in zip(square.quads, other.quads, strict=True):
        np.testing.assert_array_equal(first.corners, third.corners)
