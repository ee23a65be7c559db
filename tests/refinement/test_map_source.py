"""Feature maps of the images of a collection: those of the photographs at the network's size, kept within a limit."""

import gc
import weakref
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from support.helpers import textured_picture

from d2sfm.network.early_maps import COARSE, FINE, feature_maps
from d2sfm.network.input import resize
from d2sfm.network.map_cache import MapCache
from d2sfm.network.trunk import CHANNELS, Trunk
from d2sfm.network.weights.load import load_weights
from d2sfm.options import MapCacheOptions, Precision, Preprocessing, RefinementOptions, map_cache
from d2sfm.photographs.reading import load_photograph
from d2sfm.refinement import map_source as map_source_module
from d2sfm.refinement.collection import Collection, ImageKeypoints
from d2sfm.refinement.map_source import MapSource
from d2sfm.refinement.tracks import Edges

pytestmark = pytest.mark.usefixtures("one_thread", "narrow_network")
IMAGE_SIZE, INPUT_SIZE = (80, 64), (60, 48)


@pytest.fixture
def map_bytes(narrow_network):
    """Of the maps of one image."""
    return 2 * (24 * 30 * CHANNELS[FINE] + 12 * 15 * CHANNELS[COARSE])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for number in range(3):
        cv2.imwrite(str(tmp_path / "images" / name_of(number)), textured_picture(number, IMAGE_SIZE))
    return tmp_path / "images"


def name_of(number):
    return f"sub/{number}.png"


def a_collection():
    images = [
        ImageKeypoints(
            image_id=number + 1,
            name=name_of(number),
            image_size=IMAGE_SIZE,
            input_size=INPUT_SIZE,
            xy=np.zeros((0, 2)),
            scale=np.zeros(0),
        )
        for number in range(3)
    ]
    nothing = np.zeros(0, np.int64)
    return Collection(images=images, edges=Edges(nothing, nothing, np.zeros(0)), warps=np.zeros((0, 2, 2)))


def source_of(folder, cache=None, cache_limit=1.0, device="cpu"):
    options = RefinementOptions(device=device, precision=Precision.FLOAT32)
    return MapSource(a_collection(), folder, options, MapCacheOptions(cache=cache, cache_limit=cache_limit))


@pytest.fixture
def computed(monkeypatch):
    """Names of the photographs whose maps were computed, in order."""
    names, load = [], map_source_module.load_photograph
    monkeypatch.setattr(
        map_source_module, "load_photograph", lambda path, *given: names.append(path.name) or load(path, *given)
    )
    return names


@pytest.mark.parametrize("cached", [False, True])
def test_maps_are_those_of_the_resized_photographs(folder, tmp_path, cached):
    source = source_of(folder, tmp_path / "cache" if cached else None)
    trunk = Trunk(load_weights("d2_ots", Preprocessing.CAFFE))
    for number in (2, 0, 1, 0):
        pixels = resize(load_photograph(folder / name_of(number)), INPUT_SIZE)
        expected = feature_maps(pixels, trunk, Preprocessing.CAFFE, torch.device("cpu"))
        found = source(number)
        assert torch.equal(found.fine, expected.fine)
        assert torch.equal(found.coarse, expected.coarse)


@pytest.mark.parametrize("cached", [False, True])
def test_a_stretched_photograph_is_stretched_again(folder, tmp_path, cached):
    values = (29000 + textured_picture(0, IMAGE_SIZE)[..., 0] * 0.5).astype(np.uint16)
    cv2.imwrite(str(folder / name_of(0)), values)
    collection, greys = a_collection(), (29020, 29100)
    collection.images[0] = replace(collection.images[0], grey_range=greys)
    cache = MapCacheOptions(cache=tmp_path / "cache" if cached else None)
    source = MapSource(collection, folder, RefinementOptions(device="cpu", precision=Precision.FLOAT32), cache)
    pixels = resize(load_photograph(folder / name_of(0), grey_range=greys), INPUT_SIZE)
    assert pixels.std() > 30
    trunk = Trunk(load_weights("d2_ots", Preprocessing.CAFFE))
    expected = feature_maps(pixels, trunk, Preprocessing.CAFFE, torch.device("cpu"))
    assert torch.equal(source(0).fine, expected.fine)


@pytest.mark.parametrize(
    ("held", "expected"),
    [(3, ["0.png", "1.png", "2.png"]), (2, ["0.png", "1.png", "2.png", "0.png"]), (0, ["0.png", "1.png", "2.png"] * 2)],
)
def test_maps_asked_for_last_stay_within_the_limit(folder, map_bytes, computed, held, expected):
    source = source_of(folder, cache_limit=held * map_bytes / 1e9)
    asked = [0, 1, 2, 2, 0] if held == 2 else [0, 1, 2, 0, 1, 2]
    for number in asked:
        assert source(number).nbytes == map_bytes
    assert computed == expected


def test_maps_go_with_the_source(folder, computed):
    gc.disable()
    try:
        source = source_of(folder)
        source(0)
        left = weakref.ref(source)
        del source
        assert left() is None
    finally:
        gc.enable()


def test_with_a_folder_maps_are_computed_once_for_all_runs(folder, tmp_path, computed):
    for _ in range(2):
        source = source_of(folder, tmp_path / "cache")
        for number in (0, 1, 0, 2):
            source(number)
    assert computed == ["0.png", "1.png", "2.png"]


def test_with_a_folder_maps_are_not_held_in_memory_as_well(folder, tmp_path, monkeypatch):
    get, read = MapCache.get, []
    monkeypatch.setattr(MapCache, "get", lambda cache, path, *key: read.append(path.name) or get(cache, path, *key))
    source = source_of(folder, tmp_path / "cache")
    for number in (0, 1, 0, 1):
        source(number)
    assert read == ["0.png", "1.png", "0.png", "1.png"]


def test_what_the_folder_has_no_room_for_is_computed_again(folder, map_bytes, tmp_path, computed):
    source = source_of(folder, tmp_path / "cache", cache_limit=1.5 * map_bytes / 1e9)
    for number in (0, 1, 0, 1):
        source(number)
    assert computed == ["0.png", "1.png", "1.png"]


def test_the_default_limit_is_larger_for_a_folder(folder, tmp_path, computed, monkeypatch):
    monkeypatch.setattr(map_cache, "MAPS_IN_MEMORY_GB", 0)
    for cache, expected in ((None, ["0.png", "1.png"] * 2), (tmp_path / "cache", ["0.png", "1.png"])):
        computed.clear()
        source = source_of(folder, cache, cache_limit=None)
        for number in (0, 1, 0, 1):
            source(number)
        assert computed == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("cached", [False, True])
def test_a_gpu_gives_the_cpus_maps(folder, tmp_path, cached):
    of_cpu = source_of(folder)
    of_gpu = source_of(folder, tmp_path / "cache" if cached else None, device="cuda")
    for number in (0, 1, 0):
        for found, expected in zip(of_gpu(number), of_cpu(number), strict=True):
            assert found.is_cuda
            torch.testing.assert_close(found.cpu(), expected, atol=5e-3, rtol=0)


def test_a_photograph_of_another_size_is_refused(folder, tmp_path):
    source = source_of(folder)
    cv2.imwrite(str(folder / name_of(1)), textured_picture(1, (64, 80)))
    with pytest.raises(ValueError, match=r"sub/1\.png is 64 x 80 px, expected 80 x 64 px"):
        source(1)


def test_a_damaged_photograph_is_refused_by_name(folder):
    (folder / name_of(1)).write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"sub/1\.png"):
        source_of(folder)(1)
