"""Parts and what becomes of them where their writer is killed."""

import errno
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

import pytest

from d2sfm import parts
from d2sfm.files import replacing
from d2sfm.parts import finish_putting, part_of, part_path, put_in_place, scratch_folder


@pytest.fixture(autouse=True)
def anew(monkeypatch):
    """As a process that has written nothing yet."""
    monkeypatch.setattr(parts, "_tidied", set())


def killed(function, *arguments):
    """Call it in a process that ends inside of it, with nothing put in order."""
    if (child := os.fork()) == 0:
        function(*arguments)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def write_half(path, kind):
    with part_of(path) as part:
        if kind == "folder":
            (part / "0").mkdir(parents=True)
            (part / "0" / "cameras.bin").write_bytes(b"half")
        else:
            part.write_bytes(b"half")
        if kind == "database":
            Path(f"{part}-wal").write_bytes(b"half")
        os._exit(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("kind", ["file", "folder", "database"])
def test_parts_of_killed_runs_go_and_those_of_living_ones_stay(tmp_path, kind):
    killed(write_half, tmp_path / "a.bin", kind)
    assert len(os.listdir(tmp_path)) == (3 if kind == "database" else 2)
    strangers = [".a.bin.part", ".a.bin.0123456789abcdef.part", "a.bin.lock"]
    for name in strangers:
        (tmp_path / name).write_bytes(b"mine")
    with part_of(tmp_path / "b.bin") as living:
        living.write_bytes(b"at work")
        parts._tidied.clear()
        with replacing(tmp_path / "a.bin") as stream:
            stream.write(b"new")
        assert living.read_bytes() == b"at work"
    assert sorted(os.listdir(tmp_path)) == sorted([*strangers, "a.bin"])


def test_parts_of_another_computer_stay_for_a_day(tmp_path):
    lock, part = (tmp_path / f".a.bin.{'0' * 16}.{kind}" for kind in ("lock", "part"))
    lock.touch()
    part.write_bytes(b"at work, with a lock that is not seen here")
    for age_s, stays in ((0, True), (80_000, True), (90_000, False)):
        os.utime(lock, (lock.stat().st_atime, time.time() - age_s))
        parts._tidied.clear()
        with replacing(tmp_path / "b.bin") as stream:
            stream.write(b"new")
        assert part.exists() == lock.exists() == stays


def write_half_of_scratch():
    with scratch_folder() as folder:
        (folder / "copy.png").write_bytes(b"blank")
        os._exit(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_killed_run_leaves_no_scratch_folder_for_long(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed(write_half_of_scratch)
    assert len(os.listdir(tmp_path)) == 2
    with scratch_folder() as folder:
        assert folder.stat().st_mode & 0o077 == 0
        assert len(os.listdir(tmp_path)) == 2
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["a" * 255, "ü" * 127, "東" * 80 + ".features.npz", "a.b"])
def test_names_as_long_as_they_may_be(tmp_path, name):
    with replacing(tmp_path / name) as stream:
        stream.write(b"new")
    assert os.listdir(tmp_path) == [name]
    assert part_path(tmp_path / name).name.encode().decode().startswith(f".{name[:20]}")


def test_what_fails_names_the_file_and_the_reason(tmp_path):
    path = tmp_path / "a.bin"
    full = f"^{re.escape(str(path))} can't be written: No space left on device$"
    with pytest.raises(OSError, match=full), replacing(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    path.mkdir()
    folder = f"^{re.escape(str(path))} can't be written: Is a directory$"
    with pytest.raises(IsADirectoryError, match=folder), replacing(path):
        pass
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: '/nowhere/b'"), replacing(tmp_path / "b"):
        Path("/nowhere/b").read_bytes()  # of another file
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_is_no_file_is_not_replaced(tmp_path):
    """As root, a run would otherwise leave a file in place of /dev/null."""
    os.mkfifo(tmp_path / "pipe")
    refused = pytest.raises(ValueError, match="pipe is a device or a pipe, expected the name of a file")
    with refused, replacing(tmp_path / "pipe"):
        pass
    assert (tmp_path / "pipe").is_fifo()
    assert os.listdir(tmp_path) == ["pipe"]


class Killed(BaseException):
    pass


def kill_at(monkeypatch, step, is_after):
    """Let the process end before or after a step of those that change what is on the disk."""
    steps = iter(range(1, 100))

    def counted(real):
        def call(*arguments, **options):
            number = next(steps)
            if number == step and not is_after:
                raise Killed
            real(*arguments, **options)
            if number == step:
                raise Killed

        return call

    for owner, name in ((Path, "rename"), (Path, "mkdir"), (Path, "rmdir"), (parts, "_remove")):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))


def models_in(folder):
    return {path.name: (path / "cameras.bin").read_text() for path in folder.iterdir() if path.name.isdecimal()}


def made(folder, content, count):
    for number in range(count):
        (folder / str(number)).mkdir(parents=True)
        (folder / str(number) / "cameras.bin").write_text(content)


@pytest.mark.parametrize(("old", "new"), [(1, 1), (3, 1), (1, 3), (0, 2)])
@pytest.mark.parametrize("is_after", [False, True])
def test_a_kill_at_any_step_leaves_the_old_ones_or_the_new_ones(tmp_path, monkeypatch, old, new, is_after):
    for step in range(1, 100):
        output, was_killed = tmp_path / str(step), False
        made(output, "old", old)
        made(output / "entries", "new", new)
        (output / "notes.txt").write_text("mine")
        there = [output / str(number) for number in range(old)]
        with monkeypatch.context() as patch:
            kill_at(patch, step, is_after)
            try:
                put_in_place(output / "entries", there, "models")
            except Killed:
                was_killed = True
        finish_putting(output, [path for path in there if path.exists()], "models")
        shutil.rmtree(output / "entries", ignore_errors=True)
        found = models_in(output)
        assert found in ({str(k): "old" for k in range(old)}, {str(k): "new" for k in range(new)})
        assert {path.name for path in output.iterdir()} == {*found, "notes.txt"}
        if not was_killed:
            assert step > 5
            assert set(found.values()) == {"new"}
            return
    raise AssertionError("it does not come to its end")
