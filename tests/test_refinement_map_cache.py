import os

import pytest
import torch

from d2sfm.extractor import Extractor
from d2sfm.options import ExtractionOptions, Preprocessing
from d2sfm.refinement.map_cache import MapCache
from d2sfm.refinement.maps import feature_maps
from d2sfm.weights import load_weights

LIMIT = 1e8


@pytest.fixture(scope="module")
def extractor():
    return Extractor(ExtractionOptions(device="cpu"))


@pytest.fixture
def photograph(tmp_path):
    """A file that stands for a photograph: the cache looks at its name, size and time only."""
    path = tmp_path / "photograph.jpg"
    path.write_bytes(b"pixels")
    return path


@pytest.fixture(scope="module")
def picture():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (45, 62, 3), generator=generator, dtype=torch.uint8).numpy()


def cache_in(folder, limit=LIMIT, precision=torch.float32, preprocessing=Preprocessing.CAFFE):
    return MapCache(folder, limit, load_weights("d2_ots", Preprocessing.CAFFE), precision, preprocessing)


@pytest.fixture
def maps(extractor, picture):
    return feature_maps(picture, extractor.trunk, Preprocessing.CAFFE, extractor.device)


def test_maps_come_back_bit_for_bit(tmp_path, photograph, maps):
    cache_in(tmp_path / "cache").put(photograph, (62, 45), maps)
    found = cache_in(tmp_path / "cache").get(photograph, (62, 45))
    assert torch.equal(found.fine, maps.fine)
    assert torch.equal(found.coarse, maps.coarse)


def test_other_sizes_photographs_and_settings_are_not_found(tmp_path, photograph, maps):
    cache = cache_in(tmp_path / "cache")
    assert cache.get(photograph, (62, 45)) is None
    cache.put(photograph, (62, 45), maps)
    assert cache.get(photograph, (61, 45)) is None
    assert cache_in(tmp_path / "cache", preprocessing=Preprocessing.TORCH).get(photograph, (62, 45)) is None
    os.utime(photograph, ns=(0, 0))
    assert cache.get(photograph, (62, 45)) is None


def test_float32_serves_for_other_precisions_but_not_they_for_it(tmp_path, photograph, maps):
    float32, bfloat16 = (cache_in(tmp_path / "cache", precision=each) for each in (torch.float32, torch.bfloat16))
    bfloat16.put(photograph, (62, 45), maps)
    assert float32.get(photograph, (62, 45)) is None
    float32.put(photograph, (62, 45), maps)
    photograph.rename(photograph.with_name("other.jpg"))
    other = photograph.with_name("other.jpg")
    float32.put(other, (62, 45), maps)
    assert bfloat16.get(other, (62, 45)) is not None


def test_the_folder_stays_within_its_limit(tmp_path, photograph, maps):
    cache = cache_in(tmp_path / "cache", limit=1.5 * maps.nbytes)
    cache.put(photograph, (62, 45), maps)
    cache.put(photograph, (62, 46), maps)
    assert cache.get(photograph, (62, 45)) is not None
    assert cache.get(photograph, (62, 46)) is None
    again = cache_in(tmp_path / "cache", limit=1.5 * maps.nbytes)  # what is there already counts
    again.put(photograph, (62, 46), maps)
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_extraction_gives_the_maps_that_refinement_computes(extractor, picture, maps):
    given = []
    prepared = extractor.prepare(picture)
    extractor.extract_batch([prepared, prepared], on_maps=lambda *of_one: given.append(of_one))
    assert [each[0] is prepared for each in given] == [True, True]
    for _, found in given:
        assert torch.equal(found.fine, maps.fine)
        torch.testing.assert_close(found.coarse, maps.coarse)


def test_without_a_level_of_the_inputs_size_there_are_no_maps(picture):
    extractor, given = Extractor(ExtractionOptions(device="cpu", scales=(0.5,))), []
    extractor.extract_batch([extractor.prepare(picture)], on_maps=lambda *of_one: given.append(of_one))
    assert given == []
