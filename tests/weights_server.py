"""A web server on the loopback that offers one file, and breaks, stalls or lies in the way that a test asks for."""

import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer(ThreadingHTTPServer):
    """content, etag, modified: of the file, under every path. behaviours: for the first requests, whole answers later.

    requests: (path, headers) as they came; sent: bytes of the file, for each request. release: lets stalled ones end.
    """

    daemon_threads = True

    def __init__(self, content=b"", etag='"one"', modified="Thu, 01 Jan 2026 00:00:00 GMT"):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag, self.modified = content, etag, modified
        self.behaviours, self.requests, self.sent = [], [], []
        self.release = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/files"

    @property
    def ranges(self):
        """Range header of each request, None where there was none."""
        return [headers.get("Range") for _, headers in self.requests]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append((self.path, self.headers))
        self.server.sent.append(0)
        self.number = len(self.server.sent) - 1
        behaviours = self.server.behaviours
        (behaviours.pop(0) if behaviours else whole)(self)

    def log_message(self, *_):
        pass

    def begin(self, size, status=200, **headers):
        self.send_response(status)
        known = {"ETag": self.server.etag, "Last-Modified": self.server.modified, "Content-Length": size}
        for name, value in (known | headers).items():
            if value is not None:
                self.send_header(name, str(value))
        self.end_headers()

    def send(self, data):
        self.server.sent[self.number] += len(data)  # first: who has the bytes may look
        self.wfile.write(data)
        self.wfile.flush()


def whole(handler, upto=None, **headers):
    """What a good server does: all of the file, or the range that was asked for if the file is still that one."""
    server, content = handler.server, handler.server.content
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    same = handler.headers.get("If-Range") in (server.etag, server.modified)
    if not (asked and same):
        handler.begin(len(content), **headers)
        handler.send(content[:upto])
        return
    start = int(asked[1])
    if start >= len(content):
        handler.send_error(416)
        return
    part = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
    handler.begin(len(content) - start, 206, **part, **headers)
    handler.send(content[start:upto])


def cut(upto):
    """The connection ends before byte ``upto`` of the file."""
    return lambda handler: whole(handler, upto)


def stall(upto):
    """Nothing comes after byte ``upto``, and the connection stays open."""

    def behave(handler):
        whole(handler, upto)
        handler.server.release.wait(30)

    return behave


def deaf(handler):
    """No answer at all."""
    handler.server.release.wait(30)


def status(code):
    return lambda handler: handler.send_error(code)


def page(handler):
    """What a hotel's network answers."""
    text = b"<html><body>Please log in</body></html>"
    handler.begin(len(text), **{"Content-Type": "text/html", "ETag": None, "Last-Modified": None})
    handler.send(text)


def without_ranges(upto=None):
    """All of the file, whatever was asked for."""

    def behave(handler):
        handler.begin(len(handler.server.content))
        handler.send(handler.server.content[:upto])

    return behave


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
