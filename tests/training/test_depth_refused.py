"""Depth maps that are refused, each with a line that names the file."""

import h5py
import numpy as np
import pytest
from support.depth_maps import WRITERS, random_depth, write_bin, write_h5

from d2sfm.training.depth import read_depth_crop


def one_line(caught):
    message = str(caught.value)
    assert "\n" not in message
    return message


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


@pytest.mark.parametrize("name", WRITERS)
def test_a_cut_file(tmp_path, name):
    path = WRITERS[name](tmp_path / name, random_depth(64, 64))
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
