import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from d2sfm.plots.losses import SIZE, draw_losses
from d2sfm.plots.palette import FAINT, INLIER, RECOVERED, TRUE, Colour

NONE = np.zeros((0, 2))


def of_colour(picture: np.ndarray, colour: Colour, tolerance: int = 30) -> np.ndarray:
    """Rows and columns below the legend that have about this colour, [n, 2]."""
    found = np.argwhere(np.abs(picture.astype(int) - colour).max(axis=2) <= tolerance)
    return found[found[:, 0] > 45]


def middle(picture: np.ndarray, colour: Colour) -> np.ndarray:
    """Row and column between the ends of what has about this colour."""
    found = of_colour(picture, colour)
    return (found.min(axis=0) + found.max(axis=0)) / 2


def test_the_best_validation_is_marked_where_it_is():
    picture = draw_losses([], [(0, 2.0), (1, 1.0), (2, 0.5), (3, 0.8), (4, 0.5)], NONE)
    assert picture.shape == (*SIZE[::-1], 3)
    assert picture.dtype == np.uint8
    curve, (row, column) = of_colour(picture, TRUE), middle(picture, INLIER)
    assert column == pytest.approx(middle(picture, TRUE)[1], abs=3)  # epoch 2 of 4: the first of equals
    assert row == pytest.approx(curve[:, 0].max(), abs=10)
    at_one = curve[np.abs(curve[:, 1] - (curve[:, 1].min() + column) / 2) < 3, 0].mean()
    assert (row - at_one) / (row - curve[:, 0].min()) == pytest.approx((1.0 - 0.5) / (2.0 - 0.5), abs=0.03)


def test_without_validation_nothing_is_marked():
    picture = draw_losses([(1, 1.0), (2, 0.9)], [], NONE)
    assert not len(of_colour(picture, INLIER))
    assert not len(of_colour(picture, TRUE))


def test_an_epoch_is_drawn_in_its_middle_between_the_validations():
    """And a run of one epoch has a curve."""
    picture = draw_losses([(1, 1.5)], [(0, 2.0), (1, 1.0)], NONE)
    assert middle(picture, RECOVERED) == pytest.approx(middle(picture, TRUE), abs=6)


def test_steps_are_drawn_over_the_epochs():
    steps = np.stack([np.arange(1, 13) / 6, np.linspace(2, 1, 12)], axis=1)
    rows, columns = of_colour(draw_losses([], [], steps), FAINT, 15).T
    assert columns.min() < 0.2 * SIZE[0]
    assert columns.max() > 0.9 * SIZE[0]
    assert np.corrcoef(rows, columns)[0, 1] > 0.99  # falling losses go down


def test_a_spike_among_many_steps_does_not_show():
    steps = np.stack([np.arange(1, 2001) / 1000, np.linspace(2, 1, 2000)], axis=1)
    spiked = steps.copy()
    spiked[700, 1] = 1e6
    calm, with_spike = (draw_losses([], [], each).astype(int) for each in (steps, spiked))
    assert (np.abs(calm - with_spike).max(axis=2) > 30).mean() < 1e-3


@pytest.mark.slow
def test_what_is_not_finite_is_left_out_and_the_picture_is_always_the_same():
    steps = np.stack([np.arange(1, 13) / 6, np.linspace(2, 1, 12)], axis=1)
    with_skipped = np.insert(steps, 4, (0.7, np.nan), axis=0)
    training, validation = [(1, 1.5), (2, float("nan"))], [(0, float("inf")), (1, 1.4)]
    np.testing.assert_array_equal(
        draw_losses(training, validation, with_skipped), draw_losses([(1, 1.5)], [(1, 1.4)], steps)
    )
    nothing = draw_losses([(1, float("nan"))], [], NONE)
    np.testing.assert_array_equal(nothing, draw_losses([], [], NONE))
    assert not len(of_colour(nothing, RECOVERED))


def test_a_run_of_the_published_length():
    epochs, steps_per_epoch = 10, 11_700
    passed = np.arange(1, epochs * steps_per_epoch + 1) / steps_per_epoch
    losses = 0.7 + np.exp(-passed / 2) + np.random.default_rng(0).gamma(2, 0.1, len(passed))
    training = [(epoch, 0.9 + np.exp(0.25 - epoch / 2)) for epoch in range(1, epochs + 1)]
    picture = draw_losses(training, [(0, 2.0), *training], np.stack([passed, losses], axis=1))
    for colour in (FAINT, RECOVERED, TRUE, INLIER):
        assert len(of_colour(picture, colour)) > 50


LOSSES = st.floats(-1e6, 1e6)


def assert_drawn(training, validation, losses):
    """Each curve that has points is there, and within the picture."""
    steps = np.stack([np.arange(1, len(losses) + 1) / 3, losses], axis=1) if losses else NONE
    picture = draw_losses(list(enumerate(training, start=1)), list(enumerate(validation)), steps)
    for points, colour in ((training, RECOVERED), (validation, TRUE)):
        found = of_colour(picture, colour, 8)
        assert bool(len(found)) == bool(points)
        if points:
            assert found.min() > 5
            assert (found.max(axis=0) < (SIZE[1] - 30, SIZE[0] - 5)).all()


@pytest.mark.parametrize(
    ("training", "validation", "losses"),
    [([], [], []), ([0.0], [0.0], [0.0]), ([1.0, 1.0 + 1e-12], [], []), ([0.1], [0.1, 0.1 + 1e-17], [0.1, 0.3])],
)
def test_losses_that_hardly_differ_are_drawn(training, validation, losses):
    assert_drawn(training, validation, losses)


@pytest.mark.slow
@settings(max_examples=12)
@given(st.lists(LOSSES, max_size=4), st.lists(LOSSES, max_size=5), st.lists(LOSSES, max_size=9))
@example([-1e6, 1e6], [3.0], [-2.0, 5e5, 7.0])
def test_any_losses_are_drawn_and_lie_in_the_picture(training, validation, losses):
    assert_drawn(training, validation, losses)
