import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.published_scene_info import ARRAYS, Touch, objects, published_arrays

from d2sfm.training.scene_info import SCENE_KEYS, SceneInfo, read_scene_info, write_scene_info


def scene_info(**changes):
    return SceneInfo(**{**ARRAYS, **changes})


def changed(name, index, value):
    array = ARRAYS[name].copy()
    array[index] = value
    return {name: array}


def assert_same(a, b):
    for key in SCENE_KEYS:
        assert getattr(a, key).dtype.kind == getattr(b, key).dtype.kind
        np.testing.assert_array_equal(getattr(a, key), getattr(b, key), err_msg=key)


def test_a_scene_comes_back_bit_for_bit_and_the_folder_is_made(tmp_path):
    path = tmp_path / "new" / "folder" / "0000.npz"
    write_scene_info(path, scene_info())
    assert_same(read_scene_info(path), scene_info())
    assert [entry.name for entry in path.parent.iterdir()] == ["0000.npz"]


def test_the_file_has_exactly_the_keys_and_no_pickle(tmp_path):
    write_scene_info(tmp_path / "0.npz", scene_info())
    with np.load(tmp_path / "0.npz", allow_pickle=False) as archive:
        assert set(archive.files) == set(ARRAYS)
        assert all(archive[key].dtype != object for key in archive.files)


def test_scenes_without_images_and_without_points_are_shapes(tmp_path):
    empty = {key: array[:0, :0] if key.endswith(("matrix", "angles")) else array[:0] for key, array in ARRAYS.items()}
    nothing = SceneInfo(**{**empty, "image_ptr": np.array([0])})
    write_scene_info(tmp_path / "0.npz", nothing)
    assert_same(read_scene_info(tmp_path / "0.npz"), nothing)
    assert nothing.has_depth.shape == (0,)
    pointless = {key: ARRAYS[key][:0] for key in ("points3D_ids", "points2D_xy", "normalised_depths")}
    info = scene_info(**pointless, n_points3D=np.zeros(3, np.int64), image_ptr=np.zeros(4, np.int64))
    assert [array.shape for array in info.points(1)] == [(0,), (0, 2), (0,)]


def test_points_are_views_of_one_image():
    info = scene_info()
    ids, xy, depths = info.points(0)
    np.testing.assert_array_equal(ids, [3, 8])
    np.testing.assert_array_equal(xy, [[0.25, 1.25], [2.25, 3.25]])
    np.testing.assert_array_equal(depths, [0.01, 0.02])
    assert np.shares_memory(ids, info.points3D_ids)
    np.testing.assert_array_equal(info.has_depth, [True, True, False])
    for index in (-1, 3):
        with pytest.raises(ValueError, match="between 0 and 2"):
            info.points(index)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"poses": np.zeros((2, 4, 4))}, r"poses must be float64 \(3, 4, 4\), found float64 \(2, 4, 4\)"),
        ({"angles": np.zeros((3, 3), np.float32)}, "angles must be float64"),
        ({"image_paths": np.array(["a", None, ""], object)}, "image_paths must be str_"),
        ({"points2D_xy": np.zeros((5, 3))}, "points2D_xy"),
        ({"image_ptr": np.array([0, 2, 3, 4])}, "image_ptr must rise from 0 to the 5"),
        ({"image_ptr": np.array([1, 2, 3, 5])}, "image_ptr must rise"),
        ({"image_ptr": np.array([0, 3, 2, 5])}, "image_ptr must rise"),
        ({"n_points3D": np.array([1, 2, 2])}, "n_points3D"),
        (changed("points3D_ids", 1, 3), "must ascend"),
        (changed("points3D_ids", 4, 1), "must ascend"),
        (changed("image_paths", 0, ""), "image_paths must be empty"),
        (changed("intrinsics", (1, 0, 0), np.nan), "intrinsics of a.jpg"),
        (changed("poses", (0, 2, 3), np.inf), "poses of b.jpg"),
        (changed("points2D_xy", (2, 1), np.nan), "points2D_xy must be finite, found 1"),
        (changed("intrinsics", (0, 1, 1), 0), "intrinsics or poses of b.jpg are none"),
        (changed("intrinsics", (1, 1, 0), 1), "intrinsics or poses of a.jpg are none"),
        (changed("intrinsics", (0, 2, 2), 2), "intrinsics or poses of b.jpg are none"),
        (changed("poses", (0, 3, 3), 0), "intrinsics or poses of b.jpg are none"),
        (changed("normalised_depths", 2, -0.1), "found 1 that are not, the first in a.jpg"),
        (changed("normalised_depths", 0, np.nan), "the first in b.jpg"),
    ],
)
def test_arrays_that_contradict_each_other_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        scene_info(**changes)


def test_ids_need_not_ascend_from_one_image_to_the_next_past_an_image_without_points():
    info = scene_info(n_points3D=np.array([2, 0, 3]), image_ptr=np.array([0, 2, 2, 5]), points3D_ids=np.arange(5))
    assert info.points(1)[0].size == 0
    with pytest.raises(ValueError, match="must ascend"):
        replace(info, points3D_ids=np.array([3, 8, 8, 2, 9]))


def test_the_published_layout_is_refused_without_unpickling(tmp_path):
    np.savez(tmp_path / "0.npz", **published_arrays(marker=tmp_path / "ran"))
    with pytest.raises(ValueError, match=r"0\.npz has the published layout.* run code .*--allow-pickle"):
        read_scene_info(tmp_path / "0.npz")
    assert not (tmp_path / "ran").exists()


def test_the_published_layout_is_converted_on_request(tmp_path):
    np.savez(tmp_path / "0.npz", **published_arrays())
    found = read_scene_info(tmp_path / "0.npz", allow_pickle=True)
    # The published layout does not name images without depth.
    paths = np.array(["Undistorted_SfM/0/images/b.jpg", "Undistorted_SfM/0/images/a.jpg", ""])
    assert_same(found, scene_info(image_paths=paths, image_names=np.array(["b.jpg", "a.jpg", ""])))


def test_our_layout_is_never_unpickled_even_on_request(tmp_path):
    np.savez(tmp_path / "0.npz", **{**ARRAYS, "angles": objects([Touch(tmp_path / "ran"), 1, 2])})
    with pytest.raises(ValueError, match="is damaged"):
        read_scene_info(tmp_path / "0.npz", allow_pickle=True)
    assert not (tmp_path / "ran").exists()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no scene info .*0\.npz"):
        read_scene_info(tmp_path / "0.npz")


@pytest.mark.parametrize("allow_pickle", [False, True])
def test_damaged_and_foreign_files_are_named(tmp_path, allow_pickle):
    path = tmp_path / "0.npz"
    write_scene_info(path, scene_info())
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(ARRAYS["points2D_xy"].tobytes()) + 3] ^= 1
    np.savez(tmp_path / "other.npz", keypoints=np.zeros(3))
    for content in (
        whole[: len(whole) // 2],
        bytes(flipped),
        b"",
        b"PK\x03\x04",
        (tmp_path / "other.npz").read_bytes(),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"0\.npz is (damaged|no scene info)") as error:
            read_scene_info(path, allow_pickle=allow_pickle)
        assert "\n" not in str(error.value)


def test_a_file_that_unpacks_to_much_more_is_refused_before_memory_is_taken(tmp_path, monkeypatch):
    points = {"points3D_ids": np.arange(200_000), "points2D_xy": np.zeros((200_000, 2))}
    image_ptr, depths = np.array([0, 0, 0, 200_000]), np.full(200_000, np.nan)
    lengths = np.diff(image_ptr)
    arrays = {**ARRAYS, **points, "normalised_depths": depths, "image_ptr": image_ptr, "n_points3D": lengths}
    np.savez_compressed(tmp_path / "0.npz", **{**arrays, "points3D_ids": np.zeros(200_000, np.int64)})
    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format, "read_array", None)
        with pytest.raises(ValueError, match=r"0\.npz is damaged: .* would unpack to"):
            read_scene_info(tmp_path / "0.npz")
    np.savez_compressed(tmp_path / "0.npz", **arrays)  # numbers that differ
    assert_same(read_scene_info(tmp_path / "0.npz"), SceneInfo(**arrays))


def test_numbers_of_the_other_byte_order_are_read(tmp_path):
    np.savez(tmp_path / "0.npz", **{key: array.astype(array.dtype.newbyteorder(">")) for key, array in ARRAYS.items()})
    found = read_scene_info(tmp_path / "0.npz")
    assert_same(found, scene_info())
    assert all(getattr(found, key).dtype.isnative for key in SCENE_KEYS)


def test_a_member_that_is_no_array_is_refused(tmp_path):
    write_scene_info(tmp_path / "whole.npz", scene_info())
    with zipfile.ZipFile(tmp_path / "whole.npz") as whole, zipfile.ZipFile(tmp_path / "0.npz", "w") as changed:
        for name in whole.namelist():
            changed.writestr(name, b"no array" if name == "poses.npy" else whole.read(name))
    with pytest.raises(ValueError, match=r"0\.npz is damaged: poses is no array"):
        read_scene_info(tmp_path / "0.npz")


def test_a_scene_info_whose_arrays_contradict_each_other_is_refused(tmp_path):
    np.savez(tmp_path / "0.npz", **{**ARRAYS, "n_points3D": np.array([1, 2, 2])})
    with pytest.raises(ValueError, match=r"0\.npz contradicts itself: n_points3D"):
        read_scene_info(tmp_path / "0.npz")


def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "0.npz"
    write_scene_info(path, scene_info())
    before = path.read_bytes()

    def interrupted(stream, **arrays):
        stream.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_scene_info(path, scene_info())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_reading_needs_neither_pycolmap_nor_torch():
    code = "import sys, d2sfm.training.scene_info; print(sorted({'pycolmap', 'torch'} & set(sys.modules)))"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.photographs
def test_the_golden_scene_is_read_and_written_again(shared_data, tmp_path):
    golden = read_scene_info(shared_data.parent / "golden" / "mini_megadepth_scene_info.npz")
    write_scene_info(tmp_path / "0.npz", golden)
    assert_same(read_scene_info(tmp_path / "0.npz"), golden)
    assert golden.has_depth.all()
