import logging

import numpy as np
import pytest
from PIL import Image
from support.undistorted_model import POINTS, SEEN, write_undistorted_model

from d2sfm.training.scene_info import SCENE_KEYS
from d2sfm.training.scene_info_file import read_scene_info
from megadepth_utils import preprocess_scene as module
from megadepth_utils.preprocess_scene import main, preprocess_scene
from megadepth_utils.scene_files import megadepth_files, workspace_files
from megadepth_utils.undistortion import undistort_scene

DEPTHS = "phoenix/S6/zl548/MegaDepth_v1/0007/dense0/depths"
DEPTH_BYTES = 100 * 1024


def write_file(path, size_bytes):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size_bytes))


def write_picture(path, size=(120, 80)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


@pytest.fixture
def root(tmp_path):
    """A MegaDepth of one scene; all three images have depth."""
    root = tmp_path / "Mega Depth"
    write_undistorted_model(root / "Undistorted_SfM/0007/sparse")
    for name in SEEN:
        write_picture(root / "Undistorted_SfM/0007/images" / name)
    for stem in "abc":
        write_file(root / DEPTHS / f"{stem}.h5", DEPTH_BYTES)
    return root


@pytest.fixture
def workspace(tmp_path):
    """An undistorted workspace with an image in a subfolder; its depth maps are small."""
    workspace = tmp_path / "projects" / "my house"
    write_undistorted_model(workspace / "sparse")
    for name in SEEN:
        write_picture(workspace / "images" / name)
        write_file(workspace / "stereo/depth_maps" / f"{name}.geometric.bin", 50)
    return workspace


def test_a_scene_is_what_its_model_says(root):
    info = preprocess_scene(megadepth_files(root, "0007"))
    images = "Undistorted_SfM/0007/images"
    np.testing.assert_array_equal(info.image_names, ["sub/b.jpg", "a.jpg", "c.jpg"])
    np.testing.assert_array_equal(info.image_paths, [f"{images}/sub/b.jpg", f"{images}/a.jpg", f"{images}/c.jpg"])
    np.testing.assert_array_equal(info.depth_paths, [f"{DEPTHS}/b.h5", f"{DEPTHS}/a.h5", f"{DEPTHS}/c.h5"])
    np.testing.assert_allclose(info.angles, [[0, 30, 20], [30, 0, 50], [20, 50, 0]], atol=1e-9)
    # b sees the points 1, 2, 4; a sees 1, 5; c sees 1, 2, 3, of them 2 twice.
    np.testing.assert_array_equal(info.n_points3D, [3, 2, 3])
    np.testing.assert_array_equal(info.points(2)[0], [1, 2, 3])
    np.testing.assert_allclose(info.overlap_matrix, [[-1, 1 / 3, 2 / 3], [1 / 2, -1, 1 / 2], [2 / 3, 1 / 3, -1]])
    np.testing.assert_allclose(info.points(0)[2], [5 / 120, 6 / 120, 8 / 120])
    assert info.scale_ratio_matrix[0, 1] == pytest.approx(1 / np.cos(np.radians(30)))


@pytest.mark.parametrize("reason", ["missing", "mask", "no picture", "broken picture", "other size"])
def test_images_without_usable_depth_keep_their_row_and_points(root, reason, caplog):
    depth = root / DEPTHS / "a.h5"
    if reason == "missing":
        depth.unlink()
    elif reason == "mask":
        write_file(depth, DEPTH_BYTES - 1)
    elif reason == "no picture":
        (root / "Undistorted_SfM/0007/images/a.jpg").unlink()
    elif reason == "broken picture":
        write_file(root / "Undistorted_SfM/0007/images/a.jpg", 100)
    else:
        write_picture(root / "Undistorted_SfM/0007/images/a.jpg", (240, 160))
    with caplog.at_level(logging.INFO, logger="megadepth_utils"):
        info = preprocess_scene(megadepth_files(root, "0007"))
    assert "usable depth of 2 of 3 images" in caplog.text
    told = {"no picture": "a.jpg: missing", "broken picture": "a.jpg: no picture"}
    told["other size"] = "a.jpg: 240 x 160, its camera 120 x 80"
    assert told.get(reason, "0 depth maps" if reason == "mask" else "1 depth map ") in caplog.text
    np.testing.assert_array_equal(info.has_depth, [True, False, True])
    assert info.image_names[1] == "a.jpg"
    assert info.image_paths[1] == info.depth_paths[1] == ""
    for array in (info.intrinsics[1], info.poses[1], info.points(1)[2]):
        assert np.isnan(array).all()
    np.testing.assert_array_equal(info.points(1)[0], [1, 5])
    assert info.n_points3D[1] == 2
    for matrix in (info.overlap_matrix, info.scale_ratio_matrix, info.angles):
        assert (matrix[1] == -1).all()
        assert (matrix[:, 1] == -1).all()
    assert info.overlap_matrix[0, 2] == pytest.approx(2 / 3)


def test_a_scene_without_any_depth_is_one_line(root):
    for stem in "ab":
        (root / DEPTHS / f"{stem}.h5").unlink()
    write_file(root / DEPTHS / "c.h5", 10)
    with pytest.raises(RuntimeError, match="usable depth of 0 of 3 images: 2 depth maps missing, 1 smaller"):
        preprocess_scene(megadepth_files(root, "0007"))


def test_points_behind_a_camera_are_left_out_where_the_image_has_depth(tmp_path, root, caplog):
    points, whole = POINTS.copy(), preprocess_scene(megadepth_files(root, "0007"))
    points[4] = [0, 0, -4]  # only a.jpg observes it
    (root / "Undistorted_SfM/0007/sparse").rename(tmp_path / "old")
    write_undistorted_model(root / "Undistorted_SfM/0007/sparse", points=points)
    info = preprocess_scene(megadepth_files(root, "0007"))
    row = whole.image_names.tolist().index("a.jpg")
    assert (whole.n_points3D - info.n_points3D).tolist() == [int(k == row) for k in range(3)]
    assert np.nanmin(info.normalised_depths) > 0
    assert "1 of " in caplog.text
    assert "behind their camera, in 1 image (a.jpg)" in caplog.text
    (root / DEPTHS / "a.h5").unlink()
    unused = preprocess_scene(megadepth_files(root, "0007"))
    assert unused.has_depth.sum() == 2
    np.testing.assert_array_equal(unused.n_points3D, whole.n_points3D)


def test_an_image_without_points_overlaps_with_none(root, tmp_path):
    (root / "Undistorted_SfM/0007/sparse").rename(tmp_path / "old")
    write_undistorted_model(root / "Undistorted_SfM/0007/sparse", seen={**SEEN, "a.jpg": (None,)})
    info = preprocess_scene(megadepth_files(root, "0007"))
    np.testing.assert_array_equal(info.overlap_matrix[1], [0, -1, 0])
    np.testing.assert_array_equal(info.scale_ratio_matrix[1], [-1, -1, -1])
    assert info.angles[0, 1] == pytest.approx(30)


def test_a_workspace_has_paths_of_its_own_or_of_the_base_path(workspace, tmp_path):
    own = preprocess_scene(workspace_files(workspace))
    assert own.image_paths[0] == "images/sub/b.jpg"
    assert own.depth_paths[0] == "stereo/depth_maps/sub/b.jpg.geometric.bin"
    based = preprocess_scene(workspace_files(workspace, tmp_path))
    assert based.image_paths[1] == "projects/my house/images/a.jpg"
    assert based.depth_paths[1] == "projects/my house/stereo/depth_maps/a.jpg.geometric.bin"
    np.testing.assert_array_equal(own.overlap_matrix, based.overlap_matrix)


def test_the_command_writes_the_scene_and_one_line(root, tmp_path, capsys):
    out = tmp_path / "out" / "info"
    assert main(["--base-path", str(root), "--scene-id", "0007", "--output-path", str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{out / '0007.npz'}: 3 images, 3 with depth, 4 ordered pairs with overlap >= 0.5\n"
    read, made = read_scene_info(out / "0007.npz"), preprocess_scene(megadepth_files(root, "0007"))
    for key in SCENE_KEYS:
        np.testing.assert_array_equal(getattr(read, key), getattr(made, key))


def test_a_workspace_is_named_by_its_folder_or_its_id(workspace, tmp_path, monkeypatch):
    monkeypatch.chdir(workspace)
    assert main(["--workspace", ".", "--output-path", str(tmp_path / "out")]) == 0
    assert main(["--workspace", ".", "--scene-id", "house", "--output-path", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["house.npz", "my house.npz"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--base-path", "{root}"], "--base-path and --scene-id are needed, or --workspace"),
        (["--scene-id", "0007"], "--base-path and --scene-id are needed, or --workspace"),
        (["--base-path", "{root}", "--scene-id", "0008"], "no COLMAP model in"),
        (["--base-path", "{root}", "--scene-id", "../0007"], "must be the name of a folder, found '../0007'"),
        (["--workspace", "{root}", "--scene-id", ".."], "a scene id must be the name of a folder"),
        (["--workspace", "{root}", "--base-path", "{root}/x"], "must lie below the base path"),
        (["--workspace", "{root}"], "no COLMAP model in"),
    ],
)
def test_trouble_is_one_line_and_exit_code_2(root, tmp_path, capsys, arguments, message):
    given = [argument.format(root=root) for argument in arguments]
    assert main([*given, "--output-path", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert not (tmp_path / "out").exists()


def test_an_interrupt_is_exit_code_130_and_nothing_written(root, tmp_path, monkeypatch, capsys):
    def interrupted(files):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "read_undistorted_model", interrupted)
    arguments = ["--base-path", str(root), "--scene-id", "0007", "--output-path", str(tmp_path / "out")]
    assert main(arguments) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def assert_golden(root, shared_data):
    found = preprocess_scene(megadepth_files(root, "0000"))
    golden = read_scene_info(shared_data.parent / "golden" / "mini_megadepth_scene_info.npz")
    exact = ("image_names", "image_paths", "depth_paths", "n_points3D", "points3D_ids", "image_ptr")
    for key in SCENE_KEYS:
        a, b = getattr(found, key), getattr(golden, key)
        if key in exact:
            np.testing.assert_array_equal(a, b, err_msg=key)
        else:
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 if key == "angles" else 1e-6, err_msg=key)
    # Normalised depths are of the order of 1e-3: they must agree in their digits, too.
    np.testing.assert_allclose(found.normalised_depths, golden.normalised_depths, rtol=1e-6)


@pytest.mark.photographs
def test_the_golden_scene(shared_data):
    assert_golden(shared_data / "mini_megadepth", shared_data)


@pytest.mark.slow
@pytest.mark.photographs
def test_the_golden_scene_from_our_undistortion(shared_data, tmp_path):
    for folder in ("phoenix", "MegaDepth_v1_SfM"):
        (tmp_path / folder).symlink_to(shared_data / "mini_megadepth" / folder)
    undistort_scene(tmp_path, "0000", num_threads=1)
    assert_golden(tmp_path, shared_data)
