"""An estimate is said once, and only where much is left."""

import logging

import pytest

from d2sfm import estimate
from d2sfm.estimate import Estimate


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (100, []),  # five minutes
        (300, ["match: about 15 minutes for the 300 pairs that are left; try less"]),
        (10000, ["match: about 8 hours for the 10000 pairs that are left; try less"]),
    ],
)
def test_what_is_long_is_told_once_from_the_first_items(monkeypatch, caplog, left, expected):
    caplog.set_level(logging.INFO)
    seconds = iter([0, 3, 29, 30, 60])
    monkeypatch.setattr(estimate, "perf_counter", lambda: next(seconds))
    pairs = Estimate("match", 10 + left, "pairs", "try less")
    pairs.update()
    pairs.update(8)
    assert not caplog.messages  # too early to tell
    pairs.update()
    pairs.update()
    assert caplog.messages == expected
