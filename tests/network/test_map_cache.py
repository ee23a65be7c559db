"""Feature maps in a folder come back bit for bit, for what they were made of and nothing else."""

import os

import numpy as np
import pytest
import torch
from support.helpers import random_weights

from d2sfm.features.extractor import Extractor
from d2sfm.network.early_maps import COARSE, FINE, FeatureMaps, feature_maps
from d2sfm.network.map_cache import SUFFIX, MapCache
from d2sfm.network.trunk import CHANNELS
from d2sfm.options import ExtractionOptions, Preprocessing

SIZE = (22, 17)
FLOAT32, BFLOAT16 = torch.float32, torch.bfloat16


@pytest.fixture(scope="module")
def weights():
    return random_weights()


@pytest.fixture
def make_cache(tmp_path, weights):
    def make(limit_bytes=1e9, weights=weights, precision=FLOAT32, preprocessing=Preprocessing.CAFFE):
        return MapCache(tmp_path / "cache", limit_bytes, weights, precision, preprocessing)

    return make


@pytest.fixture
def photograph(tmp_path):
    return photographs(tmp_path, 1)[0]


def photographs(folder, count):
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for path in paths:
        path.write_bytes(b"a picture")
    return paths


def some_maps(seed=0, size=SIZE):
    random, (width, height) = torch.Generator().manual_seed(seed), size
    return FeatureMaps(
        torch.rand(height // 2, width // 2, CHANNELS[FINE], generator=random).half(),
        torch.rand(height // 4, width // 4, CHANNELS[COARSE], generator=random).half(),
    )


def same(found, expected):
    return torch.equal(found.fine, expected.fine) and torch.equal(found.coarse, expected.coarse)


def test_maps_come_back_bit_for_bit_also_to_another_run(make_cache, photograph):
    cache, maps = make_cache(), some_maps()
    assert cache.get(photograph, SIZE) is None
    cache.put(photograph, SIZE, maps)
    for reader in (cache, make_cache()):
        found = reader.get(photograph, SIZE)
        assert same(found, maps)
        assert found.fine.dtype == found.coarse.dtype == torch.float16


def test_changing_what_was_read_changes_no_file(make_cache, photograph):
    cache, maps = make_cache(), some_maps()
    cache.put(photograph, SIZE, maps)
    cache.get(photograph, SIZE).fine.zero_()
    assert same(cache.get(photograph, SIZE), maps)


def test_files_are_numpys(make_cache, photograph, tmp_path):
    maps = some_maps()
    make_cache().put(photograph, SIZE, maps)
    [path] = (tmp_path / "cache").iterdir()
    assert path.name.endswith(SUFFIX)
    assert np.array_equal(np.load(path), np.concatenate([maps.fine.flatten(), maps.coarse.flatten()]))


def test_maps_of_other_photographs_sizes_weights_and_preprocessing_are_not_found(make_cache, weights, tmp_path):
    one, other = photographs(tmp_path, 2)
    make_cache().put(one, SIZE, some_maps())
    assert make_cache().get(other, SIZE) is None
    assert make_cache().get(one, (24, 17)) is None
    assert make_cache(preprocessing=Preprocessing.TORCH).get(one, SIZE) is None
    changed = weights | {"conv3_3.bias": weights["conv3_3.bias"] + 1}
    assert make_cache(weights=changed).get(one, SIZE) is None


def test_later_layers_do_not_matter(make_cache, weights, photograph):
    """Training D2-Net changes the last one only."""
    make_cache().put(photograph, SIZE, some_maps())
    trained = weights | {"conv4_3.weight": weights["conv4_3.weight"] + 1}
    assert same(make_cache(weights=trained).get(photograph, SIZE), some_maps())


@pytest.mark.parametrize("change", ["content", "time"])
def test_a_changed_photograph_is_another_one(make_cache, photograph, change):
    cache = make_cache()
    cache.put(photograph, SIZE, some_maps())
    if change == "content":
        photograph.write_bytes(b"a larger picture")
    else:
        os.utime(photograph, (1, 1))
    assert cache.get(photograph, SIZE) is None


def test_float32_serves_for_any_precision_and_no_other_does(make_cache, tmp_path):
    one, other = photographs(tmp_path, 2)
    make_cache(precision=FLOAT32).put(one, SIZE, some_maps(1))
    assert same(make_cache(precision=BFLOAT16).get(one, SIZE), some_maps(1))
    make_cache(precision=BFLOAT16).put(other, SIZE, some_maps(2))
    assert same(make_cache(precision=BFLOAT16).get(other, SIZE), some_maps(2))
    assert make_cache(precision=FLOAT32).get(other, SIZE) is None


def test_the_folder_stays_within_the_limit(make_cache, tmp_path):
    room, paths = 2.5 * some_maps().nbytes, photographs(tmp_path, 4)
    cache = make_cache(room)
    for path in paths[:3]:
        cache.put(path, SIZE, some_maps())
    assert [cache.get(path, SIZE) is not None for path in paths] == [True, True, False, False]
    later = make_cache(room)  # which counts the files that are there
    later.put(paths[3], SIZE, some_maps())
    assert later.get(paths[3], SIZE) is None
    assert sum(path.stat().st_size for path in (tmp_path / "cache").iterdir()) <= room
    make_cache(2 * room).put(paths[3], SIZE, some_maps())
    assert cache.get(paths[3], SIZE) is not None


def test_a_folder_that_is_full_is_named_once(make_cache, tmp_path, caplog):
    cache = make_cache(1.5 * some_maps().nbytes)
    for path in photographs(tmp_path, 4):
        cache.put(path, SIZE, some_maps())
    [record] = caplog.records
    assert "cache is full, at its limit" in record.getMessage()


def files(folder):
    return {path.name for path in (folder / "cache").iterdir()}


def test_maps_that_nobody_asks_for_any_more_make_room(make_cache, weights, tmp_path):
    """Of other weights, sizes and lower precision, and of a photograph before it was changed."""
    one, other = photographs(tmp_path, 2)
    cache = make_cache(2.5 * some_maps().nbytes, precision=BFLOAT16)
    cache.put(other, SIZE, some_maps(1))
    kept = files(tmp_path)
    for change in range(5):
        size = SIZE if change < 1 else (20, 16)
        given = weights if change < 2 else weights | {"conv3_3.bias": weights["conv3_3.bias"] + 1}
        if change == 3:
            one.write_bytes(b"another picture")
        cache = make_cache(2.5 * some_maps().nbytes, given, BFLOAT16 if change < 4 else FLOAT32)
        cache.put(one, size, some_maps(2, size))
        assert same(cache.get(one, size), some_maps(2, size))
        assert len(files(tmp_path)) == 2
        assert kept < files(tmp_path)
    assert same(make_cache(precision=BFLOAT16).get(other, SIZE), some_maps(1))


def test_maps_of_higher_precision_stay(make_cache, photograph):
    make_cache(precision=FLOAT32).put(photograph, SIZE, some_maps(1))
    make_cache(precision=BFLOAT16).put(photograph, SIZE, some_maps(2))
    assert same(make_cache(precision=FLOAT32).get(photograph, SIZE), some_maps(1))


def test_a_write_that_fails_ends_nothing_leaves_no_file_and_is_told_once(make_cache, tmp_path, monkeypatch, caplog):
    cache, paths = make_cache(), photographs(tmp_path, 2)

    def fail(*arguments):
        raise OSError("the disk is full")

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", fail)
    for path in paths:
        cache.put(path, SIZE, some_maps())
        assert cache.get(path, SIZE) is None
    assert files(tmp_path) == set()
    [record] = caplog.records
    assert "cache can't be written to (the disk is full)" in record.getMessage()


@pytest.mark.parametrize("length", [0, 5, 60, 200, -2])
def test_a_file_that_was_cut_off_is_written_again(make_cache, photograph, tmp_path, caplog, length):
    make_cache().put(photograph, SIZE, some_maps())
    [name] = files(tmp_path)
    path = tmp_path / "cache" / name
    whole = path.read_bytes()
    path.write_bytes(whole[:length])
    cache = make_cache()
    assert cache.get(photograph, SIZE) is None
    [record] = caplog.records
    assert f"{name} is damaged" in record.getMessage()
    assert "0.jpg are computed again" in record.getMessage()
    cache.put(photograph, SIZE, some_maps())
    assert path.read_bytes() == whole


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, (45, 62, 3), np.uint8)


def test_extraction_gives_the_maps_that_refinement_computes(picture):
    extractor, given = Extractor(ExtractionOptions(device="cpu")), []
    expected = feature_maps(picture, extractor.trunk, Preprocessing.CAFFE, extractor.device)
    prepared = extractor.prepare(picture)
    extractor.extract_batch([prepared, prepared], on_maps=lambda *of_one: given.append(of_one))
    assert [each[0] is prepared for each in given] == [True, True]
    for _, found in given:
        assert torch.equal(found.fine, expected.fine)
        torch.testing.assert_close(found.coarse, expected.coarse)


def test_without_a_level_of_the_inputs_size_there_are_no_maps(picture):
    extractor, given = Extractor(ExtractionOptions(device="cpu", scales=(0.5,))), []
    extractor.extract_batch([extractor.prepare(picture)], on_maps=lambda *of_one: given.append(of_one))
    assert given == []
