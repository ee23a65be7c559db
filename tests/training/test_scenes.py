import shutil

import pytest
from support.helpers import write_plane_scene

from d2sfm.options import PairOptions
from d2sfm.training.scenes import load_scenes


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
    assert "is no scene info" in scenes.left_out["0001"]
    assert "no scene info" in scenes.left_out["0002"]


def test_no_pair_within_the_limits(root):
    with pytest.raises(ValueError, match=r"from 2 scenes; 0000: no pair with an overlap of 0.5 to 0.9$"):
        load(root, "0000", "0001", max_overlap=0.9)


def test_scenes_that_are_not_those_of_the_folder(root):
    expected = r"from 1 scenes; 0404: no scene info .*holds 2 others, as 0000: list them .*--train-scenes"
    with pytest.raises(ValueError, match=expected):
        load(root, "0404")


def test_scene_info_of_another_dataset(root, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ValueError, match=r"0000.npz is of another dataset: it names photographs/0000_0.png"):
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
