import http.client
import os
import sys

import pytest
from support.weights_server import (
    CONTENT,
    USED,
    cut,
    deaf,
    get,
    page,
    redirect,
    refused,
    stall,
    status,
    whole,
    without_length,
)

from d2sfm.network.weights import download


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
    assert f"{site.url}/d2_tf.pth: the file is larger than 300000 bytes" in refused(FileNotFoundError)
    assert os.listdir(cache) == ["d2_tf.pth.lock"]
    assert len(site.requests) == 1


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
    assert f"{secure}/d2_tf.pth: it redirects to {site.url}, which is not https" in message
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


def test_all_addresses_are_named_with_their_reasons(site, other, cache):
    other.behaviours, site.behaviours = [status(404)], [page]
    message = refused(FileNotFoundError, other.url)
    assert f"{other.url}/d2_tf.pth: HTTP Error 404: Not Found; {site.url}/d2_tf.pth: {cache}" in message
