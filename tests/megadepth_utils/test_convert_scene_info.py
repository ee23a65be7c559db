import numpy as np
import pytest
from support.helpers import write_plane_scene

from d2sfm.training.scene_info import SCENE_KEYS
from d2sfm.training.scene_info_file import read_scene_info
from megadepth_utils.convert_scene_info import main


def objects(values) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


@pytest.fixture
def published(tmp_path):
    """A scene of ours, written in the published layout; and ours."""
    info = write_plane_scene(tmp_path)
    views = [info.points(k) for k in range(len(info.image_names))]
    path = tmp_path / "published" / "0000.npz"
    path.parent.mkdir()
    np.savez(
        path,
        image_paths=objects([f"a/images/{name}" for name in info.image_names]),
        depth_paths=objects(info.depth_paths.tolist()),
        intrinsics=objects(list(info.intrinsics)),
        poses=objects(list(info.poses)),
        overlap_matrix=info.overlap_matrix,
        scale_ratio_matrix=info.scale_ratio_matrix,
        angles=info.angles,
        n_points3D=info.n_points3D,
        points3D_id_to_2D=objects([{int(k): tuple(xy) for k, xy in zip(ids, at, strict=True)} for ids, at, _ in views]),
        points3D_id_to_ndepth=objects([dict(zip(ids.tolist(), depth, strict=True)) for ids, _, depth in views]),
    )
    return path, info


def test_a_published_scene_becomes_ours(published, tmp_path, capsys):
    path, info = published
    assert main([str(path), "--output-path", str(tmp_path / "ours"), "--allow-pickle"]) == 0
    found = read_scene_info(tmp_path / "ours" / "0000.npz")
    for key in SCENE_KEYS:
        if key != "image_paths":
            np.testing.assert_array_equal(getattr(found, key), getattr(info, key), err_msg=key)
    assert capsys.readouterr().out == "1 of 1 scene converted\n"


def test_points_behind_a_camera_are_left_out(published, tmp_path):
    path, info = published
    with np.load(path, allow_pickle=True) as archive:
        arrays = dict(archive)
    depths = arrays["points3D_id_to_ndepth"]
    first, second, *_ = depths[1]
    depths[1][first], depths[1][second] = -0.1, float("nan")
    np.savez(path, **arrays)
    assert main([str(path), "--output-path", str(tmp_path / "ours"), "--allow-pickle"]) == 0
    found = read_scene_info(tmp_path / "ours" / "0000.npz")
    assert (info.n_points3D - found.n_points3D).tolist() == [0, 2, 0]
    assert not {first, second} & set(found.points(1)[0].tolist())


def test_nothing_is_unpickled_without_leave(published, tmp_path, capsys):
    assert main([str(published[0]), "--output-path", str(tmp_path / "ours")]) == 2
    assert "has the published layout, whose pickled objects can run code" in capsys.readouterr().err
    assert not (tmp_path / "ours").exists()


def test_what_fails_is_told_and_the_rest_is_done(published, tmp_path, capsys):
    files = [str(published[0]), str(tmp_path / "nowhere.npz")]
    assert main([*files, "--output-path", str(tmp_path / "ours"), "--allow-pickle"]) == 1
    assert "no scene info" in capsys.readouterr().err
    assert main([files[0], "--output-path", str(tmp_path / "ours"), "--allow-pickle"]) == 2
    assert "exists already" in capsys.readouterr().err
