from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from support.helpers import write_plane_scene

from d2sfm.options import PairOptions
from d2sfm.training.draws import draw_epoch
from d2sfm.training.scene_info_file import write_scene_info
from d2sfm.training.scenes import load_scene


@pytest.fixture
def scenes(tmp_path):
    write_plane_scene(tmp_path, "0000")
    write_plane_scene(tmp_path, "0001")
    return [load_scene(tmp_path / "info" / f"{name}.npz", PairOptions()) for name in ("0000", "0001")]


def test_an_epoch_has_as_many_pairs_of_each_scene_shuffled_together(scenes):
    draws = draw_epoch(scenes, 50, float("inf"), seed=0, epoch=1)
    assert Counter(draw.scene for draw in draws) == {0: 50, 1: 50}
    changes = sum(a.scene != b.scene for a, b in pairwise(draws))
    assert 30 < changes < 70
    assert all([draw.image1, draw.image2] in scenes[draw.scene].pairs.tolist() for draw in draws)
    # With replacement: 50 draws of 6 pairs.
    assert len({draw[:3] for draw in draws}) == 12


def test_seed_and_epoch_alone_decide(scenes):
    first = draw_epoch(scenes, 20, float("inf"), seed=3, epoch=2)
    np.random.default_rng(9).random(5)
    assert draw_epoch(scenes, 20, float("inf"), seed=3, epoch=2) == first
    assert draw_epoch(scenes, 20, float("inf"), seed=3, epoch=3) != first
    assert draw_epoch(scenes, 20, float("inf"), seed=4, epoch=2) != first


def test_a_scene_without_pairs_gives_none(scenes):
    empty = replace(scenes[0], pairs=np.zeros((0, 2), np.int64))
    assert {draw.scene for draw in draw_epoch([empty, scenes[1]], 10, float("inf"), 0, 1)} == {1}


def test_crops_are_centred_on_points_that_both_images_see(scenes):
    for draw in draw_epoch(scenes[:1], 30, float("inf"), seed=0, epoch=1):
        shift = 6 * (draw.image2 - draw.image1)  # a view sees the wall 6 px further on than the one before
        np.testing.assert_allclose(np.subtract(draw.xy1, (shift, 0)), draw.xy2)


def test_many_points_are_drawn_for_one_pair(scenes):
    only = replace(scenes[0], pairs=np.array([[0, 1]]))
    assert len({draw.xy1 for draw in draw_epoch([only], 100, float("inf"), 0, 1)}) > 60


def test_a_centre_keeps_within_the_scale_ratio(tmp_path):
    info = write_plane_scene(tmp_path)
    near = info.normalised_depths.copy()
    rows = slice(info.image_ptr[1], info.image_ptr[2])
    left = info.points2D_xy[rows, 0] < 60
    near[rows][~left] *= 3  # in image 1 only points on the left are at image 0's scale
    write_scene_info(tmp_path / "info" / "0000.npz", replace(info, normalised_depths=near))
    scene = replace(load_scene(tmp_path / "info" / "0000.npz", PairOptions()), pairs=np.array([[0, 1]]))
    assert all(draw.xy2[0] < 60 for draw in draw_epoch([scene], 40, 1.5, 0, 1))
    assert any(draw.xy2[0] >= 60 for draw in draw_epoch([scene], 40, 3.5, 0, 1))


def contradicting(root, ratio):
    """A scene whose matrices say that 0 and 1 are of one scale, and whose points say that they differ by a ratio."""
    info = write_plane_scene(root)
    depths = info.normalised_depths.copy()
    depths[info.image_ptr[1] :] *= ratio
    write_scene_info(root / "info" / "0000.npz", replace(info, normalised_depths=depths))
    return replace(load_scene(root / "info" / "0000.npz", PairOptions()), pairs=np.array([[0, 1]]))


def test_a_pair_that_contradicts_its_points_is_left_out_and_told(tmp_path, caplog):
    assert draw_epoch([contradicting(tmp_path, 3.0)], 2, 1.5, 0, 1) == []
    assert "0000.npz contradicts itself, so pairs are left out: 0000_0.png - 0000_1.png share no point" in caplog.text


def test_rounding_is_no_contradiction(tmp_path):
    assert len(draw_epoch([contradicting(tmp_path, 1.5 * (1 + 1e-12))], 2, 1.5, 0, 1)) == 2
