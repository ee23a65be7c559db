import json
import socket

import pytest
from weights_server import FileServer, cut, deaf, page, running, stall, status, whole, without_ranges

from d2sfm.weights import transfer
from d2sfm.weights.transfer import Failed, fetch

CONTENT = bytes(range(256)) * 4000  # in several pieces


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(transfer, "FIRST_WAIT_S", 0.001)


@pytest.fixture
def server():
    with running(FileServer(CONTENT)) as server:
        yield server


class Place:
    """A file that is fetched: what a process has open of it, and what is there for the next one."""

    def __init__(self, folder):
        self.path, self.note = folder / "a.part", folder / "a.part.json"

    def fetch(self, url):
        with self.path.open("a+b") as part:
            fetch(url, part, self.note)
        return self.path.read_bytes()

    def fails(self, url):
        with pytest.raises(Failed) as caught:
            self.fetch(url)
        assert len(str(caught.value).splitlines()) == 1
        return str(caught.value)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_a_whole_file(server, place):
    assert place.fetch(server.url) == CONTENT
    [(path, headers)] = server.requests
    assert path == "/files"
    assert headers["User-Agent"].startswith("d2sfm/")
    assert server.ranges == [None]


def test_broken_connections_are_resumed_and_no_byte_comes_twice(server, place):
    server.behaviours = [cut(300_000), cut(300_001), cut(900_000)]
    assert place.fetch(server.url) == CONTENT
    assert server.ranges == [None, "bytes=300000-", "bytes=300001-", "bytes=900000-"]
    assert [headers.get("If-Range") for _, headers in server.requests] == [None] + ['"one"'] * 3
    assert sum(server.sent) == len(CONTENT)


@pytest.mark.parametrize(
    ("etag", "modified", "condition"),
    [
        ('"strong"', None, '"strong"'),
        (None, "Thu, 01 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ('W/"weak"', "Thu, 01 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ('W/"weak"', None, None),
        (None, None, None),
    ],
)
def test_pieces_are_asked_for_only_where_the_server_tells_files_apart(server, place, etag, modified, condition):
    server.etag, server.modified, server.behaviours = etag, modified, [cut(1000)]
    assert place.fetch(server.url) == CONTENT
    assert server.requests[1][1].get("If-Range") == condition
    assert server.ranges[1] == ("bytes=1000-" if condition else None)


def test_a_piece_need_not_repeat_the_date_that_it_was_asked_by(server, place):
    """RFC 9110, 15.3.7: what If-Range has told should be left out."""
    server.etag = None
    server.behaviours = [cut(1000), lambda handler: whole(handler, **{"Last-Modified": None})]
    assert place.fetch(server.url) == CONTENT
    assert sum(server.sent) == len(CONTENT)


def test_a_later_process_goes_on_and_what_is_whole_is_not_asked_for(server, place):
    server.behaviours = [cut(5000)] * transfer.TRIES
    assert f"5000 of {len(CONTENT)} bytes" in place.fails(server.url)
    assert place.fetch(server.url) == CONTENT
    assert server.ranges[-1] == "bytes=5000-"
    before = len(server.requests)
    assert place.fetch(server.url) == CONTENT
    assert len(server.requests) == before


def test_a_part_that_is_longer_than_the_file_is_fetched_anew(server, place):
    server.behaviours = [cut(300_000)] * transfer.TRIES
    place.fails(server.url)
    with place.path.open("ab") as part:
        part.write(CONTENT)
    assert place.fetch(server.url) == CONTENT
    assert server.ranges[-2:] == [f"bytes={300_000 + len(CONTENT)}-", None]


def test_a_server_without_ranges_starts_anew(server, place):
    server.behaviours = [cut(5000), without_ranges(700), without_ranges()]
    assert place.fetch(server.url) == CONTENT
    assert server.ranges == [None, "bytes=5000-", "bytes=700-"]


@pytest.mark.parametrize("answer", ["whole", "piece", "none"])
def test_pieces_of_different_files_are_never_mixed(server, place, answer):
    """Whether the server minds the condition, or sends the range of its new file all the same."""

    def change(handler):
        server.content, server.etag, server.modified = CONTENT[::-1], '"two"', "Fri, 02 Jan 2026 00:00:00 GMT"
        if answer == "none":
            handler.send_error(416)
        elif answer == "whole":
            whole(handler)
        else:
            size = len(server.content)
            handler.begin(size - 5000, 206, **{"Content-Range": f"bytes 5000-{size - 1}/{size}"})
            handler.send(server.content[5000:])

    server.behaviours = [cut(5000), change]
    assert place.fetch(server.url) == CONTENT[::-1]
    assert server.ranges[:2] == [None, "bytes=5000-"]


@pytest.mark.parametrize("content_range", ["bytes 5001-{last}/{size}", "bytes 5000-{last}/{longer}"])
def test_other_pieces_than_those_asked_for_are_thrown_away(server, place, content_range):
    size = len(CONTENT)
    said = content_range.format(last=size - 1, size=size, longer=size + 1)

    def lie(handler):
        handler.begin(size - 5000, 206, **{"Content-Range": said})
        handler.send(CONTENT[5000:])

    server.behaviours = [cut(5000), lie]
    assert place.fetch(server.url) == CONTENT
    assert server.ranges == [None, "bytes=5000-", None]


def test_a_piece_without_a_place_is_refused(server, place):
    server.behaviours = [lambda handler: handler.begin(5, 206)]
    assert place.fails(server.url) == "a piece without Content-Range"


def test_the_pieces_of_another_address_are_not_used(server, place):
    server.behaviours = [cut(5000)] * transfer.TRIES
    place.fails(server.url)
    assert place.fetch(f"{server.url}/elsewhere") == CONTENT
    assert server.ranges[-1] is None


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"url": 1}', "\0"])
def test_bytes_of_an_unknown_file_are_not_used(server, place, note):
    place.path.write_bytes(b"x" * 100)
    place.note.write_text(note)
    assert place.fetch(server.url) == CONTENT
    assert server.ranges == [None]
    assert json.loads(place.note.read_text())["size"] == len(CONTENT)


@pytest.mark.parametrize(("code", "tries"), [(404, 1), (403, 1), (410, 1), (500, 4), (503, 4), (429, 4), (408, 4)])
def test_only_passing_errors_are_tried_again(server, place, code, tries):
    server.behaviours = [status(code)] * 10
    assert f"HTTP status {code}" in place.fails(server.url)
    assert len(server.requests) == tries


def test_an_error_of_the_server_that_passes(server, place, caplog):
    server.behaviours = [status(500), cut(1000), status(502)]
    assert place.fetch(server.url) == CONTENT
    assert sum(server.sent) == len(CONTENT)
    assert "HTTP status 500 Internal Server Error, next try in" in caplog.text


def test_other_statuses_are_no_file(server, place):
    server.behaviours = [lambda handler: handler.begin(0, 204)]
    assert place.fails(server.url) == "HTTP status 204"


def test_a_connection_that_stalls_is_given_up_and_what_came_is_kept(server, place, monkeypatch):
    monkeypatch.setattr(transfer, "TIMEOUT_S", 0.2)
    server.behaviours = [stall(70_000)]
    assert place.fetch(server.url) == CONTENT
    assert server.ranges == [None, "bytes=70000-"]
    assert sum(server.sent) == len(CONTENT)


def test_a_server_that_does_not_answer(server, place, monkeypatch):
    monkeypatch.setattr(transfer, "TIMEOUT_S", 0.1)
    server.behaviours = [deaf]
    assert place.fetch(server.url) == CONTENT
    server.behaviours = [deaf] * 10
    assert "no answer (timed out)" in place.fails(f"{server.url}/again")


def test_the_length_may_be_unknown(server, place):
    server.behaviours = [lambda handler: whole(handler, **{"Content-Length": None})]
    assert place.fetch(server.url) == CONTENT


@pytest.mark.parametrize("length", [len(CONTENT), None])
def test_an_endless_file_is_given_up(server, place, monkeypatch, length):
    monkeypatch.setattr(transfer, "LARGEST_BYTES", 500_000)
    server.behaviours = [lambda handler: whole(handler, **{"Content-Length": length})]
    assert place.fails(server.url) == "more than 500000 bytes are too many"
    assert place.path.stat().st_size == 0


def test_no_server(place):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        assert "no connection" in place.fails(f"http://127.0.0.1:{port}/a")


@pytest.mark.parametrize(
    "url", ["http://", "http://[", "http://127.0.0.1:port/a", "http://127.0.0.1/a b", "http://\xe9\n"]
)
def test_what_is_no_address_is_not_tried_again(place, url, caplog):
    assert place.fails(url)
    assert not caplog.records


def test_redirects_are_followed(server, place):
    def redirect(handler):
        handler.send_response(302)
        handler.send_header("Location", "/elsewhere")
        handler.end_headers()

    server.behaviours = [redirect, cut(1000), redirect]
    assert place.fetch(server.url) == CONTENT
    assert [path for path, _ in server.requests] == ["/files", "/elsewhere", "/files", "/elsewhere"]
    assert server.ranges[-1] == "bytes=1000-"


def test_the_proxy_of_the_environment_is_asked(server, place, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    assert place.fetch("http://weights.invalid/a.pth") == CONTENT
    assert [path for path, _ in server.requests] == ["http://weights.invalid/a.pth"]


def test_a_page_is_a_file_like_any_other(server, place):
    server.behaviours = [page]
    assert place.fetch(server.url).startswith(b"<html>")
