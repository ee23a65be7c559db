import re

import numpy as np
import pycolmap
import pytest
from scipy.spatial.transform import Rotation
from support.two_views import ROTATION, TRANSLATION, camera, similarities_of, two_views

from d2sfm.matching.prosac import Relation, agreeing_with_one
from d2sfm.matching.verification import pair_seed, verify
from d2sfm.matching.view import View
from d2sfm.options import VerificationOptions

DEGENERATE = pycolmap.TwoViewGeometryConfiguration.DEGENERATE


def geometry_of(*arguments, **keywords):
    return verify(*arguments, **keywords).geometry


def found(geometry, true_matches):
    """Share of the true matches among the inliers."""
    inliers = set(map(tuple, geometry.inlier_matches))
    return np.mean([tuple(match) in inliers for match in true_matches])


@pytest.mark.slow
def test_one_true_match_in_ten_is_enough_where_colmaps_defaults_fail():
    """D2 matches are often like that. A wall, and cameras whose focal length is not known."""
    view, count_ours, count_defaults = camera(known_focal_length=False), 0, 0
    for seed in range(6):
        a, b, matches, true = two_views(200, 20, seed, planar=True)
        defaults = pycolmap.TwoViewGeometryOptions()
        defaults.ransac.random_seed = seed
        theirs = pycolmap.estimate_two_view_geometry(view, a, view, b, matches, defaults)
        ours = geometry_of(View(view, a), View(view, b), matches, VerificationOptions(seed=seed))
        count_ours += found(ours, matches[true]) > 0.8
        count_defaults += found(theirs, matches[true]) > 0.8
    assert count_ours >= 4
    assert count_ours > count_defaults


def test_one_true_match_in_ten_is_enough_where_similarities_are_known():
    view, count = camera(known_focal_length=False), 0
    for seed in range(6):
        a, b, matches, true = two_views(200, 20, seed, planar=True)
        options, similarities = VerificationOptions(seed=seed), similarities_of(true, seed)
        verified = verify(View(view, a), View(view, b), matches, options, similarities=similarities)
        count += found(verified.geometry, matches[true]) > 0.8
        assert verified.geometry.config == pycolmap.TwoViewGeometryConfiguration.PLANAR_OR_PANORAMIC
        assert not verified.refused
    assert count >= 5


@pytest.mark.parametrize("known_focal_length", [True, False])
def test_without_similarities_it_is_colmaps_estimate(known_focal_length):
    """So databases of earlier versions and other tools are verified as ever, to the bit."""
    a, b, matches, _ = two_views(200, 60, seed=3)
    view, settings = camera(known_focal_length), pycolmap.TwoViewGeometryOptions()
    settings.ransac.max_error, settings.ransac.min_inlier_ratio, settings.ransac.max_num_trials = 8.0, 0.1, 500
    settings.ransac.random_seed = pair_seed(0, "a", "b")
    theirs = pycolmap.estimate_two_view_geometry(view, a, view, b, matches, settings)
    options = VerificationOptions(max_num_trials=500)
    ours = verify(View(view, a), View(view, b), matches, options, names=("a", "b"))
    np.testing.assert_array_equal(ours.geometry.inlier_matches, theirs.inlier_matches)
    np.testing.assert_array_equal(ours.geometry.F, theirs.F)
    assert ours.geometry.config == theirs.config
    assert not ours.refused


def test_inliers_are_in_the_order_of_the_matches():
    a, b, matches, true = two_views(200, 100, seed=3)
    views = View(camera(), a), View(camera(), b)
    geometry = geometry_of(*views, matches, VerificationOptions(), similarities=similarities_of(true, 3))
    places = {tuple(match): place for place, match in enumerate(matches.tolist())}
    order = [places[tuple(match)] for match in geometry.inlier_matches.tolist()]
    assert order == sorted(order)


def test_without_known_focal_lengths_no_inlier_of_the_first_step_is_lost():
    """The first fundamental matrix stays where COLMAP's few trials find a worse one."""
    view = camera(known_focal_length=False)
    for seed in range(4):
        a, b, matches, true = two_views(300, 100, seed, noise_px=4)
        similarities, options = similarities_of(true, seed), VerificationOptions(max_error=6.0)
        geometry = geometry_of(View(view, a), View(view, b), matches, options, similarities=similarities)
        xy_a, xy_b = a[matches[:, 0]], b[matches[:, 1]]
        settings = {"max_num_trials": 20000, "min_inlier_ratio": 0.1, "seed": pair_seed(0, "", "")}
        agree, _ = agreeing_with_one(Relation.EPIPOLAR, xy_a, xy_b, similarities, 6.0, **settings)
        assert len(geometry.inlier_matches) >= np.count_nonzero(agree)
        in_a, in_b = (xy[column] for xy, column in zip((a, b), geometry.inlier_matches.T, strict=True))
        squares = pycolmap.compute_squared_sampson_error(in_a, in_b, geometry.F)
        assert np.max(squares) <= 6.01**2


def fisheye():
    made = pycolmap.Camera(model="SIMPLE_FISHEYE", width=1600, height=1200, params=[500, 800, 600])
    made.has_prior_focal_length = True
    return made


@pytest.mark.parametrize("view", [camera(), camera(known_focal_length=False), fisheye()])
def test_what_chance_explains_is_refused_where_similarities_are_known(view):
    a, b, matches, true = two_views(300, 0, seed=6)
    views, options = (View(view, a), View(view, b)), VerificationOptions(max_num_trials=2000)
    verified = verify(*views, matches, options, similarities=similarities_of(true, 6))
    assert verified.geometry.config == DEGENERATE
    assert verified.geometry.inlier_matches.shape == (0, 2)
    inliers = int(re.fullmatch(r"(\d+) of 300 matches agree, no more than by chance", verified.refused)[1])
    assert inliers >= options.min_num_inliers
    as_ever = verify(*views, matches, options)  # mapping tests it
    assert not as_ever.refused
    assert len(as_ever.geometry.inlier_matches) >= options.min_num_inliers


@pytest.mark.parametrize("known_focal_length", [True, False])
@pytest.mark.parametrize("planar", [True, False])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_the_true_matches_are_found(known_focal_length, planar, is_sorted):
    a, b, matches, true = two_views(300, 180, seed=1, planar=planar)
    view = camera(known_focal_length)
    similarities = similarities_of(true, 1) if is_sorted else None
    geometry = geometry_of(View(view, a), View(view, b), matches, VerificationOptions(), similarities=similarities)
    assert found(geometry, matches[true]) > 0.97
    # Many epipolar geometries fit a plane, and the one that most false matches agree with, too, is found.
    assert len(geometry.inlier_matches) < (195 if planar and is_sorted else 190)
    assert geometry.inlier_matches.dtype == np.uint32


@pytest.mark.parametrize("is_sorted", [True, False])
def test_the_geometry_is_the_true_one(is_sorted):
    a, b, matches, true = two_views(300, 180, seed=2)
    similarities = similarities_of(true, 2) if is_sorted else None
    geometry = geometry_of(
        View(camera(), a), View(camera(), b), matches, VerificationOptions(), similarities=similarities
    )
    pycolmap.estimate_two_view_geometry_pose(camera(), a, camera(), b, geometry)
    b_from_a = geometry.cam2_from_cam1
    assert np.degrees(Rotation.from_matrix(b_from_a.rotation.matrix() @ ROTATION.T).magnitude()) < 0.3
    assert b_from_a.translation @ TRANSLATION / np.linalg.norm(TRANSLATION) > 0.999


def test_max_error_is_that_of_the_options_or_the_pair():
    a, b, matches, true = two_views(200, 200, seed=3, noise_px=6)
    views, options = (View(camera(), a), View(camera(), b)), VerificationOptions(max_error=4.0)
    assert found(geometry_of(*views, matches, options), matches[true]) < 0.8
    assert found(geometry_of(*views, matches, options, max_error_px=20.0), matches[true]) > 0.97


@pytest.mark.parametrize("is_sorted", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_same_seed_gives_the_same_geometry(is_sorted):
    a, b, matches, true = two_views(200, 60, seed=4)
    similarities = similarities_of(true, 4) if is_sorted else None

    def run(seed, pair):
        given = matches, VerificationOptions(seed=seed)
        return geometry_of(View(camera(), a), View(camera(), b), *given, similarities=similarities, names=pair)

    first, again = run(0, ("a.jpg", "b.jpg")), run(0, ("a.jpg", "b.jpg"))
    np.testing.assert_array_equal(first.inlier_matches, again.inlier_matches)
    np.testing.assert_array_equal(first.E, again.E)
    assert not np.array_equal(first.E, run(1, ("a.jpg", "b.jpg")).E)
    assert not np.array_equal(first.E, run(0, ("a.jpg", "c.jpg")).E)


def test_pair_seeds_stay_as_they_are():
    """A change would change the geometries of everybody's databases."""
    assert pair_seed(0, "a.jpg", "b.jpg") == 650502276
    assert (
        len({pair_seed(0, "a", "bc"), pair_seed(0, "ab", "c"), pair_seed(1, "a", "bc"), pair_seed(0, "bc", "a")}) == 4
    )
    assert all(0 <= pair_seed(seed, "", "\udcff") < 2**31 for seed in (-1, 0, 2**70))


@pytest.mark.parametrize("count", [0, 1, 4, 14])
def test_too_few_matches_are_degenerate(count):
    a, b, matches, _ = two_views(count, count, seed=5)
    for similarities in (None, np.ones(count)):
        verified = verify(
            View(camera(), a), View(camera(), b), matches, VerificationOptions(), similarities=similarities
        )
        assert verified.geometry.config == DEGENERATE
        assert verified.geometry.inlier_matches.shape == (0, 2)
        assert not verified.refused


@pytest.mark.slow
def test_too_few_inliers_are_degenerate():
    a, b, matches, _ = two_views(100, 0, seed=6)
    for similarities in (None, np.ones(100)):
        given = matches, VerificationOptions(min_num_inliers=60)
        verified = verify(View(camera(), a), View(camera(), b), *given, similarities=similarities)
        assert verified.geometry.config == DEGENERATE
        assert verified.geometry.inlier_matches.shape == (0, 2)
        assert not verified.refused


def test_few_trials():
    """Fewer than COLMAP's least number of trials, which it would refuse."""
    a, b, matches, true = two_views(50, 50, seed=7)
    for similarities in (None, similarities_of(true, 7)):
        given = matches, VerificationOptions(max_num_trials=10)
        geometry = geometry_of(View(camera(), a), View(camera(), b), *given, similarities=similarities)
        assert found(geometry, matches[true]) > 0.9


@pytest.mark.parametrize("matches", [[[0, 9]], [[9, 0]], [[-1, 0]], [[0, 0]] * 20 + [[0, 7]]])
def test_matches_of_keypoints_that_are_not_there(matches):
    keypoints = np.zeros((7, 2), np.float32)
    with pytest.raises(ValueError, match="there are 7"):
        verify(View(camera(), keypoints), View(camera(), keypoints), np.array(matches), VerificationOptions())


@pytest.mark.parametrize("shapes", [((7, 4), (7, 2), (1, 2)), ((7, 2), (7,), (1, 2)), ((7, 2), (7, 2), (2,))])
def test_shapes_that_do_not_fit(shapes):
    a, b, matches = (np.zeros(shape, np.int64) for shape in shapes)
    with pytest.raises(ValueError, match=r"expected \(N, 2\)"):
        verify(View(camera(), a), View(camera(), b), matches, VerificationOptions())


@pytest.mark.parametrize("similarities", [np.ones(2), np.ones((3, 1)), 1.0])
def test_similarities_that_do_not_fit(similarities):
    view, matches = View(camera(), np.zeros((3, 2))), np.tile(np.arange(3)[:, None], 2)
    with pytest.raises(ValueError, match=r"expected \(3,\)"):
        verify(view, view, matches, VerificationOptions(), similarities=similarities)


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_error", 0.0), ("max_error", float("nan")), ("max_error", float("inf")), ("min_inlier_ratio", 0.0),
     ("min_inlier_ratio", 1.1), ("max_num_trials", 0),
     ("max_num_trials", 2**31), ("min_num_inliers", 0)],
)  # fmt: skip
def test_options_out_of_range(name, value):
    with pytest.raises(ValueError, match=name):
        VerificationOptions(**{name: value})
