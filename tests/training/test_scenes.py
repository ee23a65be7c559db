import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.helpers import write_plane_scene

from d2sfm.options import PairOptions
from d2sfm.training.scenes import eligible_pairs, load_scenes


@pytest.fixture
def root(tmp_path):
    for name in ("0000", "0001"):
        write_plane_scene(tmp_path, name)
    return tmp_path


def load(root, *names, **options):
    return load_scenes(root / "info", list(names), root, PairOptions(**options))


def test_scenes_come_in_the_order_of_the_list(root):
    scenes = load(root, "0001", "0000")
    assert [scene.path.stem for scene in scenes.usable] == ["0001", "0000"]
    assert [len(scene.pairs) for scene in scenes.usable] == [6, 6]
    assert scenes.left_out == {}


def test_scenes_that_cannot_be_used_are_left_out_with_the_reason(root):
    (root / "info" / "0001.npz").write_bytes(b"no scene")
    scenes = load(root, "0000", "0001", "0002")
    assert [scene.path.stem for scene in scenes.usable] == ["0000"]
    assert "is not scene info" in scenes.left_out["0001"]
    assert "no scene info" in scenes.left_out["0002"]


def test_no_pair_within_the_limits(root):
    with pytest.raises(ValueError, match=r"from 2 scenes; 0000: no pair with an overlap of 0.5 to 0.9$"):
        load(root, "0000", "0001", max_overlap=0.9)


def test_scenes_that_are_not_those_of_the_folder(root):
    expected = r"from 1 scene; 0404: no scene info .*holds 2 other scenes, as 0000: list those .*--train-scenes"
    with pytest.raises(ValueError, match=expected):
        load(root, "0404")


def test_scene_info_of_another_dataset(root, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ValueError, match=r"0000.npz is of another dataset: its photographs/0000_0.png"):
        load_scenes(root / "info", ["0000"], other, PairOptions())


def test_a_scene_of_another_dataset_is_left_out_and_single_missing_photographs_are_not_that(root):
    (root / "photographs" / "0000_0.png").unlink()
    for k in range(3):
        (root / "photographs" / f"0001_{k}.png").unlink()
    scenes = load(root, "0000", "0001")
    assert [scene.path.stem for scene in scenes.usable] == ["0000"]
    assert "is of another dataset" in scenes.left_out["0001"]


@pytest.mark.parametrize(("missing", "message"), [("info", "scene info"), ("dataset", "dataset")])
def test_missing_folders(root, tmp_path, missing, message):
    folders = {"info": root / "info", "dataset": root}
    folders[missing] = tmp_path / "nowhere"
    with pytest.raises(FileNotFoundError, match=rf"no folder .*nowhere \({message}\)"):
        load_scenes(folders["info"], ["0000"], folders["dataset"], PairOptions())


def test_points_are_not_kept_in_memory(root):
    (scene,) = load(root, "0000").usable
    shutil.rmtree(root / "info")
    held = sum(getattr(scene, name).nbytes for name in ("intrinsics", "poses", "pairs"))
    assert held < 2000
    assert not hasattr(scene, "points")


@pytest.fixture
def info(tmp_path):
    return write_plane_scene(tmp_path, views=4)


@given(st.integers(0, 1000), st.floats(0, 1), st.floats(0, 1), st.sampled_from([1.0, 1.5, float("inf")]))
@settings(max_examples=examples(25))
def test_eligible_pairs_are_those_within_all_limits(tmp_path_factory, seed, one, other, max_scale_ratio):
    scene = write_plane_scene(tmp_path_factory.mktemp("scene"), views=6, size=(40, 40))
    generator = np.random.default_rng(seed)
    overlap = generator.choice([-1, 0, 0.25, 0.5, 1], (6, 6))
    ratio = np.where(overlap > 0, generator.choice([1.0, 1.4, 2.0], (6, 6)), -1)
    scene = replace(scene, overlap_matrix=overlap, scale_ratio_matrix=ratio)
    options = PairOptions(min_overlap=min(one, other), max_overlap=max(one, other), max_scale_ratio=max_scale_ratio)
    expected = [
        [i, j]
        for i in range(6)
        for j in range(6)
        if overlap[i, j] > 0
        and options.min_overlap <= overlap[i, j] <= options.max_overlap
        and ratio[i, j] <= max_scale_ratio
    ]
    assert eligible_pairs(scene, options).tolist() == expected


def test_both_orders_of_a_pair_count_by_their_own_overlap(info):
    overlap = info.overlap_matrix.copy()
    overlap[0, 1] = 0.3
    pairs = eligible_pairs(replace(info, overlap_matrix=overlap), PairOptions()).tolist()
    assert [1, 0] in pairs
    assert [0, 1] not in pairs


def test_an_overlap_of_0_is_no_pair_even_where_it_is_asked_for(info):
    none = replace(info, overlap_matrix=np.zeros((4, 4)), scale_ratio_matrix=np.full((4, 4), -1.0))
    assert eligible_pairs(none, PairOptions(min_overlap=0)).shape == (0, 2)
