from functools import partial

import cv2
import numpy as np
import pytest

from d2sfm.demo import textures

SHAPE, SCALE = (96, 160), 64.0
COLOURED = (textures.plaster, textures.bricks, textures.ashlar, textures.roof_tiles, textures.planks, textures.awning)
MATERIALS = [partial(material, colour=(180, 120, 90)) for material in COLOURED]
MATERIALS += [textures.paving, textures.meadow, textures.leaves]


@pytest.mark.parametrize("material", MATERIALS)
def test_materials_repeat_by_seed_and_have_structure(material):
    first, same, other = (textures.finish(material(np.random.default_rng(seed), SHAPE, SCALE)) for seed in (0, 0, 1))
    assert first.shape == (*SHAPE, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, same)
    assert (first != other).mean() > 0.5
    assert first.mean(axis=2).std() > 5


@pytest.mark.parametrize("material", MATERIALS)
def test_materials_of_any_size(material):
    for shape in ((2, 2), (3, 200), (200, 2)):
        image = material(np.random.default_rng(0), shape, SCALE)
        assert image.shape == (*shape, 3)
        assert np.isfinite(image).all()


@pytest.mark.parametrize("material", [MATERIALS[1], MATERIALS[2], MATERIALS[3], textures.paving])
def test_courses_do_not_repeat(material):
    """No shifted copy of a patch is like it: the best match elsewhere is well below a perfect correlation."""
    image = textures.finish(material(np.random.default_rng(0), (384, 384), SCALE / 2))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    patch = grey[150:214, 150:214]
    score = cv2.matchTemplate(grey, patch, cv2.TM_CCOEFF_NORMED)
    assert score[150, 150] == pytest.approx(1, abs=1e-3)
    score[142:159, 142:159] = -1
    assert score.max() < 0.85


def test_fractal_noise_is_normalised_and_of_the_asked_sizes():
    smooth = textures.fractal(np.random.default_rng(0), (200, 300), coarsest=64, finest=16)
    rough = textures.fractal(np.random.default_rng(0), (200, 300), coarsest=4)
    for noise in (smooth, rough):
        assert noise.shape == (200, 300)
        assert noise.dtype == np.float32
        assert noise.mean() == pytest.approx(0, abs=1e-4)
        assert noise.std() == pytest.approx(1, abs=1e-3)
    step_smooth, step_rough = (np.abs(np.diff(noise, axis=1)).mean() for noise in (smooth, rough))
    assert step_smooth < 0.2 * step_rough


def test_patches_cover_the_asked_share():
    share = textures.patches(np.random.default_rng(0), (300, 300), 40, 0.2)
    assert share.min() == 0
    assert share.max() == 1
    assert share.mean() == pytest.approx(0.2, abs=0.03)


def test_brightened_and_blended_by_hand():
    image = np.full((1, 2, 3), 100, np.float32)
    np.testing.assert_allclose(textures.brightened(image, np.array([[0.1, -0.5]]))[0, :, 0], [110, 50], rtol=1e-6)
    mixed = textures.blended(image, (200, 0, 100), np.array([[0, 0.5]]))
    np.testing.assert_allclose(mixed[0], [[100, 100, 100], [150, 50, 100]])
