import numpy as np
import pycolmap
import pytest
from support.seen_points import seen, to_the_side
from support.synthetic_model import synthetic_rig

from d2sfm.database import MatchStore
from d2sfm.mapping.initial_pairs import NARROW_DEG, SHARES, initial_pairs


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Six images of one camera on a sphere around 400 points."""
    path = tmp_path_factory.mktemp("pairs") / "db.db"
    pycolmap.set_random_seed(3)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig, options.num_points3D = 1, 1, 6, 400
    with pycolmap.Database.open(path) as colmap:
        truth = pycolmap.synthesize_dataset(options, colmap)
    return path, truth


def limits(**changes):
    options = pycolmap.IncrementalMapperOptions()
    options.random_seed = 0
    for name, value in changes.items():
        setattr(options, name, value)
    return options


def all_chosen(path, settings, without=(), most=100):
    without = [pycolmap.image_pair_to_pair_id(*pair) for pair in without]
    with MatchStore(path) as store:
        return initial_pairs(store, settings, np.array(without, np.int64), most=most)


def chosen(path, settings, without=(), most=100):
    """Ids of the images of those that are not narrow."""
    pairs = all_chosen(path, settings, without, most)
    return [pair.image_ids for pair in pairs if not pair.is_narrow]


def test_each_pair_that_can_begin_a_model_is_given_once_and_the_best_first(database):
    path, _ = database
    pairs = chosen(path, limits())
    assert len(pairs) == len(set(pairs)) > 3
    assert all(a < b for a, b in pairs)
    with MatchStore(path) as store:
        inliers = [len(store.inlier_matches(*pair)) for pair in pairs]
    assert inliers == sorted(inliers, reverse=True)
    assert chosen(path, limits(), most=2) == pairs[:2]
    assert chosen(path, limits(), without={pairs[0]}) == pairs[1:]


def test_pairs_with_a_narrow_angle_come_after_the_others_and_at_a_quarter_not_at_all(database):
    path, truth = database
    wide = chosen(path, limits())

    def angle_deg(pair):
        a, b = (truth.images[image_id].projection_center() for image_id in pair)
        points = [point.xyz for point in truth.points3D.values()]
        found = sorted(pycolmap.calculate_triangulation_angle(a, b, xyz) for xyz in points)
        return found[len(found) // 2] * 180 / 3.14159265

    angles = sorted(map(angle_deg, wide))
    middle = (angles[len(angles) // 2 - 1] + angles[len(angles) // 2]) / 2
    pairs = chosen(path, limits(init_min_tri_angle=middle))
    passes = [angle_deg(pair) > middle for pair in pairs]
    assert passes == sorted(passes, reverse=True)
    assert any(passes)
    least = min(of_angle for _, of_angle in SHARES)
    assert chosen(path, limits(init_min_tri_angle=1.05 * angles[-1] / least)) == []


def test_too_few_inliers_begin_nothing(database):
    path, _ = database
    assert all_chosen(path, limits(init_min_num_inliers=100_000)) == []


def test_pairs_that_only_fail_by_their_angle_are_narrow_and_the_last(database):
    path, _ = database
    narrow = all_chosen(path, limits(init_min_tri_angle=1000.0))
    assert narrow
    assert all(pair.is_narrow for pair in narrow)
    middle = all_chosen(path, limits(init_min_tri_angle=60.0))
    assert [pair.is_narrow for pair in middle] == sorted(pair.is_narrow for pair in middle)
    assert len(middle) <= len(narrow)


def test_a_camera_that_moves_ahead_begins_narrowly_and_one_that_turns_or_stands_not(tmp_path):
    ahead = [np.array([0, 0, 0.8 * number]) for number in range(3)]
    scenes = {"ahead": (ahead, 0.0), "turned": ([np.zeros(3)] * 4, [0, 8, 16, 24]), "stood": ([np.zeros(3)] * 4, 0.0)}
    found = {}
    for name, (centres, turns_deg) in scenes.items():
        (tmp_path / name).mkdir()
        found[name] = all_chosen(seen(tmp_path / name, centres, turns_deg).database, limits())
    assert {pair.image_ids for pair in found["ahead"]} == {(1, 2), (1, 3), (2, 3)}
    assert all(pair.is_narrow for pair in found["ahead"])
    assert found["turned"] == found["stood"] == []


@pytest.mark.parametrize(("step_m", "expected"), [(0.03, 0), (0.15, 1)])
def test_narrow_pairs_have_a_least_angle(tmp_path, step_m, expected):
    assert 0.1 < NARROW_DEG < 1
    assert len(all_chosen(seen(tmp_path, to_the_side(2, step_m)).database, limits())) == expected


def test_images_of_one_frame_begin_nothing(tmp_path):
    truth = synthetic_rig(tmp_path / "db.db", num_frames=3)
    pairs = chosen(tmp_path / "db.db", limits(init_min_tri_angle=1e-3))
    assert pairs
    assert all(truth.images[a].frame_id != truth.images[b].frame_id for a, b in pairs)
