import numpy as np
import pytest
import torch
from support.helpers import random_weights, textured_picture
from torch.nn import functional as F

from d2sfm.coordinates import coarse_from_fine_grid
from d2sfm.features.detection import detect, localise
from d2sfm.features.pyramid import Level, LevelPictures, level_sizes, table_of
from d2sfm.network.input import normalise_batch
from d2sfm.network.sampling import inside, resample, sample
from d2sfm.network.trunk import Trunk
from d2sfm.options import Convention, Preprocessing

pytestmark = pytest.mark.usefixtures("narrow_network")

CPU = torch.device("cpu")
SIZES = [(64, 80), (61, 83), (97, 46)]
SCALES = [(1.0,), (0.5, 1.0), (0.5, 1.0, 1.7)]


@pytest.fixture(scope="module")
def trunk():
    return Trunk(random_weights())


def in_strips(trunk, pictures, scales, convention, strip_px, descriptor_dtype=torch.float32):
    """Of each picture: cells, steps, responses and descriptors of all levels."""
    pyramid = []
    for _, size in level_sizes(pictures[0].shape[1::-1], scales):
        level = LevelPictures(pictures, size, Preprocessing.CAFFE, CPU)
        coarser = pyramid[-1] if pyramid else None
        settings = {"convention": convention, "strip_px": strip_px, "descriptor_dtype": descriptor_dtype}
        pyramid.append(Level(level, trunk, coarser, **settings))
    for level in reversed(pyramid):
        level.finish()
    of_pictures = []
    for picture in range(len(pictures)):
        tables = [table_of(level.keypoints[picture]) for level in pyramid]
        descriptors = [strip.descriptors for level in pyramid for strip in level.keypoints[picture]]
        of_pictures.append((*(np.concatenate(column) for column in zip(*tables, strict=True)), torch.cat(descriptors)))
    return of_pictures


def whole(trunk, picture, scales, convention):
    """The plain twin: level after level, each with its whole map."""
    picture = normalise_batch(torch.from_numpy(picture)[None], Preprocessing.CAFFE)
    columns, previous = ([], [], [], []), None
    for _, size in level_sizes((picture.shape[3], picture.shape[2]), scales):
        features = trunk(F.interpolate(picture, size=size[::-1], mode="bilinear", align_corners=True))[0]
        free = torch.ones(features.shape[1:], dtype=torch.bool)
        if previous is not None:
            coarse, coarse_size, taken = previous
            positions = []
            for axis, count in enumerate(features.shape[1:]):
                fine = torch.arange(count, dtype=torch.float64)
                if convention is Convention.REFERENCE:
                    positions.append(fine * ((coarse.shape[axis + 1] - 1) / (count - 1)))
                else:
                    positions.append(coarse_from_fine_grid(fine, size[1 - axis], coarse_size[1 - axis]))
            features = features + resample(coarse, *positions)
            free = ~F.interpolate(taken[None, None].float(), size=features.shape[1:])[0, 0].bool()
        found = detect(features, free)
        taken = ~free
        taken[found.cells[:, 0], found.cells[:, 1]] = True
        previous = features, size, taken
        steps, stable = localise(features, found)
        keep = stable & inside(found.cells + steps, *features.shape[1:])
        descriptors = F.normalize(sample(features, (found.cells + steps)[keep]), dim=1)
        for column, values in zip(columns, (found.cells, steps, found.responses), strict=False):
            column.append(values[keep].double().numpy())
        columns[3].append(descriptors)
    return (*(np.concatenate(column) for column in columns[:3]), torch.cat(columns[3]))


def assert_same(found, expected):
    """The same cells in the same order, and all else equal to rounding."""
    assert np.array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], atol=1e-3)
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-4)
    torch.testing.assert_close(found[3], expected[3], atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scales", SCALES)
@pytest.mark.parametrize("convention", list(Convention))
@pytest.mark.parametrize(
    "strip_px", [pytest.param(8, marks=pytest.mark.slow), 20, pytest.param(1000, marks=pytest.mark.slow)]
)
def test_strips_give_the_keypoints_of_the_whole_picture(trunk, size, scales, convention, strip_px):
    picture = textured_picture(7, size)
    [found] = in_strips(trunk, [picture], scales, convention, strip_px)
    expected = whole(trunk, picture, scales, convention)
    assert len(expected[0]) > 3
    assert_same(found, expected)


def test_pictures_of_one_size_together_give_what_each_gives_alone(trunk):
    pictures = [textured_picture(seed, (61, 83)) for seed in range(3)]
    together = in_strips(trunk, pictures, (0.5, 1.0), Convention.COLMAP, 16)
    for picture, found in zip(pictures, together, strict=True):
        [alone] = in_strips(trunk, [picture], (0.5, 1.0), Convention.COLMAP, 16)
        assert_same(found, alone)


def test_descriptors_are_kept_in_the_type_that_was_asked_for(trunk):
    picture = textured_picture(7, (64, 80))
    [half] = in_strips(trunk, [picture], (1.0,), Convention.COLMAP, 16, torch.float16)
    [full] = in_strips(trunk, [picture], (1.0,), Convention.COLMAP, 16)
    assert torch.equal(half[3], full[3].half())


@pytest.mark.slow
def test_a_level_holds_few_rows(trunk):
    picture = textured_picture(7, (40, 800))
    pictures = LevelPictures([picture], (40, 800), Preprocessing.CAFFE, CPU)
    level = Level(pictures, trunk, None, convention=Convention.COLMAP, strip_px=16, descriptor_dtype=torch.float32)
    held = []
    while level._detected < level.shape[0]:
        level._advance()
        held.append(0 if level._features is None else level._features.shape[2])
    assert max(held) <= 16 // 4 + 14  # the last strip also brings what the padding below decides


@pytest.mark.parametrize("size", [(31, 45), (64, 80), (128, 161)])
def test_rows_of_a_level_are_those_of_the_resized_picture(size):
    picture = textured_picture(3, (64, 80))
    level = LevelPictures([picture], size, Preprocessing.CAFFE, CPU)
    expected = F.interpolate(
        normalise_batch(torch.from_numpy(picture)[None], Preprocessing.CAFFE),
        size=size[::-1],
        mode="bilinear",
        align_corners=True,
    )
    rows = torch.cat([level.rows(begin, min(begin + 7, size[1])) for begin in range(0, size[1], 7)], dim=2)
    torch.testing.assert_close(rows, expected, atol=2e-3, rtol=0)  # of values to 255; torch's positions are float32


def test_level_sizes_are_rounded_down_exactly():
    assert level_sizes((100, 50), (0.29,)) == [(0.29, (29, 14))]
