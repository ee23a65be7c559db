"""Least squares matching: exact where the truth is known, equal to a plain twin, sure of itself where it may be."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from support.grey_texture import apply, inverse, photograph

from d2sfm.refinement.grey import ACCEPTANCE, FINE, PATCH_SIDE, Observations, adjust, cut_patches
from d2sfm.refinement.grey_levels import GreyLevels
from d2sfm.refinement.least_squares import (
    LARGEST_CHANGE,
    LONGEST_STEP,
    RIDGE,
    STOP,
    STOP_OF_ALL,
    Window,
    align_patches,
    sample,
)

pytestmark = pytest.mark.usefixtures("one_thread")
SIZE = (260, 200)
AFFINE = np.array([[0.96, -0.12, 20.3], [0.10, 1.05, -14.7]])  # first photograph -> second
COUNT = 24


def places(random, margin=60):
    return random.uniform((margin, margin), np.array(SIZE) - margin, (COUNT, 2))


def adjusted(of, xy, picture, start, warp, level=0, windows=FINE):
    """What is found of patches of one photograph in another."""
    found = Observations.at(start, np.tile(warp, (len(xy), 1, 1)))
    patches = cut_patches(GreyLevels(of), xy, level)
    rows, levels = np.arange(len(xy)), np.full(len(xy), level)
    adjust(found, rows, GreyLevels(picture), level, patches, levels, windows)
    return found


def is_accepted(found, start):
    return found.accepted(start, np.ones(len(start)), ACCEPTANCE)


@pytest.mark.parametrize(("contrast", "brightness"), [(1.0, 0.0), (0.45, 90.0), (0.8, -10.0)])
def test_known_affine_maps_are_found_to_a_fiftieth_of_a_pixel(contrast, brightness):
    random = np.random.default_rng(0)
    first = photograph(SIZE)
    second = photograph(SIZE, inverse(AFFINE), contrast, brightness)
    xy = places(random)
    truth = apply(AFFINE, xy)
    start = truth + random.uniform(-0.6, 0.6, truth.shape)
    found = adjusted(first, xy, second, start, np.eye(2))  # knows nothing of the map
    errors = np.linalg.norm(found.xy - truth, axis=1)
    print(f"median {np.median(errors):.4f}, largest {errors.max():.4f} px")
    assert errors.max() < 0.02
    assert is_accepted(found, start).all()
    assert np.abs(found.warps - AFFINE[:, :2]).max() < 0.01
    assert found.correlation.min() > 0.99


def test_sigma_tells_the_size_of_errors():
    """Of noise in both photographs, from which sigma is predicted."""
    random = np.random.default_rng(1)
    pictures = [photograph(SIZE), photograph(SIZE, inverse(AFFINE))]
    noisy = [np.clip(p + random.normal(0, 8, p.shape[:2])[..., None], 0, 255).astype(np.uint8) for p in pictures]
    xy = places(random)
    truth = apply(AFFINE, xy)
    found = adjusted(noisy[0], xy, noisy[1], truth, AFFINE[:, :2])
    ratio = np.linalg.norm(found.xy - truth, axis=1) / found.sigma
    assert 0.7 < np.sqrt(np.mean(ratio**2)) < 2
    assert (found.sigma > 0.005).all()


@pytest.mark.parametrize("what", ["flat", "dark", "edge", "other", "repeated"])
def test_what_is_not_sure_is_refused(what):
    random = np.random.default_rng(2)
    xy, x = places(random), np.arange(SIZE[0])[None, :, None] - 130.0
    truth = {
        "flat": 200 + 0 * x,
        "dark": -20 + 0 * x,
        "edge": 0 * x,  # see below: it slides along it
        "other": photograph(SIZE, seed=5)[..., :1],
        # Bars of 8 px, brighter one by one: the next one looks alike, but for what is around it.
        "repeated": 100 + 50 * np.cos(2 * np.pi * x / 8) + 0.7 * x,
    }[what]
    pictures = [np.clip(truth + random.normal(0, 1, (*SIZE[::-1], 3)), 0, 255).astype(np.uint8) for _ in range(2)]
    if what == "other":
        pictures[0] = photograph(SIZE)
    if what == "edge":
        xy[:, 0] = 130
        pictures = [
            np.zeros((*SIZE[::-1], 3), np.uint8) + (100 + 80 * np.tanh(x / w)).astype(np.uint8) for w in (9, 11)
        ]
    start = xy + ((3.8, 2) if what == "repeated" else (0.3, 0.3))
    found = adjusted(pictures[0], xy, pictures[1], start, np.eye(2))
    assert np.isfinite(found.xy).all()
    assert not is_accepted(found, start).any()


def plain(square, centre, basis, patch, window):
    """One alignment, written out: the normal equations of shift, affine map, contrast and brightness."""
    side, half = window.side, (window.side - 1) / 2
    margin = (len(patch) - side) // 2
    inner = slice(margin, margin + side)
    down, right = np.gradient(patch.astype(float))
    steps = np.arange(side) - half
    v, u = (each.ravel() for each in np.meshgrid(steps, steps, indexing="ij"))
    w = np.exp(-0.5 * (u**2 + v**2) / window.sigma**2)
    w /= w.sum()

    def normalised(values):
        values = values - (w * values).sum()
        return values / np.sqrt((w * values**2).sum()), np.sqrt((w * values**2).sum())

    t, contrast = normalised(patch[inner, inner].astype(float).ravel())
    gx, gy = (each[inner, inner].ravel() / contrast for each in (right, down))
    columns = [gx, gy] + ([gx * u / half, gx * v / half, gy * u / half, gy * v / half] if window.is_affine else [])
    jacobian = np.stack(columns, axis=1)
    base = np.sqrt(w)[:, None] * np.stack([t, np.ones_like(t)], axis=1)
    weighted = np.sqrt(w)[:, None] * jacobian
    weighted -= base @ np.linalg.lstsq(base, weighted, rcond=None)[0]
    normal = weighted.T @ weighted
    normal += (RIDGE[0] * np.trace(normal) / len(normal) + RIDGE[1]) * np.eye(len(normal))
    for _ in range(window.iterations):
        x, y = centre[:, None] + basis @ np.stack([u, v])
        values, _ = normalised(map_coordinates(square.astype(float), [y, x], order=1, mode="nearest"))
        correlation = (w * values * t).sum()
        change = np.linalg.solve(normal, weighted.T @ (np.sqrt(w) * (values / correlation - t)))
        change *= LONGEST_STEP / max(np.linalg.norm(change[:2]), LONGEST_STEP)
        if window.is_affine:
            affine = np.clip(change[2:].reshape(2, 2) / half, -LARGEST_CHANGE, LARGEST_CHANGE)
            basis = basis @ np.linalg.inv(np.eye(2) + affine)
        centre = centre - basis @ change[:2]
        if np.linalg.norm(change[:2]) <= STOP and np.linalg.norm(change) <= STOP_OF_ALL:
            break
    return centre, basis, correlation


@pytest.mark.parametrize("window", [Window(21, 7, False, 3), Window(31, 10, True, 6)])
def test_many_at_once_are_what_each_is_by_itself(window):
    random = np.random.default_rng(3)
    xy = places(random)
    patches = cut_patches(GreyLevels(photograph(SIZE)), xy, 0)
    squares, centres = GreyLevels(photograph(SIZE, inverse(AFFINE), 0.7, 20)).squares(apply(AFFINE, xy), 0)
    centres = torch.from_numpy(centres + random.uniform(-1.5, 1.5, centres.shape))
    bases = torch.from_numpy(2 * np.eye(2) + random.normal(0, 0.1, (COUNT, 2, 2)))
    found = align_patches(squares, centres, bases, patches, window)
    for row in range(0, COUNT, 3):
        centre, basis, correlation = plain(*(each[row].numpy() for each in (squares, centres, bases, patches)), window)
        np.testing.assert_allclose(found.centres[row], centre, atol=2e-4)
        np.testing.assert_allclose(found.bases[row], basis, atol=1e-4)
        assert found.correlation[row].item() == pytest.approx(correlation, abs=1e-5)
    for some in ([5, 2, 17], [11]):
        alone = align_patches(squares[some], centres[some], bases[some], patches[some], window)
        for each, of_all in zip(alone, found, strict=True):
            assert torch.equal(each, of_all[some])


def test_samples_are_bilinear_and_the_border_goes_on():
    random = np.random.default_rng(4)
    squares = torch.from_numpy(random.normal(size=(3, 40, 40)).astype(np.float32))
    centres, bases = random.uniform(5, 35, (3, 2)), random.normal(0, 0.8, (3, 2, 2))
    found = sample(squares, torch.from_numpy(centres), torch.from_numpy(bases), 11).numpy()
    v, u = np.mgrid[-5:6, -5:6].reshape(2, -1)
    for square, centre, basis, samples in zip(squares.numpy(), centres, bases, found, strict=True):
        x, y = centre[:, None] + basis @ np.stack([u, v])
        expected = map_coordinates(square, [y, x], order=1, mode="nearest")
        np.testing.assert_allclose(samples, expected, atol=1e-4)


def test_nothing_is_a_shape():
    none = torch.zeros(0, 2, dtype=torch.float64)
    found = align_patches(
        torch.zeros(0, 9, 9), none, none[..., None].expand(0, 2, 2), torch.zeros(0, PATCH_SIDE, PATCH_SIDE), FINE[1]
    )
    assert [tuple(each.shape) for each in found] == [(0, 2), (0, 2, 2), (0,), (0,), (0,)]
