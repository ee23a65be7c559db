from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.examples import examples

from d2sfm.network.input import input_size, normalise_batch, resize
from d2sfm.options import Preprocessing

edges = st.integers(1, 60_000)
limits = st.integers(0, 5_000)


def exact_input_size(image_size, max_edge, max_sum_edges):
    width, height = image_size
    scale = Fraction(1)
    if max_edge > 0:
        scale = min(scale, Fraction(max_edge, max(width, height)))
    if max_sum_edges > 0:
        scale = min(scale, Fraction(max_sum_edges, width + height))
    return max(1, floor(width * scale)), max(1, floor(height * scale))


def random_picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(max_examples=examples(300))
@given(edges, edges, limits, limits)
@example(2156, 1000, 1600, 2800)  # in floats 1600 / 2156 * 2156 is below 1600
def test_input_size_is_exact(width, height, max_edge, max_sum_edges):
    assert input_size((width, height), max_edge, max_sum_edges) == exact_input_size(
        (width, height), max_edge, max_sum_edges
    )


@settings(max_examples=examples(200))
@given(edges, edges, st.integers(1, 5_000), st.integers(2, 10_000))
def test_input_size_keeps_the_limits_and_never_enlarges(width, height, max_edge, max_sum_edges):
    new_width, new_height = input_size((width, height), max_edge, max_sum_edges)
    assert 1 <= new_width <= min(width, max_edge)
    assert 1 <= new_height <= min(height, max_edge)
    assert new_width + new_height <= max_sum_edges or min(new_width, new_height) == 1


@pytest.mark.parametrize(
    ("image_size", "expected"),
    [
        ((800, 587), (800, 587)),
        ((1600, 1200), (1600, 1200)),
        ((3072, 2048), (1600, 1066)),  # the long edge decides
        ((3000, 3000), (1400, 1400)),  # the sum decides
        ((100_000, 10), (1600, 1)),
    ],
)
def test_input_size_at_the_default_limits(image_size, expected):
    assert input_size(image_size, 1600, 2800) == expected


def test_a_long_edge_that_is_cut_gets_the_limit_itself():
    for edge in range(1601, 5000):
        assert input_size((edge, 100), 1600, 0)[0] == 1600


def test_no_limit_keeps_the_size():
    assert input_size((8660, 5774), 0, 0) == (8660, 5774)


@pytest.mark.parametrize("arguments", [((0, 5), 10, 10), ((5, -1), 10, 10), ((5, 5), -1, 10), ((5, 5), 10, -1)])
def test_input_size_refuses_bad_sizes(arguments):
    with pytest.raises(ValueError, match="expected"):
        input_size(*arguments)


@pytest.mark.parametrize("size", [(31, 20), (64, 11), (10, 45), (1, 1)])
def test_resize_is_pillows(size):
    image = random_picture(45, 64)
    resized = resize(image, size)
    assert resized.dtype == np.uint8
    assert np.array_equal(resized, np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)))


def test_resize_averages_what_it_leaves_out():
    stripes = np.zeros((40, 400, 3), np.uint8)
    stripes[:, ::2] = 200
    resized = resize(stripes, (40, 4)).astype(int)
    assert np.abs(resized - 100).max() <= 10  # plain bilinear would give 0 or 200


def test_resize_to_the_same_size_is_the_same_picture():
    image = random_picture(20, 31)
    assert resize(image, (31, 20)) is image


def test_resize_takes_any_memory_layout():
    image = random_picture(64, 45).transpose(1, 0, 2)[::-1]
    assert np.array_equal(resize(image, (20, 10)), resize(image.copy(), (20, 10)))


def normalised(image, preprocessing):
    """One picture as a batch, [1, 3, H, W]."""
    return normalise_batch(torch.from_numpy(image)[None], preprocessing)


def test_caffe_normalisation():
    image = random_picture(7, 9)
    expected = image[:, :, [2, 1, 0]].astype(np.float64) - [103.939, 116.779, 123.68]
    tensor = normalised(image, Preprocessing.CAFFE)
    assert tensor.shape == (1, 3, 7, 9)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    np.testing.assert_allclose(tensor[0].permute(1, 2, 0).numpy(), expected, rtol=0, atol=2e-5)


def test_torch_normalisation():
    image = random_picture(7, 9)
    expected = (image / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    tensor = normalised(image, Preprocessing.TORCH)
    assert tensor.shape == (1, 3, 7, 9)
    assert tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor[0].permute(1, 2, 0).numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("preprocessing", list(Preprocessing))
def test_a_batch_is_normalised_as_its_pictures_are(preprocessing):
    pictures = np.stack([random_picture(7, 9, seed) for seed in range(3)])
    batch = normalise_batch(torch.from_numpy(pictures), preprocessing)
    assert batch.shape == (3, 3, 7, 9)
    assert batch.dtype == torch.float32
    assert torch.equal(batch, torch.cat([normalised(picture, preprocessing) for picture in pictures]))


@pytest.mark.parametrize("preprocessing", list(Preprocessing))
def test_normalise_batch_leaves_its_argument_alone(preprocessing):
    """Also where it is stored plane by plane, so that reordering the axes copies nothing."""
    planes = torch.from_numpy(random_picture(5, 6)).permute(2, 0, 1)[None].contiguous()
    pictures = planes.permute(0, 2, 3, 1)
    before = pictures.clone()
    batch = normalise_batch(pictures, preprocessing)
    assert torch.equal(pictures, before)
    assert torch.equal(batch, normalise_batch(before, preprocessing))


@pytest.mark.parametrize("preprocessing", list(Preprocessing))
def test_an_empty_batch_keeps_its_shape(preprocessing):
    assert normalise_batch(torch.zeros(0, 5, 6, 3, dtype=torch.uint8), preprocessing).shape == (0, 3, 5, 6)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 5, 3), np.float32),
        np.zeros((4, 5), np.uint8),
        np.zeros((4, 5, 4), np.uint8),
        np.zeros((3, 4, 5), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(image):
    with pytest.raises(ValueError, match="expected uint8"):
        resize(image, (2, 2))


def test_unknown_preprocessing_is_refused():
    with pytest.raises(ValueError, match="tensorflow"):
        normalised(random_picture(4, 5), "tensorflow")
