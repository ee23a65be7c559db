from math import comb, inf, isinf, log10

import numpy as np
import pycolmap
import pytest
from support.two_views import camera, two_views

from d2sfm.database import MatchStore, RefinementStore
from d2sfm.database.pair_rows import are_among
from d2sfm.matching.chance import chance_explains_plane, chance_pairs, false_alarms_log10, share_near_line
from d2sfm.matching.prosac import Relation
from d2sfm.matching.settings import Threshold, Thresholds


@pytest.mark.parametrize(("matches", "inliers", "share"), [(30, 12, 0.01), (60, 8, 0.3), (40, 40, 0.05)])
def test_false_alarms_are_those_of_the_formula(matches, inliers, share):
    expected = 3 * (matches - 7) * comb(matches, inliers) * comb(inliers, 7) * share ** (inliers - 7)
    assert false_alarms_log10(matches, inliers, share) == pytest.approx(log10(expected), abs=1e-9)


@pytest.mark.parametrize(("matches", "inliers", "share"), [(30, 12, 0.01), (200, 20, 1e-4), (40, 40, 0.05)])
def test_false_alarms_of_planes_are_those_of_the_formula(matches, inliers, share):
    expected = (matches - 4) * comb(matches, inliers) * comb(inliers, 4) * share ** (inliers - 4)
    found = false_alarms_log10(matches, inliers, share, Relation.PLANE)
    assert found == pytest.approx(log10(expected), abs=1e-9)


def test_matches_of_a_plane_that_are_close_together_count_once():
    a, b, matches, true = two_views(200, 20, seed=0, planar=True)
    a, b = a[matches[true, 0]], b[matches[true, 1]]
    cameras = (camera(), camera())
    assert not chance_explains_plane(cameras, 200, a, b, 8.0)
    assert chance_explains_plane(cameras, 200, a[:5], b[:5], 8.0)
    near = np.random.default_rng(0).uniform(0, 8, (4, 5, 2))
    of_a, of_b = ((near + points[:5]).reshape(-1, 2) for points in (a, b))
    assert len(of_a) == len(a)
    assert chance_explains_plane(cameras, 200, of_a, of_b, 8.0)


def test_as_many_matches_as_determine_a_geometry_say_nothing():
    assert isinf(false_alarms_log10(100, 7, 0.001))
    assert false_alarms_log10(8, 8, 0.001) < inf


def test_more_matches_ask_for_more_inliers():
    def least(matches):
        return next(inliers for inliers in range(8, matches) if false_alarms_log10(matches, inliers, 0.0072) < 0)

    found = [least(matches) for matches in (100, 500, 2000, 8000)]
    assert found == sorted(found)
    assert found[0] >= 15
    assert found[-1] < 800


def test_the_share_is_the_band_along_the_diagonal():
    camera = pycolmap.Camera(model="SIMPLE_PINHOLE", width=300, height=400, params=[300, 150, 200])
    assert share_near_line(camera, 2.0) == pytest.approx(4 * 500 / 120000)


@pytest.fixture
def database(tmp_path):
    """Four images of a scene; image 4 has random matches with the first, of which its geometry is RANSAC's luck."""
    path = tmp_path / "db.db"
    pycolmap.set_random_seed(0)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig, options.num_points3D = 1, 1, 4, 300
    generator = np.random.default_rng(0)
    with pycolmap.Database.open(path) as colmap:
        pycolmap.synthesize_dataset(options, colmap)
        first, *_, last = sorted(image.image_id for image in colmap.read_all_images())
        camera = colmap.read_all_cameras()[0]
        camera.has_prior_focal_length = False
        a, b = (colmap.read_keypoints(image_id)[:, :2].astype(float) for image_id in (first, last))
        number = min(len(a), len(b), 250)
        matches = np.stack([generator.permutation(len(points))[:number] for points in (a, b)], 1).astype(np.uint32)
        settings = pycolmap.TwoViewGeometryOptions()
        settings.ransac.max_error, settings.ransac.random_seed, settings.ransac.min_inlier_ratio = 8.0, 1, 0.05
        geometry = pycolmap.estimate_two_view_geometry(camera, a, camera, b, matches, settings)
        assert len(geometry.inlier_matches) >= 15  # so that the fixed least number lets it through
        colmap.delete_matches(first, last)
        colmap.delete_two_view_geometry(first, last)
        colmap.write_matches(first, last, matches)
        colmap.write_two_view_geometry(first, last, geometry)
    return path, (first, last)


def thresholds(max_error, factors=None):
    return Thresholds(Threshold(max_error), Threshold(max_error), frozenset(), factors or {})


def test_random_matches_are_chance_and_true_ones_are_not(database):
    path, pair = database
    number = pycolmap.image_pair_to_pair_id(*pair)
    with MatchStore(path) as store:
        assert chance_pairs(store, thresholds(8.0)).tolist() == [number]
        # With wider thresholds more agreement is chance; a pair's is that of its larger factor.
        assert number in chance_pairs(store, thresholds(1.0, {pair[1]: 8.0}))
        # Where an image came after the others were refined, that of its pairs is another one.
        for new, expected in ((pair[0], []), (pair[1] - 1, [number])):
            mixed = Thresholds(Threshold(8.0), Threshold(0.1), frozenset({new}), {})
            assert [each for each in chance_pairs(store, mixed).tolist() if each == number] == expected


def test_refuted_matches_are_not_counted(database):
    """Verification does not see them, so chance has fewer matches to choose from."""
    path, pair = database
    with MatchStore(path) as store:
        agreeing = store.inlier_matches(*pair)
        others = store.matches(*pair)[~are_among(store.matches(*pair), agreeing)]
    with RefinementStore(path) as store:
        store.replace({}, {}, refuted={pair: others}, others_stay=True)
    with MatchStore(path) as store:
        assert not len(chance_pairs(store, thresholds(8.0)))
        found = np.concatenate([agreeing, np.stack([others[:, 0], np.roll(others[:, 1], 1)], axis=1)])
        store.write(*pair, found, pycolmap.TwoViewGeometry(config=3, inlier_matches=agreeing))
        assert len(store.refuted(*pair)) == len(others)  # none of which was found again
        assert chance_pairs(store, thresholds(8.0)).tolist() == [pycolmap.image_pair_to_pair_id(*pair)]


@pytest.mark.parametrize("planar", [True, False])
def test_few_matches_of_a_plane_are_no_chance(planar, tmp_path):
    """They say where a match lies, and not only on which line. Twenty true matches of two hundred."""
    path, names = tmp_path / "db.db", ("a.jpg", "b.jpg")
    a, b, matches, true = two_views(200, 20, seed=0, planar=planar)
    with pycolmap.Database.open(path) as colmap:
        camera_id = colmap.write_camera(camera())
        ids = [colmap.write_image(pycolmap.Image(name=name, camera_id=camera_id)) for name in names]
        for image_id, keypoints in zip(ids, (a, b), strict=True):
            colmap.write_keypoints(image_id, keypoints.astype(np.float32))
        colmap.write_matches(*ids, matches)
        geometry = pycolmap.TwoViewGeometry()
        geometry.config, geometry.inlier_matches = 3, matches[true]
        colmap.write_two_view_geometry(*ids, geometry)
    with MatchStore(path) as store:
        assert len(chance_pairs(store, thresholds(8.0))) == (not planar)
