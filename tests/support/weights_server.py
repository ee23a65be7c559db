"""A web server on the loopback that offers one file, and breaks, stalls or lies in the way that a test asks for."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from d2sfm.network.weights.download import published_file

CONTENT = b"weights " * 80_000  # in several pieces
USED = ["d2_tf.pth", "d2_tf.pth.json", "d2_tf.pth.lock"]  # what is in the cache after a fetch


class FileServer(ThreadingHTTPServer):
    """content: of the file, under every path. behaviours: for the first requests, whole answers later.

    requests: (path, headers) as they came. release: lets stalled ones end.
    """

    daemon_threads = True

    def __init__(self, content=b""):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.behaviours, self.requests = content, [], []
        self.release = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/files"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append((self.path, self.headers))
        behaviours = self.server.behaviours
        (behaviours.pop(0) if behaviours else whole)(self)

    def log_message(self, *_):
        pass

    def begin(self, size, status=200, **headers):
        """size: what the header tells, None for nothing."""
        self.send_response(status)
        for name, value in ({"Content-Length": size} | headers).items():
            if value is not None:
                self.send_header(name, str(value))
        self.end_headers()

    def send(self, data):
        self.wfile.write(data)
        self.wfile.flush()


def whole(handler):
    handler.begin(len(handler.server.content))
    handler.send(handler.server.content)


def without_length(handler):
    handler.begin(None)
    handler.send(handler.server.content)


def cut(upto):
    """The connection ends before byte ``upto`` of the file."""

    def behave(handler):
        handler.begin(len(handler.server.content))
        handler.send(handler.server.content[:upto])

    return behave


def stall(upto):
    """Nothing comes after byte ``upto``, and the connection stays open."""

    def behave(handler):
        cut(upto)(handler)
        handler.server.release.wait(30)

    return behave


def deaf(handler):
    """No answer at all."""
    handler.server.release.wait(30)


def status(code):
    return lambda handler: handler.send_error(code)


def redirect(location):
    return lambda handler: handler.begin(0, 302, Location=location)


def page(handler):
    """What a hotel's network answers."""
    text = b"<html><body>Please log in</body></html>"
    handler.begin(len(text), **{"Content-Type": "text/html"})
    handler.send(text)


@contextmanager
def running(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        server.server_close()
        thread.join()


def check(path):
    """Stands for reading a checkpoint."""
    if path.read_bytes()[:8] != b"weights ":
        raise ValueError(f"{path} is no checkpoint")


def get(*mirror, name="d2_tf"):
    return published_file(name, mirror, check)


def refused(kind, *mirror):
    """The message of the error, which is one line."""
    with pytest.raises(kind) as caught:
        get(*mirror)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)
