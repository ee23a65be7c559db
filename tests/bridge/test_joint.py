"""Matches of two kinds of keypoints, verified together."""

from dataclasses import replace

import numpy as np
import pytest
from support.two_views import camera, two_views

from d2sfm.bridge.joint import TwoKinds
from d2sfm.matching.view import View
from d2sfm.options import VerificationOptions

TRUE, FALSE = 12, 4  # of each kind: too few for one alone, which 15 are needed for
OWN = TRUE + FALSE  # keypoints of the extractor, the first ones


def both_kinds(true_of_d2=TRUE, moved=()):
    """A pair; moved: keypoints of b that lie 3 px off, by their index."""
    count = 2 * OWN
    xy_a, xy_b, _, _ = two_views(count, TRUE + true_of_d2, seed=3, noise_px=0.1)
    false = np.arange(TRUE + true_of_d2, count)
    order = np.concatenate([np.arange(TRUE), false[:FALSE], np.arange(TRUE, TRUE + true_of_d2), false[FALSE:]])
    xy_b[order[list(moved)]] += (0, 3)
    matches = np.tile(np.arange(count, dtype=np.uint32)[:, None], 2)
    return TwoKinds(
        views=tuple(View(camera(), xy[order].astype(np.float32)) for xy in (xy_a, xy_b)),
        names=("a", "b"),
        first=(OWN, OWN),
        own=matches[:OWN],
        d2=matches[OWN:],
        similarities=np.where(np.arange(OWN) < true_of_d2, 0.9, 0.7).astype(np.float16),
        limit_px=1.0,
    )


def verified(pair):
    geometry = pair.verified(VerificationOptions())
    return None if geometry is None else {a for a, b in geometry.inlier_matches.tolist() if a == b}


@pytest.mark.parametrize("kind", ["own", "d2"])
def test_neither_kind_is_enough_alone(kind):
    pair = both_kinds()
    without = {"own": {"d2": pair.d2[:0], "similarities": pair.similarities[:0]}, "d2": {"own": pair.own[:0]}}
    assert verified(replace(pair, **without[kind])) is None


def test_both_together_are():
    assert verified(both_kinds()) == {*range(TRUE), *range(OWN, OWN + TRUE)}


def test_each_kind_is_held_to_its_own_threshold():
    found = verified(both_kinds(moved=(0, OWN)))
    assert found == {*range(TRUE), *range(OWN, OWN + TRUE)} - {OWN}


def test_false_matches_of_one_kind_are_not_taken_for_a_geometry():
    assert verified(both_kinds(true_of_d2=0)) is None
