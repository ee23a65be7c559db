"""The generator of large databases, at small size."""

import runpy
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from support.database_contents import dump

from d2sfm.database import MatchStore
from d2sfm.mapping.reconstruct import read_input
from d2sfm.options import ReconstructionOptions

PROGRAM = Path(__file__).parents[2] / "benchmarks/synthetic.py"


@pytest.fixture(scope="module")
def synthetic():
    return runpy.run_path(str(PROGRAM), run_name="imported")


def written(synthetic, path, **settings):
    return synthetic["write_synthetic"](path, synthetic["Settings"](images=40, points=40, **settings))


def share_near_epipolar_lines(store, truth, pair, most_px=4):
    a, b = (truth.images[image_id] for image_id in pair)
    essential = pycolmap.essential_matrix_from_pose(b.cam_from_world() * a.cam_from_world().inverse())
    rays = []
    for image, matched in zip((a, b), store.inlier_matches(*pair).T, strict=True):
        keypoints = store.keypoints(image.image_id)[matched].astype(float)
        rays.append(np.insert(image.camera.cam_from_img(keypoints), 2, 1, axis=1))
    lines = rays[0] @ essential.T
    off = abs((rays[1] * lines).sum(1)) / np.hypot(*lines[:, :2].T)
    return np.mean(off * b.camera.focal_length < most_px)


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["street", "town"])
def test_matches_that_verification_kept_agree_with_the_true_poses_but_for_the_wrong_ones(synthetic, tmp_path, scene):
    truth = written(synthetic, tmp_path / "db.db", scene=scene)
    with MatchStore(tmp_path / "db.db") as store:
        pairs = [pycolmap.pair_id_to_image_pair(int(pair_id)) for pair_id in store.done_pairs(verified=True)]
        found = np.array([share_near_epipolar_lines(store, truth, pair) for pair in pairs])
    is_right = found > 0.5
    assert np.mean(found[is_right]) == pytest.approx(1, abs=0.05)
    assert 0 < np.sum(~is_right) < 0.1 * len(pairs)
    assert 40 * 6 < len(pairs) < 40 * 22


def test_points_are_seen_by_three_to_ten_of_images_that_lie_together(synthetic):
    settings = synthetic["Settings"](images=60, points=30)
    world = synthetic["make_world"](settings, np.random.default_rng(0))
    _, lengths = np.unique(world.point, return_counts=True)
    assert (lengths.min(), lengths.max()) == (3, 10)
    pairs = set(map(tuple, world.pairs().tolist()))
    apart = [np.linalg.norm(world.centres[a] - world.centres[b]) for a, b in pairs]
    anywhere = [np.linalg.norm(a - b) for a in world.centres for b in world.centres]
    assert np.mean(apart) < np.mean(anywhere)
    assert (world.neighbours != np.arange(60)[:, None]).all()


@pytest.mark.slow
def test_the_seed_decides(synthetic, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        written(synthetic, tmp_path / f"{name}.db", seed=seed)
    assert dump(tmp_path / "a.db") == dump(tmp_path / "b.db")
    assert dump(tmp_path / "a.db") != dump(tmp_path / "c.db")


@pytest.mark.parametrize("is_estimated", [False, True])
def test_mapping_takes_it_and_finds_the_wrong_pairs(synthetic, tmp_path, is_estimated):
    truth = written(synthetic, tmp_path / "db.db", is_estimated=is_estimated)
    given = read_input(tmp_path / "db.db", ReconstructionOptions())
    assert given.is_estimated is is_estimated
    assert given.connected == 40
    assert len(given.left_out)
    with MatchStore(tmp_path / "db.db") as store:
        stored = store.camera(1).focal_length
    assert (stored == truth.cameras[1].focal_length) is not is_estimated
