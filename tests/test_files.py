import fcntl
import os
import threading

import h5py
import pytest

from d2sfm.files import open_hdf5, read_toml, replacing, replacing_file, replacing_folder
from d2sfm.parts import part_path


@pytest.mark.parametrize("sync", [False, True])
def test_a_file_is_replaced_when_the_block_ends(tmp_path, sync):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with replacing(path, sync=sync) as stream:
        stream.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_failed_block_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def cut_off():
        with replacing(path) as stream:
            stream.write(b"new")
            raise RuntimeError("cut off")

    with pytest.raises(RuntimeError, match="cut off"):
        cut_off()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "nowhere" / "a.bin"):
        pass


def test_writers_that_open_files_themselves_get_a_name(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with replacing_file(path) as part:
        assert not part.exists()
        part.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_folder_gets_its_name_when_all_is_in_it(tmp_path):
    killed = part_path(tmp_path / "a.mp4")
    killed.mkdir()
    killed.with_suffix(".lock").touch()
    with replacing_folder(tmp_path / "a.mp4") as part:
        (part / "1.jpg").touch()
        assert not killed.exists()
    assert os.listdir(tmp_path) == ["a.mp4"]
    assert os.listdir(tmp_path / "a.mp4") == ["1.jpg"]


def test_a_folder_that_fails_or_comes_too_late_leaves_nothing(tmp_path):
    def fail():
        with replacing_folder(tmp_path / "a") as part:
            (part / "1.jpg").touch()
            raise RuntimeError

    def come_late():
        with replacing_folder(tmp_path / "b"):
            (tmp_path / "b").mkdir()
            (tmp_path / "b" / "theirs.jpg").touch()

    with pytest.raises(RuntimeError):
        fail()
    with pytest.raises(OSError, match="not empty"):
        come_late()
    assert os.listdir(tmp_path) == ["b"]
    assert os.listdir(tmp_path / "b") == ["theirs.jpg"]


def test_threads_that_write_at_once_leave_the_whole_file_of_one(tmp_path):
    path, contents = tmp_path / "a.bin", [bytes([number]) * 1000 for number in range(4)]
    barrier, found = threading.Barrier(len(contents)), []

    def write(content):
        with replacing(path) as stream:
            barrier.wait(30)
            stream.write(content[:500])
            stream.flush()
            barrier.wait(30)
            stream.write(content[500:])
        found.append(path.read_bytes())

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == len(contents)
    assert set(found) <= set(contents)
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_byte_order_mark_is_no_part_of_a_file_of_options(tmp_path):
    (tmp_path / "a.toml").write_text("[extract]\nmax_edge = 64\n", encoding="utf-8-sig")
    assert read_toml(tmp_path / "a.toml") == {"extract": {"max_edge": 64}}
    (tmp_path / "a.toml").write_bytes(b'only = "caf\xe9"')
    with pytest.raises(ValueError, match=r"a\.toml is not a text file in UTF-8: .* at byte 11"):
        read_toml(tmp_path / "a.toml")


def test_hdf5_is_read_and_written_where_the_file_system_has_no_locks(tmp_path, monkeypatch):
    """As in a network folder; a lock that somebody holds still counts."""
    path, opened = tmp_path / "a.h5", h5py.File
    opened(path, "w").close()

    def without_locks(path, mode, locking=None):
        if locking is None:
            raise OSError("Unable to synchronously open file (unable to lock file, errno = 37, error message = '...')")
        return opened(path, mode, locking=locking)

    with monkeypatch.context() as patch, path.open("rb") as holder:
        patch.setattr(h5py, "File", without_locks)
        fcntl.flock(holder, fcntl.LOCK_EX)  # which is not asked for
        with open_hdf5(path, "r+") as file:
            file["a"] = 1
        with open_hdf5(path, "r") as file:
            assert file["a"][()] == 1
    with path.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            open_hdf5(path, "r")
    with pytest.raises(FileNotFoundError):
        open_hdf5(tmp_path / "none.h5", "r")
