import hashlib
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import pytest
from support.helpers import textured_picture, write_plane_scene
from support.weights_server import FileServer, cut, deaf, page, redirect, running, stall, status, whole, without_length

from d2sfm.cli import main
from d2sfm.database import FeatureStore
from d2sfm.features.extractor import Extractor
from d2sfm.network.weights import download
from d2sfm.network.weights.download import cache_folder, published_file
from d2sfm.network.weights.load import BUNDLED, digest, load_weights
from d2sfm.options import ExtractionOptions, RefinementOptions
from d2sfm.options.training import TrainingOptions

CONTENT = b"weights " * 80_000  # in several pieces
USED = ["d2_tf.pth", "d2_tf.pth.json", "d2_tf.pth.lock"]  # what is in the cache after a fetch


def check(path):
    """Stands for reading a checkpoint."""
    if path.read_bytes()[:8] != b"weights ":
        raise ValueError(f"{path} is no checkpoint")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "home" / "d2sfm"


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(download, "WAITS_S", (0.0, 0.001, 0.002, 0.004))


@pytest.fixture
def site(monkeypatch):
    """The authors' site."""
    with running(FileServer(CONTENT)) as server:
        monkeypatch.setattr(download, "SITE", server.url)
        yield server


@pytest.fixture
def other():
    with running(FileServer(CONTENT)) as server:
        yield server


def get(*mirror, name="d2_tf"):
    return published_file(name, mirror, check)


def refused(kind, *mirror):
    """The message of the error, which is one line."""
    with pytest.raises(kind) as caught:
        get(*mirror)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


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


def test_each_name_is_a_file_of_its_own(site, cache):
    assert get(name="d2_tf_no_phototourism") == cache / "d2_tf_no_phototourism.pth"
    assert [path for path, _ in site.requests] == ["/files/d2_tf_no_phototourism.pth"]


@pytest.mark.parametrize(
    ("torch_home", "xdg", "expected"),
    [
        ("/a/torch", "/b/cache", "/a/torch/d2sfm"),
        (None, "/b/cache", "/b/cache/d2sfm"),
        ("", "", "/home/someone/.cache/d2sfm"),
        (None, None, "/home/someone/.cache/d2sfm"),
        ("~/models", None, "/home/someone/models/d2sfm"),
    ],
)
def test_the_cache_is_where_the_environment_says(monkeypatch, torch_home, xdg, expected):
    monkeypatch.setenv("HOME", "/home/someone")
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
    expected = f"{cache / 'd2_tf.pth'} is no checkpoint: delete it to have it fetched"
    assert [refused(ValueError), refused(ValueError)] == [expected] * 2
    assert os.listdir(cache) == ["d2_tf.pth"]


@pytest.mark.parametrize("behaviour", [page, status(404), cut(8), deaf])
def test_the_next_address_is_tried_where_one_gives_no_weights(site, other, cache, monkeypatch, behaviour):
    monkeypatch.setattr(download, "TIMEOUT_S", 0.1)
    other.behaviours = [behaviour] * 20
    assert get(other.url + "/", other.url).read_bytes() == CONTENT
    assert {path for path, _ in other.requests} == {"/files/d2_tf.pth"}
    assert len(site.requests) == 1
    assert sorted(os.listdir(cache)) == USED


def test_mirrors_come_before_the_authors_site(site, other):
    get(other.url)
    assert len(other.requests) == 1
    assert site.requests == []


@pytest.mark.parametrize("behaviour", [page, lambda handler: handler.begin(0)])
def test_an_answer_that_is_no_weights_gets_no_name(site, cache, behaviour):
    site.behaviours = [behaviour]
    message = refused(FileNotFoundError)
    assert f"{site.url}/d2_tf.pth: {cache / 'd2_tf.pth.part'} is no checkpoint; fetch" in message
    assert os.listdir(cache) == ["d2_tf.pth.lock"]
    assert len(site.requests) == 1


def test_a_file_that_is_shorter_than_it_should_be_gets_no_name(site, cache):
    """A server that tells a smaller length than the file has."""

    def whole_only(path):
        if path.read_bytes() != CONTENT:
            raise ValueError(f"{path} is cut short")

    site.behaviours = [lambda handler: (handler.begin(1000), handler.send(CONTENT[:1000]))]
    with pytest.raises(FileNotFoundError, match="is cut short"):
        published_file("d2_tf", (), whole_only)
    assert os.listdir(cache) == ["d2_tf.pth.lock"]


def test_all_addresses_are_named_with_their_reasons(site, other, cache):
    other.behaviours, site.behaviours = [status(404)], [page]
    message = refused(FileNotFoundError, other.url)
    assert f"{other.url}/d2_tf.pth: HTTP Error 404: Not Found; {site.url}/d2_tf.pth: {cache}" in message


@pytest.mark.parametrize(
    ("change", "what"),
    [(lambda content: content[:-1], "size"), (lambda content: b"weights!" + content[8:], "sha256")],
)
def test_a_file_that_changed_since_its_first_use_is_told(site, cache, change, what):
    path = get()
    path.write_bytes(change(CONTENT))
    message = refused(ValueError)
    assert message.startswith(f"{path} has {what} ")
    assert f"delete it to have it fetched, or {path}.json if" in message
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
    assert f"delete {cache / 'd2_tf.pth.json'} if it is meant to be another file now" in message
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
        "import sys\nfrom d2sfm.network.weights.load import download\ndownload.SITE = sys.argv[1]\n"
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


def test_a_broken_connection_is_tried_again_from_the_start(site, cache, caplog):
    site.behaviours = [status(500), cut(300_000), status(502)]
    assert get().read_bytes() == CONTENT
    assert all("Range" not in headers for _, headers in site.requests)
    assert all(headers["User-Agent"].startswith("d2sfm/") for _, headers in site.requests)
    assert f"{site.url}/d2_tf.pth: HTTP Error 500: Internal Server Error, next try in 0.001 s" in caplog.text
    assert f"the connection ended after 300000 of {len(CONTENT)} bytes, next try in 0.002 s" in caplog.text


@pytest.mark.parametrize(("code", "tries"), [(404, 1), (403, 1), (410, 1), (500, 4), (503, 4), (429, 4), (408, 4)])
def test_only_passing_errors_are_tried_again(site, cache, code, tries):
    site.behaviours = [status(code)] * 10
    assert f"HTTP Error {code}: " in refused(FileNotFoundError)
    assert len(site.requests) == tries


def test_other_addresses_come_before_another_try(site, other):
    other.behaviours = [status(500)] * 10
    get(other.url)
    assert len(other.requests) == 1


@pytest.mark.parametrize("behaviour", [stall(70_000), deaf])
def test_a_server_from_which_nothing_comes_is_given_up(site, cache, monkeypatch, behaviour):
    monkeypatch.setattr(download, "TIMEOUT_S", 0.2)
    site.behaviours = [behaviour]
    assert get().read_bytes() == CONTENT
    assert len(site.requests) == 2
    (cache / "d2_tf.pth").unlink()
    site.behaviours = [behaviour] * 10
    assert "no connection (timed out)" in refused(FileNotFoundError)


def test_the_length_may_be_unknown(site):
    site.behaviours = [without_length]
    assert get().read_bytes() == CONTENT


@pytest.mark.parametrize("behaviour", [whole, without_length])
def test_an_endless_file_is_given_up(site, cache, monkeypatch, behaviour):
    monkeypatch.setattr(download, "LARGEST_BYTES", 300_000)
    site.behaviours = [behaviour]
    assert f"{site.url}/d2_tf.pth: more than 300000 bytes are too many" in refused(FileNotFoundError)
    assert os.listdir(cache) == ["d2_tf.pth.lock"]
    assert len(site.requests) == 1


def test_no_server(monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(download, "SITE", f"http://127.0.0.1:{closed.getsockname()[1]}")
        assert "no connection ([Errno 111] Connection refused)" in refused(FileNotFoundError)


@pytest.mark.parametrize(
    "url", ["http://", "http://[", "http://127.0.0.1:port/a", "http://127.0.0.1/a b", "http://\xe9\n"]
)
def test_what_is_no_address_is_not_tried_again(site, url, caplog):
    assert get(url).read_bytes() == CONTENT
    site.behaviours = [status(404)]
    get().unlink()
    assert url.split()[0] in refused(FileNotFoundError, url)
    assert not caplog.records


def test_redirects_of_plain_http_that_was_asked_for_are_followed(site, other):
    site.behaviours = [redirect("/elsewhere"), redirect(other.url)]
    assert get().read_bytes() == CONTENT
    assert [path for path, _ in site.requests] == ["/files/d2_tf.pth", "/elsewhere"]
    assert [path for path, _ in other.requests] == ["/files"]


def test_https_is_not_left_for_plain_http(site, other, cache, monkeypatch):
    """The servers speak without encryption to a client that takes it for https."""
    monkeypatch.setattr(http.client, "HTTPSConnection", PlainConnection)
    secure = other.url.replace("http:", "https:")
    other.behaviours = [redirect("/elsewhere"), redirect(site.url)]
    site.behaviours = [status(404)]
    message = refused(FileNotFoundError, secure)
    assert f"{secure}/d2_tf.pth: it sends on to {site.url}, which is not https" in message
    assert [path for path, _ in other.requests] == ["/files/d2_tf.pth", "/elsewhere"]
    assert [path for path, _ in site.requests] == ["/files/d2_tf.pth"]  # as the next address
    other.behaviours = [redirect(f"{secure}/elsewhere")]
    assert get(secure).read_bytes() == CONTENT


class PlainConnection(http.client.HTTPConnection):
    def __init__(self, host, context=None, check_hostname=None, **options):
        super().__init__(host, **options)


def test_the_proxy_of_the_environment_is_asked(site, monkeypatch):
    monkeypatch.setenv("http_proxy", site.url)
    assert get("http://weights.invalid").read_bytes() == CONTENT
    assert [path for path, _ in site.requests] == ["http://weights.invalid/d2_tf.pth"]


class Terminal:
    """Standard error of somebody who watches."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


@pytest.mark.parametrize(("level", "shown"), [("INFO", True), ("WARNING", False)])
def test_a_bar_for_who_watches(site, monkeypatch, caplog, level, shown):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    caplog.set_level(level, logger="d2sfm")
    get()
    assert ("d2_tf.pth: 100%" in terminal.text) == shown
    assert (f"fetching {site.url}/d2_tf.pth" in caplog.text) == shown


@pytest.fixture
def real_site(site):
    """Offers the bundled weights under the published names."""
    site.content = BUNDLED["d2_ots"].read_bytes()
    return site


def test_load_weights_takes_the_published_names(real_site, cache, tmp_path, monkeypatch):
    (tmp_path / "d2_tf").write_text("a file that is called so must be given as ./d2_tf")
    monkeypatch.chdir(tmp_path)
    for name in ("d2_tf", "d2_tf_no_phototourism"):
        assert digest(load_weights(name)) == digest(load_weights("d2_ots"))
    with pytest.raises(ValueError, match=r"^d2_tf "):
        load_weights("./d2_tf")


def test_only_a_checkpoint_gets_the_name(site, cache):
    with pytest.raises(FileNotFoundError, match=r"d2_tf\.pth\.part is no PyTorch checkpoint|can't be read"):
        load_weights("d2_tf")
    assert os.listdir(cache) == ["d2_tf.pth.lock"]


def test_mirrors_do_not_enter_what_features_are_known_by(real_site):
    options = ExtractionOptions(weights="d2_tf", mirror=(real_site.url,))
    assert Extractor(options).fingerprint == Extractor(ExtractionOptions()).fingerprint


@pytest.mark.parametrize("kind", [ExtractionOptions, RefinementOptions, TrainingOptions])
@pytest.mark.parametrize(
    ("weights", "mirror", "message"),
    [
        ("d2_tf", ("ftp://host/files",), "mirror must start with http:// or https://, found 'ftp://host/files'"),
        ("d2_ots", ("http://host",), "mirror goes with weights d2_tf or d2_tf_no_phototourism, not with d2_ots"),
    ],
)
def test_mirrors_that_make_no_sense_are_refused(kind, weights, mirror, message):
    with pytest.raises(ValueError, match=message):
        kind(weights=weights, mirror=mirror)


@pytest.fixture
def photographs(tmp_path):
    folder, whole = tmp_path / "photographs", textured_picture(3, (140, 96))
    folder.mkdir()
    for index in range(2):
        cv2.imwrite(str(folder / f"{index}.png"), whole[:, 20 * index : 20 * index + 96])
    return folder


def test_extract_and_refine_fetch_from_the_mirrors(real_site, other, photographs, tmp_path, cache, monkeypatch):
    """The mirror alone is asked, once; the second run with another one finds the same features and keypoints."""
    database, run = str(tmp_path / "db.db"), ["--quiet", "--database", str(tmp_path / "db.db")]
    other.content = real_site.content
    fetched = ["--weights", "d2_tf", "--mirror", other.url, real_site.url]
    assert main(["extract", "--images", str(photographs), *run, *fetched]) == 0
    shutil.rmtree(cache)
    assert main(["extract", "--images", str(photographs), *run, "--weights", "d2_tf", "--mirror", real_site.url]) == 0
    with FeatureStore(database) as store:
        assert "http" not in "".join(store.extracted().values())
    assert main(["match", *run]) == 0
    shutil.rmtree(cache)
    assert main(["refine", *run, *fetched]) == 0
    assert main(["refine", *run, "--weights", "d2_tf"]) == 0
    assert (len(other.requests), len(real_site.requests)) == (2, 1)


def test_train_fetches_from_the_mirrors(real_site, other, tmp_path, capsys):
    write_plane_scene(tmp_path)
    (tmp_path / "scenes.txt").write_text("0000\n")
    paths = ["--dataset-path", tmp_path, "--scene-info-path", tmp_path / "info", "--output", tmp_path / "out"]
    quick = ["--image-size", "112", "--pairs-per-scene", "1", "--num-epochs", "1", "--device", "cpu"]
    quick += ["--num-workers", "0", "--train-scenes", tmp_path / "scenes.txt"]
    fetched = ["--weights", "d2_tf", "--mirror", other.url]
    other.content = real_site.content
    assert main(["train", *map(str, [*paths, *quick]), *fetched]) == 0
    assert (len(other.requests), len(real_site.requests)) == (1, 0)


def test_the_command_line_tells_it_in_one_line(monkeypatch, photographs, tmp_path, capsys, cache):
    monkeypatch.setattr(download, "SITE", "http://weights.invalid")
    database = str(tmp_path / "db.db")
    assert main(["extract", "--images", str(photographs), "--database", database, "--weights", "d2_tf", "--quiet"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: d2sfm extract: no weights d2_tf: http://weights.invalid/d2_tf.pth: no connection")
    assert not Path(database).exists()
