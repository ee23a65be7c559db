import numpy as np
import pytest
from support.depth_maps import WRITERS, random_depth, write_bin, write_h5
from support.helpers import scene_of, simple_camera, wall

from d2sfm.demo.rendering import render
from d2sfm.demo.scene import look_at
from d2sfm.training.depth import is_relative, read_depth_crop

GREY = np.full((2, 2, 3), 128, np.uint8)


@pytest.fixture(params=WRITERS)
def write(request, tmp_path):
    """Writes a depth map in one of the two formats; returns its path."""
    return lambda depth: WRITERS[request.param](tmp_path / request.param, depth)


@pytest.mark.parametrize("corner", [(0, 0), (3, 7), (14, 24)])
def test_a_map_of_the_photographs_size_is_cut_out_as_it_is(write, corner):
    depth = random_depth(30, 40)
    crop = read_depth_crop(write(depth), (40, 30), corner, 16)
    assert crop.dtype == np.float32
    assert np.array_equal(crop, depth[corner[0] : corner[0] + 16, corner[1] : corner[1] + 16])


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.uint16])
def test_hdf5_maps_of_other_numbers(tmp_path, dtype):
    depth = np.arange(1, 13).reshape(3, 4).astype(dtype)
    crop = read_depth_crop(write_h5(tmp_path / "map.h5", depth), (4, 3), (0, 1), 3)
    assert crop.dtype == np.float32
    assert np.array_equal(crop, depth[:, 1:])


def test_compressed_and_chunked_hdf5_maps(tmp_path):
    depth = random_depth(30, 40)
    path = write_h5(tmp_path / "map.h5", depth, compression="gzip", chunks=(8, 8))
    assert np.array_equal(read_depth_crop(path, (40, 30), (5, 6), 20), depth[5:25, 6:26])


def test_zero_and_what_is_not_finite_is_unknown(write):
    depth = random_depth(8, 8)
    depth[1, 2], depth[3, 4], depth[5, 6] = 0, np.nan, np.inf
    crop = read_depth_crop(write(depth), (8, 8), (0, 0), 8)
    expected = depth.copy()
    expected[[1, 3, 5], [2, 4, 6]] = 0
    assert np.array_equal(crop, expected)


def test_below_zero_is_unknown_in_a_workspace(tmp_path):
    depth = random_depth(8, 8)
    depth[1, 2], depth[3, 4] = -1, -np.inf
    crop = read_depth_crop(write_bin(tmp_path / "map.bin", depth), (8, 8), (0, 0), 8)
    assert crop[[1, 3], [2, 4]].tolist() == [0, 0]
    assert (crop > 0).sum() == 62


def resampled_one_by_one(depth, image_size, corner, size):
    """Pixel by pixel: its centre as a share of the picture is the same in the map, there bilinear between centres."""
    (height, width), (image_width, image_height) = depth.shape, image_size
    crop = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            row = min(max((corner[0] + i + 0.5) * height / image_height - 0.5, 0), height - 1)
            column = min(max((corner[1] + j + 0.5) * width / image_width - 0.5, 0), width - 1)
            top, left = int(row), int(column)
            corners = {}
            for r, row_share in ((top, 1 - (row - top)), (top + 1, row - top)):
                for c, column_share in ((left, 1 - (column - left)), (left + 1, column - left)):
                    if row_share * column_share > 0:
                        corners[r, c] = row_share * column_share
            if all(depth[place] > 0 for place in corners):
                crop[i, j] = sum(share * depth[place] for place, share in corners.items())
    return crop


@pytest.mark.parametrize(
    ("name", "map_shape"),
    [("map.h5", (30, 39)), ("map.h5", (31, 41)), ("map.h5", (28, 42)), ("map.bin", (15, 20)), ("map.bin", (9, 12))],
)
@pytest.mark.parametrize("corner", [(0, 0), (14, 24), (5, 11)])
def test_a_map_of_another_size_is_resampled(tmp_path, name, map_shape, corner):
    depth = random_depth(*map_shape)
    depth[np.random.default_rng(1).uniform(size=map_shape) < 0.05] = 0
    write = write_h5 if name == "map.h5" else write_bin
    crop = read_depth_crop(write(tmp_path / name, depth), (40, 30), corner, 16)
    expected = resampled_one_by_one(depth.astype(np.float64), (40, 30), corner, 16)
    assert crop.dtype == np.float32
    assert 0 < (crop == 0).sum() < 200
    np.testing.assert_allclose(crop, expected, rtol=1e-6)


@pytest.mark.parametrize("factor", [2, 4])
def test_a_smaller_map_of_a_slanted_wall_has_its_exact_depth(tmp_path, factor):
    """Depth changes by some 0.5 % from pixel to pixel, so that half a pixel of the photograph would show."""
    rotation, translation = look_at(np.array([-3.0, 2.0, -2.0]), np.array([0.0, 6.0, 0.0]))
    camera = simple_camera(rotation=rotation, translation=translation)
    size, focal, centre = (120 // factor, 80 // factor), 100 / factor, (60 / factor, 40 / factor)
    small = simple_camera(
        rotation=rotation,
        translation=translation,
        **{"width": size[0], "height": size[1], "fx": focal, "fy": focal, "cx": centre[0], "cy": centre[1]},
    )
    scene = scene_of(wall(6.0, GREY))
    exact, depth = (render(scene, each, samples=1).depth for each in (camera, small))
    crop = read_depth_crop(write_bin(tmp_path / "map.bin", depth), (120, 80), (8, 30), 64)
    wanted = exact[8:72, 30:94]
    step = np.abs(np.diff(wanted, axis=1)) / wanted[:, 1:]
    assert step.min() > 4e-3
    np.testing.assert_allclose(crop, wanted, rtol=1e-3)


def test_the_photographs_border_takes_the_maps(tmp_path):
    """Its outermost pixels lie half a pixel beyond the centres of the map's."""
    depth = np.array([[2.0, 4.0], [6.0, 8.0]])
    crop = read_depth_crop(write_bin(tmp_path / "map.bin", depth), (4, 4), (0, 0), 4)
    assert crop[0].tolist() == [2.0, 2.5, 3.5, 4.0]
    assert crop[:, 0].tolist() == [2.0, 3.0, 5.0, 6.0]


def test_holes_never_mix_into_what_is_around_them(tmp_path):
    """On a map of one depth each pixel has that depth, or none: where one of its four neighbours is a hole."""
    depth = np.full((20, 30), 5.0)
    depth[7, 11], depth[12, 20], depth[15, 3] = 0, -1, np.nan
    crop = read_depth_crop(write_bin(tmp_path / "map.bin", depth), (60, 40), (0, 0), 40)
    assert set(np.unique(crop)) == {0, 5}
    hole = np.argwhere(crop[:, 14:32] == 0) + np.array([0, 14])
    # Photograph pixels 2 k - 1 to 2 k + 2 lie between the centres of map pixels k - 1 and k + 1.
    assert hole.min(axis=0).tolist() == [13, 21]
    assert hole.max(axis=0).tolist() == [16, 24]
    assert len(hole) == 16


@pytest.mark.parametrize(
    ("map_size", "image_size"), [((667, 500), (2000, 1499)), ((499, 375), (1600, 1202)), ((100, 76), (400, 300))]
)
def test_the_rounding_of_a_smaller_maps_edges_is_allowed(tmp_path, map_size, image_size):
    path = write_bin(tmp_path / "map.bin", np.full(map_size[::-1], 3.0))
    assert np.array_equal(read_depth_crop(path, image_size, (100, 200), 32), np.full((32, 32), 3.0))


def test_only_workspaces_have_an_arbitrary_unit():
    assert is_relative("stereo/depth_maps/a.jpg.geometric.bin")
    assert not is_relative("phoenix/S6/zl548/MegaDepth_v1/0000/dense0/depths/a.h5")
