import numpy as np
import pycolmap
import pytest
from scipy.spatial.transform import Rotation

from d2sfm.matching.verification import View, pair_seed, verify
from d2sfm.options import VerificationOptions

WIDTH, HEIGHT, FOCAL = 1600, 1200, 1500.0
ROTATION = Rotation.from_euler("xyz", [3, 12, -2], degrees=True).as_matrix()
TRANSLATION = np.array([-1.5, 0.2, 0.3])
DEGENERATE = pycolmap.TwoViewGeometryConfiguration.DEGENERATE


def camera(known_focal_length=True):
    made = pycolmap.Camera(model="PINHOLE", width=WIDTH, height=HEIGHT, params=[FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2])
    made.has_prior_focal_length = known_focal_length
    return made


def two_views(count, inliers, seed, *, noise_px=0.3, planar=False):
    """Keypoints of two views, the matches between them in random order, and which of those are true."""
    generator = np.random.default_rng(seed)
    depth = np.full(inliers, 8.0) if planar else generator.uniform(5, 12, inliers)
    points = np.column_stack([generator.uniform(-2.5, 3, inliers), generator.uniform(-2, 2, inliers), depth])
    centre, size = np.array([WIDTH / 2, HEIGHT / 2]), np.array([WIDTH, HEIGHT])
    in_b = points @ ROTATION.T + TRANSLATION
    views = [
        np.concatenate([
            seen[:, :2] / seen[:, 2:] * FOCAL + centre + generator.normal(0, noise_px, (inliers, 2)),
            generator.uniform(0, 1, (count - inliers, 2)) * size,
        ])
        for seen in (points, in_b)
    ]  # fmt: skip
    matches = np.tile(generator.permutation(count)[:, None], 2).astype(np.uint32)
    return *views, matches, matches[:, 0] < inliers


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


@pytest.mark.parametrize("known_focal_length", [True, False])
@pytest.mark.parametrize("planar", [True, False])
def test_the_true_matches_are_found(known_focal_length, planar):
    a, b, matches, true = two_views(300, 180, seed=1, planar=planar)
    view = camera(known_focal_length)
    geometry = geometry_of(View(view, a), View(view, b), matches, VerificationOptions())
    assert found(geometry, matches[true]) > 0.97
    assert len(geometry.inlier_matches) < 190
    assert geometry.inlier_matches.dtype == np.uint32


def test_the_geometry_is_the_true_one():
    a, b, matches, _ = two_views(300, 180, seed=2)
    geometry = geometry_of(View(camera(), a), View(camera(), b), matches, VerificationOptions())
    pycolmap.estimate_two_view_geometry_pose(camera(), a, camera(), b, geometry)
    b_from_a = geometry.cam2_from_cam1
    assert np.degrees(Rotation.from_matrix(b_from_a.rotation.matrix() @ ROTATION.T).magnitude()) < 0.3
    assert b_from_a.translation @ TRANSLATION / np.linalg.norm(TRANSLATION) > 0.999


def test_max_error_is_that_of_the_options_or_the_pair():
    a, b, matches, true = two_views(200, 200, seed=3, noise_px=6)
    views, options = (View(camera(), a), View(camera(), b)), VerificationOptions(max_error=4.0)
    assert found(geometry_of(*views, matches, options), matches[true]) < 0.8
    assert found(geometry_of(*views, matches, options, max_error_px=20.0), matches[true]) > 0.97


def test_the_same_seed_gives_the_same_geometry():
    a, b, matches, _ = two_views(200, 60, seed=4)

    def run(seed, pair):
        return geometry_of(View(camera(), a), View(camera(), b), matches, VerificationOptions(seed=seed), names=pair)

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
    geometry = geometry_of(View(camera(), a), View(camera(), b), matches, VerificationOptions(min_num_inliers=15))
    assert geometry.config == DEGENERATE
    assert geometry.inlier_matches.shape == (0, 2)


def test_too_few_inliers_are_degenerate():
    a, b, matches, _ = two_views(100, 0, seed=6)
    geometry = geometry_of(View(camera(), a), View(camera(), b), matches, VerificationOptions(min_num_inliers=60))
    assert geometry.config == DEGENERATE
    assert geometry.inlier_matches.shape == (0, 2)


def test_few_trials():
    """Fewer than COLMAP's least number of trials, which it would refuse."""
    a, b, matches, true = two_views(50, 50, seed=7)
    geometry = geometry_of(View(camera(), a), View(camera(), b), matches, VerificationOptions(max_num_trials=10))
    assert found(geometry, matches[true]) > 0.9


@pytest.mark.parametrize("matches", [[[0, 9]], [[9, 0]], [[-1, 0]], [[0, 0]] * 20 + [[0, 7]]])
def test_matches_of_keypoints_that_are_not_there(matches):
    keypoints = np.zeros((7, 2), np.float32)
    with pytest.raises(ValueError, match="of 7"):
        verify(View(camera(), keypoints), View(camera(), keypoints), np.array(matches), VerificationOptions())


@pytest.mark.parametrize("shapes", [((7, 4), (7, 2), (1, 2)), ((7, 2), (7,), (1, 2)), ((7, 2), (7, 2), (2,))])
def test_shapes_that_do_not_fit(shapes):
    a, b, matches = (np.zeros(shape, np.int64) for shape in shapes)
    with pytest.raises(ValueError, match=r"expected \(N, 2\)"):
        verify(View(camera(), a), View(camera(), b), matches, VerificationOptions())


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_error", 0.0), ("max_error", float("nan")), ("max_error", float("inf")), ("min_inlier_ratio", 0.0),
     ("min_inlier_ratio", 1.1), ("max_num_trials", 0),
     ("max_num_trials", 2**31), ("min_num_inliers", 0)],
)  # fmt: skip
def test_options_out_of_range(name, value):
    with pytest.raises(ValueError, match=name):
        VerificationOptions(**{name: value})
