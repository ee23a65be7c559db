import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.published_scene_info import ARRAYS, Touch, objects, published_arrays

from d2sfm.training.scene_info import SCENE_KEYS, SceneInfo
from d2sfm.training.scene_info_file import read_scene_info, write_scene_info

SCENE = SceneInfo(**ARRAYS)


def assert_same(a, b):
    for key in SCENE_KEYS:
        assert getattr(a, key).dtype.kind == getattr(b, key).dtype.kind
        np.testing.assert_array_equal(getattr(a, key), getattr(b, key), err_msg=key)


def test_a_scene_comes_back_bit_for_bit_and_the_folder_is_made(tmp_path):
    path = tmp_path / "new" / "folder" / "0000.npz"
    write_scene_info(path, SCENE)
    assert_same(read_scene_info(path), SCENE)
    assert [entry.name for entry in path.parent.iterdir()] == ["0000.npz"]


def test_the_file_has_exactly_the_keys_and_no_pickle(tmp_path):
    write_scene_info(tmp_path / "0.npz", SCENE)
    with np.load(tmp_path / "0.npz", allow_pickle=False) as archive:
        assert set(archive.files) == set(ARRAYS)
        assert all(archive[key].dtype != object for key in archive.files)


def test_a_scene_without_images_comes_back(tmp_path):
    empty = {key: array[:0, :0] if key.endswith(("matrix", "angles")) else array[:0] for key, array in ARRAYS.items()}
    nothing = SceneInfo(**{**empty, "image_ptr": np.array([0])})
    write_scene_info(tmp_path / "0.npz", nothing)
    assert_same(read_scene_info(tmp_path / "0.npz"), nothing)
    assert nothing.has_depth.shape == (0,)


def test_the_published_layout_is_refused_without_unpickling(tmp_path):
    np.savez(tmp_path / "0.npz", **published_arrays(marker=tmp_path / "ran"))
    with pytest.raises(ValueError, match=r"0\.npz has the published layout.* run code.*--allow-pickle"):
        read_scene_info(tmp_path / "0.npz")
    assert not (tmp_path / "ran").exists()


def test_the_published_layout_is_converted_on_request(tmp_path):
    np.savez(tmp_path / "0.npz", **published_arrays())
    found = read_scene_info(tmp_path / "0.npz", allow_pickle=True)
    # The published layout does not name images without depth.
    paths = np.array(["Undistorted_SfM/0/images/b.jpg", "Undistorted_SfM/0/images/a.jpg", ""])
    assert_same(found, replace(SCENE, image_paths=paths, image_names=np.array(["b.jpg", "a.jpg", ""])))


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
    write_scene_info(path, SCENE)
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
        with pytest.raises(ValueError, match=r"0\.npz is (damaged|not scene info)") as error:
            read_scene_info(path, allow_pickle=allow_pickle)
        assert "\n" not in str(error.value)


def test_a_file_that_unpacks_to_much_more_is_refused_before_memory_is_taken(tmp_path, monkeypatch):
    points = {"points3D_ids": np.arange(200_000), "points2D_xy": np.zeros((200_000, 2))}
    image_ptr, depths = np.array([0, 0, 0, 200_000]), np.full(200_000, np.nan)
    lengths = np.diff(image_ptr)
    arrays = {**ARRAYS, **points, "normalised_depths": depths, "image_ptr": image_ptr, "n_points3D": lengths}
    np.savez_compressed(tmp_path / "0.npz", **{**arrays, "points3D_ids": np.zeros(200_000, np.int64)})
    with monkeypatch.context() as patch:
        patch.setattr("d2sfm.files.ALWAYS_UNPACKED", 0)
        patch.setattr(np.lib.format, "read_array", None)
        with pytest.raises(ValueError, match=r"0\.npz is damaged: .* would unpack to"):
            read_scene_info(tmp_path / "0.npz")
    np.savez_compressed(tmp_path / "0.npz", **arrays)  # numbers that differ
    assert_same(read_scene_info(tmp_path / "0.npz"), SceneInfo(**arrays))


def test_numbers_of_the_other_byte_order_are_read(tmp_path):
    np.savez(tmp_path / "0.npz", **{key: array.astype(array.dtype.newbyteorder(">")) for key, array in ARRAYS.items()})
    found = read_scene_info(tmp_path / "0.npz")
    assert_same(found, SCENE)
    assert all(getattr(found, key).dtype.isnative for key in SCENE_KEYS)


def test_a_member_that_is_no_array_is_refused(tmp_path):
    write_scene_info(tmp_path / "whole.npz", SCENE)
    with zipfile.ZipFile(tmp_path / "whole.npz") as whole, zipfile.ZipFile(tmp_path / "0.npz", "w") as changed:
        for name in whole.namelist():
            changed.writestr(name, b"no array" if name == "poses.npy" else whole.read(name))
    with pytest.raises(ValueError, match=r"0\.npz is damaged: poses is not an array"):
        read_scene_info(tmp_path / "0.npz")


def test_a_scene_info_whose_arrays_contradict_each_other_is_refused(tmp_path):
    np.savez(tmp_path / "0.npz", **{**ARRAYS, "n_points3D": np.array([1, 2, 2])})
    with pytest.raises(ValueError, match=r"0\.npz contradicts itself: n_points3D"):
        read_scene_info(tmp_path / "0.npz")


def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "0.npz"
    write_scene_info(path, SCENE)
    before = path.read_bytes()

    def interrupted(stream, **arrays):
        stream.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_scene_info(path, SCENE)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_reading_needs_neither_pycolmap_nor_torch():
    code = "import sys, d2sfm.training.scene_info_file; print(sorted({'pycolmap', 'torch'} & set(sys.modules)))"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.photographs
def test_the_golden_scene_is_read_and_written_again(shared_data, tmp_path):
    golden = read_scene_info(shared_data.parent / "golden" / "mini_megadepth_scene_info.npz")
    write_scene_info(tmp_path / "0.npz", golden)
    assert_same(read_scene_info(tmp_path / "0.npz"), golden)
    assert golden.has_depth.all()
