"""Strips change no features."""

from itertools import product

import pytest
import torch
from support.all_tests import ALL_TESTS
from support.feature_records import assert_equal_to_rounding
from support.helpers import textured_picture

from d2sfm.features.budget import MAX_BATCH, Budget
from d2sfm.features.extractor import Extractor
from d2sfm.features.pyramid import level_sizes
from d2sfm.network.strips import TrunkStrips, memory_bytes
from d2sfm.options import ExtractionOptions


@pytest.fixture(scope="module")
def textured():
    return textured_picture(5, (120, 88))


TILES = [{"tile_size": 8}, {"tile_size": 50}, {"memory_limit": "of 20 rows"}]
SIZES = [(120, 88), (121, 91), (67, 150)]
THREE_SCALES = (0.5, 1.0, 2.0)
# The least, and each of them once; a third of the other combinations, or all with D2SFM_ALL_TESTS.
QUICK = [(*each, (1.0,)) for each in zip(TILES, SIZES, strict=True)]
SLOW = [each for each in product(TILES, SIZES, [(1.0,), THREE_SCALES]) if each not in QUICK]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "size", "scales"),
    [QUICK[0], *(pytest.param(*case, marks=pytest.mark.slow) for case in QUICK[1:] + SLOW[:: 1 if ALL_TESTS else 3])],
)
def test_a_tiled_run_gives_the_untiled_runs_features(limit, size, scales):
    if "memory_limit" in limit:
        limit = {"memory_limit": memory_bytes([level for _, level in level_sizes(size, scales)], 20, 4) / 1e9}
    picture = textured_picture(5, size)
    untiled = Extractor(ExtractionOptions(scales=scales, tile_size=1000)).extract(picture)
    tiled = Extractor(ExtractionOptions(scales=scales, **limit))
    budget = Budget(tiled.options, tiled.device, 4)
    assert budget.strip_px([level for _, level in level_sizes(size, scales)], 1) < 64
    assert_equal_to_rounding(tiled.extract(picture), untiled)


def test_a_memory_limit_that_is_too_low_is_named(textured):
    extractor = Extractor(ExtractionOptions(memory_limit=0.0001))
    with pytest.raises(ValueError, match=r"of 120 px width need a memory limit of 0\.00\d+ GB or more, found 0.0001"):
        extractor.extract(textured)
    with pytest.raises(ValueError, match="of 1600 px width"):
        extractor.check_size((3200, 2400))


def test_where_no_strip_fits_the_error_stays(monkeypatch, textured):
    def without_memory(self, rows, *, last):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(TrunkStrips, "push", without_memory)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        Extractor().extract(textured)


def test_pictures_that_go_together_fit_in_the_memory():
    sizes, gpu = [(120, 88)], torch.device("cuda")
    of_one = memory_bytes(sizes, 88, 4) / 1e9
    assert Budget(ExtractionOptions(), torch.device("cpu"), 4).batch_size(sizes) == 1
    for limit_gb, expected in ((0.5 * of_one, 1), (3.5 * of_one, 3), (1000 * of_one, MAX_BATCH)):
        assert Budget(ExtractionOptions(memory_limit=limit_gb), gpu, 4).batch_size(sizes) == expected
