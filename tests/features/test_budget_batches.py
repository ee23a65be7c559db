"""Batches, and memory that runs out change no features: of the narrow network, which has all layers.

On a CPU: a GPU chooses another way to multiply for other shapes, and rounds otherwise.
"""

import pytest
import torch
from support.feature_records import assert_equal_to_rounding
from support.helpers import textured_picture

from d2sfm.features.extractor import Extractor
from d2sfm.network.strips import TrunkStrips
from d2sfm.options import ExtractionOptions

pytestmark = pytest.mark.usefixtures("narrow_network")


def test_a_batch_gives_what_each_picture_gives_alone():
    extractor = Extractor(ExtractionOptions(device="cpu"))
    pictures = [textured_picture(seed, (160, 120)) for seed in range(3)]
    together = extractor.extract_batch([extractor.prepare(picture) for picture in pictures])
    for picture, found in zip(pictures, together, strict=True):
        assert_equal_to_rounding(found, extractor.extract(picture))


@pytest.mark.slow
def test_where_gpu_memory_runs_out_smaller_batches_and_strips_are_tried(monkeypatch, caplog):
    """Memory that holds 20 rows of one picture, and no more."""
    extractor = Extractor(ExtractionOptions(device="cpu"))
    pictures = [extractor.prepare(textured_picture(seed, (160, 120))) for seed in range(3)]
    expected = extractor.extract_batch(pictures)
    push = TrunkStrips.push

    def with_little_memory(self, rows, *, last):
        if rows.shape[0] * rows.shape[2] > 20:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return push(self, rows, last=last)

    monkeypatch.setattr(TrunkStrips, "push", with_little_memory)
    for found, features in zip(extractor.extract_batch(pictures), expected, strict=True):
        assert_equal_to_rounding(found, features)
    assert "with 3 pictures at a time: continuing with 1" in caplog.text
    assert "with 64 rows at a time: continuing with 32" in caplog.text
    assert "with 32 rows at a time: continuing with 16" in caplog.text
    caplog.clear()
    extractor.extract_batch(pictures)
    assert not caplog.text  # what was learned is kept
