"""Keypoints of a picture with a mask or a border are those of the whole picture that are in."""

import numpy as np
import pytest
from PIL import Image

from d2sfm.features.extractor import Extractor
from d2sfm.options import ExtractionOptions

pytestmark = pytest.mark.usefixtures("narrow_network")


@pytest.fixture(scope="module")
def mask():
    """A checkerboard of squares of 9 px over ``textured``."""
    rows, columns = np.indices((88, 120)) // 9
    return (rows + columns) % 2 == 0


@pytest.mark.parametrize(
    ("border", "is_masked", "scales"),
    [
        (0, True, (1.0,)),
        (13, False, (1.0,)),
        (13, True, (1.0,)),
        (13, True, (0.5, 1.0)),
        *(
            pytest.param(*case, (0.5, 1.0, 2.0), marks=pytest.mark.slow)
            for case in ((0, True), (13, False), (13, True))
        ),
    ],
)
def test_of_all_keypoints_those_on_pixels_that_are_in_are_left(textured, mask, border, is_masked, scales):
    plain = Extractor(ExtractionOptions(scales=scales, max_edge=100)).extract(textured)
    column, row = np.floor(plain.keypoints[:, :2]).astype(int).T
    expected = (column >= border) & (column < 120 - border) & (row >= border) & (row < 88 - border)
    expected &= mask[row, column] | (not is_masked)
    assert 5 < expected.sum() < len(plain)
    options = ExtractionOptions(scales=scales, max_edge=100, border=border)
    found = Extractor(options).extract(textured, mask=mask if is_masked else None)
    assert np.array_equal(found.keypoints, plain.keypoints[expected])
    assert np.array_equal(found.descriptors, plain.descriptors[expected])
    options = ExtractionOptions(scales=scales, max_edge=100, border=border, max_keypoints=5)
    best = Extractor(options).extract(textured, mask=mask if is_masked else None)
    assert np.array_equal(best.keypoints, found.keypoints[:5])  # counted after masking


def test_each_picture_of_a_batch_has_its_own_mask(extractor, textured, mask):
    masks = [mask, None, ~mask, np.zeros_like(mask)]
    found = extractor.extract_batch([extractor.prepare(textured, each) for each in masks])
    for each, features in zip(masks, found, strict=True):
        alone = extractor.extract(textured, mask=each)
        np.testing.assert_allclose(features.keypoints, alone.keypoints, atol=1e-4)
    assert len(found[0]) + len(found[2]) == len(found[1])
    assert len(found[3]) == 0


@pytest.mark.parametrize("wrong", [np.ones((88, 119), bool), np.ones((88, 120), np.uint8)])
def test_masks_of_another_shape_or_type_are_refused(extractor, textured, wrong):
    with pytest.raises(ValueError, match=r"mask is .*, expected bool \(88, 120\)"):
        extractor.prepare(textured, wrong)


def test_of_a_file_nothing_transparent_enters(extractor, textured, mask, tmp_path):
    alpha = np.full((88, 120), 255, np.uint8)
    alpha[:, :60] = 0
    picture = Image.fromarray(textured)
    picture.putalpha(Image.fromarray(alpha))
    picture.save(tmp_path / "a.png")
    found = extractor.extract(tmp_path / "a.png")
    assert 0 < len(found) < len(extractor.extract(textured))
    assert np.array_equal(found.keypoints, extractor.extract(textured, mask=alpha > 0).keypoints)
    both = extractor.extract(tmp_path / "a.png", mask=mask)
    assert np.array_equal(both.keypoints, extractor.extract(textured, mask=mask & (alpha > 0)).keypoints)
