import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.weights_server import CONTENT, USED, get, page, refused, stall, status

from d2sfm.network.weights import download
from d2sfm.network.weights.download import cache_folder


def test_the_first_use_fetches_and_records_and_later_ones_ask_nobody(site, cache):
    path = get()
    assert path == cache / "d2_tf.pth"
    assert path.read_bytes() == CONTENT
    assert json.loads((cache / "d2_tf.pth.json").read_text()) == {
        "size": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }
    assert sorted(os.listdir(cache)) == USED
    assert get() == path
    assert [path for path, _ in site.requests] == ["/files/d2_tf.pth"]


@pytest.mark.parametrize(
    ("torch_home", "xdg", "expected"),
    [
        ("/a/torch", "/b/cache", "/a/torch/d2sfm"),
        (None, "/b/cache", "/b/cache/d2sfm"),
        ("", "", "/a/home/.cache/d2sfm"),
        (None, None, "/a/home/.cache/d2sfm"),
        ("~/models", None, "/a/home/models/d2sfm"),
    ],
)
def test_the_cache_is_where_the_environment_says(monkeypatch, torch_home, xdg, expected):
    monkeypatch.setenv("HOME", "/a/home")
    for name, value in (("TORCH_HOME", torch_home), ("XDG_CACHE_HOME", xdg)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)


def test_offline_it_says_what_to_fetch_and_where_to_put_it(monkeypatch, cache):
    monkeypatch.setattr(download, "SITE", "http://weights.invalid/files")
    monkeypatch.setattr(download, "WAITS_S", (0.0, 600.0))  # a name that nobody knows is not asked for again
    message = refused(FileNotFoundError)
    assert message.startswith("no weights d2_tf: http://weights.invalid/files/d2_tf.pth: no connection (")
    assert message.endswith(f"fetch http://weights.invalid/files/d2_tf.pth by hand and put it at {cache / 'd2_tf.pth'}")
    assert os.listdir(cache) == ["d2_tf.pth.lock"]


def test_a_file_put_there_by_hand_is_used_and_recorded(site, cache):
    cache.mkdir(parents=True)
    (cache / "d2_tf.pth").write_bytes(CONTENT)
    assert get() == cache / "d2_tf.pth"
    assert json.loads((cache / "d2_tf.pth.json").read_text())["size"] == len(CONTENT)
    assert site.requests == []


def test_a_wrong_file_put_there_by_hand_is_told(site, cache):
    cache.mkdir(parents=True)
    (cache / "d2_tf.pth").write_bytes(b"<html>")
    expected = f"{cache / 'd2_tf.pth'} is no checkpoint: delete it to fetch it again"
    assert [refused(ValueError), refused(ValueError)] == [expected] * 2
    assert os.listdir(cache) == ["d2_tf.pth"]


@pytest.mark.parametrize("behaviour", [page, lambda handler: handler.begin(0)])
def test_an_answer_that_is_no_weights_gets_no_name(site, cache, behaviour):
    site.behaviours = [behaviour]
    message = refused(FileNotFoundError)
    assert f"{site.url}/d2_tf.pth: {cache / 'd2_tf.pth.part'} is no checkpoint; fetch" in message
    assert os.listdir(cache) == ["d2_tf.pth.lock"]
    assert len(site.requests) == 1


@pytest.mark.parametrize(
    ("change", "what"), [(lambda content: content[:-1], "size"), (lambda content: b"weights!" + content[8:], "sha256")]
)
def test_a_file_that_changed_since_its_first_use_is_told(site, cache, change, what):
    path = get()
    path.write_bytes(change(CONTENT))
    message = refused(ValueError)
    assert message.startswith(f"{path} has {what} ")
    assert f"delete the file to fetch it again, or delete {path}.json if" in message
    path.unlink()
    assert get().read_bytes() == CONTENT


def test_an_address_that_gives_another_file_than_at_first_use_is_passed_over(site, other, cache):
    get().unlink()
    other.content = CONTENT[:-8] + b"changed!"
    assert get(other.url).read_bytes() == CONTENT
    assert [len(server.requests) for server in (other, site)] == [1, 2]
    (cache / "d2_tf.pth").unlink()
    site.content = other.content
    message = refused(FileNotFoundError)
    assert f"{site.url}/d2_tf.pth: sha256 " in message
    assert f"delete {cache / 'd2_tf.pth.json'} if the new file is intended" in message
    (cache / "d2_tf.pth.json").unlink()
    assert get().read_bytes() == other.content


@pytest.mark.parametrize("record", ["", "{", "[]", "7", '"text"', "\udcff"])
def test_a_damaged_record_is_told(site, cache, record):
    path = get()
    Path(f"{path}.json").write_bytes(record.encode("utf-8", "surrogateescape"))
    assert str(path) in refused(ValueError)
    assert "delete" in refused(ValueError)


def test_weights_in_a_cache_that_cannot_be_written_are_good(site, cache, monkeypatch):
    cache.mkdir(parents=True)
    (cache / "d2_tf.pth").write_bytes(CONTENT)

    def refuse(*_):
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(download, "replacing", refuse)
    assert get() == cache / "d2_tf.pth"
    assert os.listdir(cache) == ["d2_tf.pth"]


def test_a_cache_that_cannot_be_made_is_told(site, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    message = refused(FileNotFoundError)
    assert f"{tmp_path / 'file' / 'd2sfm'} can't be written (Not a directory); set TORCH_HOME" in message
    assert site.requests == []


def test_a_folder_in_the_files_place_is_told(site, cache):
    (cache / "d2_tf.pth" / "something").mkdir(parents=True)
    assert "can't be written (Is a directory)" in refused(FileNotFoundError)


def test_a_full_disk_is_told_and_nothing_gets_the_name(site, cache):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        assert "can't be written (File too large)" in refused(FileNotFoundError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(cache) == ["d2_tf.pth.lock"]
    assert len(site.requests) == 1
    assert get().read_bytes() == CONTENT


def test_of_many_at_once_one_fetches(site, cache):
    found = []
    threads = [threading.Thread(target=lambda: found.append(get())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [cache / "d2_tf.pth"] * 8
    assert len(site.requests) == 1
    assert sorted(os.listdir(cache)) == USED


def test_of_many_at_once_the_next_one_tries_where_one_fails(site, cache):
    site.behaviours = [status(404)] * 3
    found, failed = [], []

    def try_it():
        try:
            found.append(get())
        except FileNotFoundError as error:
            failed.append(error)

    threads = [threading.Thread(target=try_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(found), len(failed), len(site.requests)) == (3, 3, 4)


def test_who_waits_for_a_process_that_is_killed_fetches_anew(site, cache, caplog):
    script = (
        "import sys\nfrom d2sfm.network.weights import download\ndownload.SITE = sys.argv[1]\n"
        "download.published_file('d2_tf', (), lambda path: None)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    site.behaviours = [stall(90_000)]
    killed = subprocess.Popen([sys.executable, "-c", script, site.url], env=environment, stderr=subprocess.DEVNULL)
    caplog.set_level("INFO", logger="d2sfm")
    try:
        part, deadline = cache / "d2_tf.pth.part", time.monotonic() + 60
        while not (part.exists() and part.stat().st_size):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        found = []
        waiting = threading.Thread(target=lambda: found.append(get()))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        assert len(site.requests) == 1
        assert "waiting for another process that fetches d2_tf.pth" in caplog.text
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    waiting.join(30)
    assert found == [cache / "d2_tf.pth"]
    assert found[0].read_bytes() == CONTENT
    assert sorted(os.listdir(cache)) == USED
