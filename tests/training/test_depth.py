import h5py
import numpy as np
import pytest
from support.helpers import scene_of, simple_camera, wall

from d2sfm.demo.rendering import render
from d2sfm.demo.scene import look_at
from d2sfm.training.depth import is_relative, read_depth_crop

GREY = np.full((2, 2, 3), 128, np.uint8)


def write_h5(path, depth, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("depth", data=depth, **options)
    return path


def write_bin(path, depth):
    """COLMAP's dense format."""
    height, width = depth.shape
    path.write_bytes(f"{width}&{height}&1&".encode() + depth.astype("<f4").tobytes())
    return path


WRITERS = {"map.h5": write_h5, "map.geometric.bin": write_bin}


@pytest.fixture(params=WRITERS)
def write(request, tmp_path):
    """Writes a depth map in one of the two formats; returns its path."""
    return lambda depth: WRITERS[request.param](tmp_path / request.param, depth)


def random_depth(height, width, seed=0):
    return np.random.default_rng(seed).uniform(1, 9, (height, width)).astype(np.float32)


def one_line(caught):
    message = str(caught.value)
    assert "\n" not in message
    return message


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


@pytest.mark.parametrize("image_size", [(8, 8), (9, 8)])
def test_below_zero_is_an_error_in_megadepth(tmp_path, image_size):
    depth = random_depth(8, 8)
    depth[1, 2] = -2.5
    path = write_h5(tmp_path / "map.h5", depth)
    with pytest.raises(ValueError) as caught:
        read_depth_crop(path, image_size, (0, 0), 8)
    assert str(path) in one_line(caught)
    assert "-2.5" in str(caught.value)


def test_below_zero_beside_what_is_not_finite_is_an_error_in_megadepth(tmp_path):
    depth = random_depth(8, 8)
    depth[1, 2], depth[3, 4] = -2.5, np.nan
    with pytest.raises(ValueError, match=r"-2\.5"):
        read_depth_crop(write_h5(tmp_path / "map.h5", depth), (8, 8), (0, 0), 8)


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
    ("name", "map_size", "image_size"),
    [
        ("map.h5", (40, 30), (43, 30)),
        ("map.h5", (40, 30), (40, 27)),
        ("map.h5", (30, 40), (40, 30)),  # turned
        ("map.h5", (20, 15), (40, 30)),  # MegaDepth's maps are as large as their photographs
        ("map.bin", (30, 40), (40, 30)),
        ("map.bin", (40, 40), (80, 60)),
        ("map.bin", (400, 300), (800, 590)),
    ],
)
def test_a_map_of_another_shape_is_refused_with_both_sizes(tmp_path, name, map_size, image_size):
    write = write_h5 if name == "map.h5" else write_bin
    path = write(tmp_path / name, np.ones(map_size[::-1], np.float32))
    with pytest.raises(ValueError) as caught:
        read_depth_crop(path, image_size, (0, 0), 16)
    message = one_line(caught)
    for part in (str(path), f"{map_size[0]} x {map_size[1]}", f"{image_size[0]} x {image_size[1]}"):
        assert part in message


@pytest.mark.parametrize(
    ("map_size", "image_size"), [((667, 500), (2000, 1499)), ((499, 375), (1600, 1202)), ((100, 76), (400, 300))]
)
def test_the_rounding_of_a_smaller_maps_edges_is_allowed(tmp_path, map_size, image_size):
    path = write_bin(tmp_path / "map.bin", np.full(map_size[::-1], 3.0))
    assert np.array_equal(read_depth_crop(path, image_size, (100, 200), 32), np.full((32, 32), 3.0))


def test_a_missing_file(tmp_path):
    for path in (tmp_path / "no.h5", tmp_path / "no.bin", tmp_path):
        with pytest.raises(FileNotFoundError, match="no depth map at"):
            read_depth_crop(path, (8, 8), (0, 0), 8)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("map.h5", b""),
        ("map.h5", b"depth: 1 2 3\n"),
        ("map.bin", b""),
        ("map.bin", b"8&8&1&"),
        ("map.bin", b"no map at all, but a line of text & more of it & even more & so on"),
        ("map.bin", b"8&8&"),
        ("map.bin", b"-8&8&1&" + bytes(256)),
        ("map.bin", b"8.0&8&1&" + bytes(256)),
        ("map.bin", b"0&0&1&"),
        ("map.bin", b"8&8&3&" + bytes(3 * 256)),  # a normal map
        ("map.bin", b"8&8&1&" + bytes(255)),
        ("map.bin", b"8&8&1&" + bytes(257)),
    ],
)
def test_files_that_are_no_depth_map(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read_depth_crop(path, (8, 8), (0, 0), 8)
    assert str(path) in one_line(caught)


def test_a_cut_file(write):
    path = write(random_depth(64, 64))
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(ValueError) as caught:
        read_depth_crop(path, (64, 64), (0, 0), 8)
    assert str(path) in one_line(caught)


@pytest.mark.parametrize("image_size", [(64, 64), (65, 64)])
def test_a_damaged_chunk(tmp_path, image_size):
    path = write_h5(tmp_path / "map.h5", random_depth(64, 64), compression="gzip", chunks=(64, 64))
    content = bytearray(path.read_bytes())
    content[-6000:-5000] = bytes(1000)
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read_depth_crop(path, image_size, (0, 0), 8)
    assert str(path) in one_line(caught)


@pytest.mark.parametrize(
    ("dataset", "data"),
    [
        ("disparity", np.ones((8, 8))),
        ("depth", np.ones((8, 8, 1))),
        ("depth", np.ones(64)),
        ("depth", np.full((8, 8), b"far")),
        ("depth/map", np.ones((8, 8))),
    ],
)
def test_an_hdf5_file_without_a_map(tmp_path, dataset, data):
    path = tmp_path / "map.h5"
    with h5py.File(path, "w") as file:
        file[dataset] = data
    with pytest.raises(ValueError) as caught:
        read_depth_crop(path, (8, 8), (0, 0), 8)
    assert str(path) in one_line(caught)
    assert "'depth'" in str(caught.value)
    h5py.File(path, "a").close()  # refused where the reader left the file open


def test_files_are_closed(tmp_path):
    """Also after an error: HDF5 refuses to write to a file that is open for reading."""
    path = write_h5(tmp_path / "map.h5", random_depth(8, 8))
    read_depth_crop(path, (8, 8), (0, 0), 8)
    with pytest.raises(ValueError) as caught:
        read_depth_crop(path, (80, 8), (0, 0), 8)
    with h5py.File(path, "a") as file:
        file["depth"][0, 0] = 7
    assert "80 x 8" in str(caught.value)
    assert read_depth_crop(path, (8, 8), (0, 0), 8)[0, 0] == 7


def test_only_workspaces_have_an_arbitrary_unit():
    assert is_relative("stereo/depth_maps/a.jpg.geometric.bin")
    assert not is_relative("phoenix/S6/zl548/MegaDepth_v1/0000/dense0/depths/a.h5")
