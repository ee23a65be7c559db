from dataclasses import replace

import cv2
import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.helpers import write_plane_scene

from d2sfm.options.training import MIN_CORRESPONDENCES, PairOptions
from d2sfm.training.dataset import PairDataset, SkippedPair, TrainingPair, collate, crop_corner
from d2sfm.training.draws import Draw
from d2sfm.training.scenes import load_scene

OPTIONS = PairOptions(image_size=96)
DRAW = Draw(0, 0, 2, (100.0, 72.0), (88.0, 72.0))  # view 2 sees the wall 12 px further on


@pytest.fixture
def root(tmp_path):
    write_plane_scene(tmp_path)
    return tmp_path


@pytest.fixture
def dataset(root):
    return PairDataset(root, [load_scene(root / "info" / "0000.npz", OPTIONS)], OPTIONS)


def test_a_pair_is_cut_out_around_its_point(root, dataset):
    pair = dataset[DRAW]
    assert isinstance(pair, TrainingPair)
    assert pair.crops.shape == (2, 96, 96, 3)
    photograph = cv2.imread(str(root / "photographs" / "0000_0.png"))[..., ::-1]
    np.testing.assert_array_equal(pair.crops[0], photograph[24:120, 52:148])
    # Both crops are centred on one point of the wall, at whole pixels: they are the same picture.
    np.testing.assert_array_equal(pair.crops[0], pair.crops[1])
    np.testing.assert_array_equal(pair.correspondences.cells1, np.arange(144))
    np.testing.assert_array_equal(pair.correspondences.cells2, np.arange(144))
    np.testing.assert_allclose(pair.correspondences.in_crop1, pair.correspondences.in_crop2, atol=1e-6)
    assert pair.name == "photographs/0000_0.png - photographs/0000_2.png"


def test_a_crop_at_the_border_is_moved_inside(dataset):
    pair = dataset[DRAW._replace(image2=1, xy1=(14.0, 10.0), xy2=(8.0, 10.0))]
    # Both crops begin at column 0, but view 1 sees the wall 6 px further on.
    np.testing.assert_array_equal(pair.crops[0, :, 6:], pair.crops[1, :, :-6])
    found = pair.correspondences
    assert len(found.cells1) == 132  # all but the first column
    np.testing.assert_allclose(found.in_crop2, found.in_crop1 - [0, 6], atol=1e-5)


@given(st.floats(0, 300), st.floats(0, 200), st.integers(96, 300), st.integers(96, 200), st.sampled_from([8, 64, 96]))
def test_crop_corner_is_the_published_rule(x, y, width, height, size):
    row, column = crop_corner((x, y), (width, height), size)

    def plain(centre, edge):
        corner = max(int(centre) - size // 2, 0)
        if corner + size >= edge:
            corner = edge - size
        return corner

    assert (row, column) == (plain(y, height), plain(x, width))
    assert 0 <= row <= height - size
    assert 0 <= column <= width - size


def test_few_correspondences_skip_a_pair(root, dataset):
    # 128 of 144 cells are enough and 127 are not: a hole in the depth of view 0 decides.
    assert MIN_CORRESPONDENCES == 128
    for cells_without, kept in ((16, True), (17, False)):
        with h5py.File(root / "depth" / "0000_0.h5", "r+") as file:
            depth = np.full((144, 176), 5, np.float32)
            for cell in range(cells_without):
                depth[24 + 8 * (cell // 12) + 3, 52 + 8 * (cell % 12) + 3] = 0
            file["depth"][:] = depth
        item = dataset[DRAW]
        assert isinstance(item, TrainingPair) is kept
    assert item == SkippedPair(item.name, "fewer than 128 correspondences")


def test_photographs_smaller_than_the_crop_skip_a_pair(root):
    options = replace(OPTIONS, image_size=160)
    dataset = PairDataset(root, [load_scene(root / "info" / "0000.npz", options)], options)
    assert dataset[DRAW].reason == "photographs smaller than --image-size 160"


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("photographs/0000_2.png", lambda path: path.unlink(), "no photograph at"),
        ("photographs/0000_2.png", lambda path: path.write_bytes(path.read_bytes()[:2000]), "is damaged or cut short"),
        ("photographs/0000_2.png", lambda path: path.write_text("no picture"), "is not a picture"),
        ("depth/0000_0.h5", lambda path: path.unlink(), "no depth map at"),
        ("depth/0000_0.h5", lambda path: path.write_text("no depth"), "not an HDF5 file, or is damaged"),
    ],
)
def test_broken_files_skip_a_pair_and_are_named(root, dataset, file, damage, message):
    damage(root / file)
    item = dataset[DRAW]
    assert isinstance(item, SkippedPair)
    assert item.reason == "broken files"
    assert message in item.broken
    assert str(root / file) in item.broken


def test_depth_of_another_size_skips_a_pair(root, dataset):
    with h5py.File(root / "depth" / "0000_0.h5", "w") as file:
        file["depth"] = np.full((72, 88), 5, np.float32)
    assert "88 x 72, its photograph 176 x 144" in dataset[DRAW].broken


def test_depth_that_differs_too_much_removes_cells(root, dataset):
    def found(depth):
        with h5py.File(root / "depth" / "0000_2.h5", "w") as file:
            file["depth"] = np.full((144, 176), depth, np.float32)
        return isinstance(dataset[DRAW], TrainingPair)

    assert found(5.049)
    assert not found(5.051)


def test_a_workspaces_depth_agrees_as_a_share(root):
    info_path = root / "info" / "0000.npz"
    scene = load_scene(info_path, OPTIONS)
    paths = np.array([path.replace(".h5", ".png.geometric.bin") for path in scene.depth_paths])
    dataset = PairDataset(root, [replace(scene, depth_paths=paths)], OPTIONS)

    def found(depth):
        for path, value in zip(paths, (5, 5, depth), strict=True):
            (root / path).write_bytes(b"176&144&1&" + np.full((144, 176), value, "<f4").tobytes())
        return isinstance(dataset[DRAW], TrainingPair)

    assert found(5.0 / 0.991)
    assert not found(5.0 / 0.989)


def rewritten(root, change, **options):
    """Write photograph 0 of the scene again, as ``change`` makes it of its picture; its pixels of before."""
    path = root / "photographs" / "0000_0.png"
    with Image.open(path) as picture:
        picture.load()
    change(picture).save(path, **options)
    return np.asarray(picture)


def test_stored_orientation_is_left_alone(root, dataset):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter
    photograph = rewritten(root, Image.Image.copy, exif=exif)
    np.testing.assert_array_equal(dataset[DRAW].crops[0], photograph[24:120, 52:148])


def test_grey_of_16_bits_is_scaled_as_extraction_does(root, dataset):
    def deep(picture):
        return Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)

    photograph = np.asarray(Image.fromarray(rewritten(root, deep)).convert("L"))
    np.testing.assert_array_equal(dataset[DRAW].crops[0], np.repeat(photograph[24:120, 52:148, None], 3, axis=2))


def test_a_batch_holds_first_photographs_before_second_ones(dataset):
    pairs = [dataset[DRAW], dataset[DRAW._replace(image2=1, xy2=(94.0, 72.0))]]
    batch = collate([pairs[0], SkippedPair("a - b", "some reason"), pairs[1]])
    assert batch.names == [pair.name for pair in pairs]
    assert batch.crops.dtype == torch.uint8
    expected = np.stack([pairs[0].crops[0], pairs[1].crops[0], pairs[0].crops[1], pairs[1].crops[1]])
    np.testing.assert_array_equal(batch.crops.numpy(), expected)
    for cells, positions, pair in zip(batch.cells, batch.positions, pairs, strict=True):
        np.testing.assert_array_equal(cells[0], pair.correspondences.cells1)
        np.testing.assert_array_equal(cells[1], pair.correspondences.cells2)
        np.testing.assert_array_equal(positions, [pair.correspondences.in_crop1, pair.correspondences.in_crop2])
    assert [pair.name for pair in batch.skipped] == ["a - b"]


def test_an_empty_batch_is_a_batch():
    batch = collate([])
    assert (batch.names, batch.cells, len(batch.crops)) == ([], [], 0)
