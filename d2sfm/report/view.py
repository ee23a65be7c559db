"""The 3D view of a model alone: as a page, or from a server on this machine, which sends what is viewed.

d2sfm show model sparse/0
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from d2sfm.files import replacing
from d2sfm.report.models import Model, find_models, read_models
from d2sfm.report.names import shown
from d2sfm.report.page import VIEW, photograph_data, render
from d2sfm.report.photographs import names_of_all, read_photographs
from d2sfm.report.pictures import Picture, photographs_folder, read_pictures
from d2sfm.report.report import require_page
from d2sfm.report.scene import MOST_POINTS, cells, chunk, cloud, inline_scene, scene

ADDRESS = "127.0.0.1"
_HTML, _BINARY = "text/html; charset=utf-8", "application/octet-stream"


class View(NamedTuple):
    """What is viewed."""

    models: list[Model]
    rows: Mapping[str, int]  # of photographs, by name
    pictures: Mapping[str, Picture]

    def page(self, scenes: list[dict], connects: bool) -> str:
        """The page. connects: whether it may fetch from its own origin."""
        names = list(self.rows)
        photographs = photograph_data(read_photographs(names, None, None, self.models, {}), self.pictures)
        title = f"Model {shown(self.models[0].label)}"
        data = {"photographs": photographs, "models": scenes, "pairs": None}
        return render("model.html", VIEW, title=title, models=self.models, data=data, connects=connects)


def read_view(
    model: Path, *, database: Path | None = None, images: Path | None = None, thumbnails: bool = True
) -> View:
    """Read a model, and those beside it (see ``models.find_models``), and small pictures of their photographs.

    images: their folder (default: the one that the database names). Raises as ``find_models`` and ``read_model``, and
    ValueError if there is no model.
    """
    models = read_models(find_models(model))
    if not models:
        raise ValueError(f"{model} holds no COLMAP model")
    names = names_of_all(None, models)
    pictures = read_pictures(photographs_folder(images, database), names, thumbnails)
    return View(models, {name: row for row, name in enumerate(names)}, pictures)


def write_view(view: View, output: Path) -> None:
    """Write it as a page of its own. Raises as ``report.require_page``."""
    require_page(output)
    page = view.page([inline_scene(model, view.rows) for model in view.models], connects=False)
    with replacing(output) as stream:
        stream.write(page.encode())


@contextmanager
def served(view: View) -> Iterator[tuple[str, ThreadingHTTPServer]]:
    """A server of the view on a free port of this machine alone, and its address; ``serve_forever`` serves.

    Requests without the random part of the address, or under another name of the machine, get nothing: other pages in
    the same browser can reach 127.0.0.1, too.
    """
    token = secrets.token_urlsafe(24)
    files = {f"/{token}/{name}": content for name, content in _files(view).items()}
    with ThreadingHTTPServer((ADDRESS, 0), _handler(files.get)) as server:
        server.daemon_threads = True
        yield f"http://{ADDRESS}:{server.server_port}/{token}/", server


def _files(view: View) -> dict[str, tuple[str, bytes]]:
    """Types and contents by name; the page has the empty one."""
    files, scenes = {}, []
    for number, model in enumerate(view.models):
        points = cloud(model)
        chunks = [chunk(points, slice(MOST_POINTS)), *cells(points)]
        names = [f"{number}-{index}.points" for index in range(len(chunks))]
        told = [each.told(url=name) for each, name in zip(chunks, names, strict=True)]
        files |= {name: (_BINARY, each.data) for name, each in zip(names, chunks, strict=True)}
        scenes.append(scene(model, view.rows, points, told[0]) | ({"cells": told[1:]} if told[1:] else {}))
    return {"": (_HTML, view.page(scenes, connects=True).encode()), **files}


def _handler(found: Callable[[str], tuple[str, bytes] | None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """GET of a fixed list."""

        def do_GET(self) -> None:
            port = self.server.server_port
            if self.headers.get("Host") not in (f"{ADDRESS}:{port}", f"localhost:{port}"):
                self.send_error(HTTPStatus.FORBIDDEN)
                return
            content = found(self.path)
            if content is None:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            kind, data = content
            self.send_response(HTTPStatus.OK)
            for name, value in (
                ("Content-Type", kind),
                ("Content-Length", str(len(data))),
                ("Cache-Control", "no-store"),
                ("X-Content-Type-Options", "nosniff"),
                ("Cross-Origin-Resource-Policy", "same-origin"),
                ("X-Frame-Options", "DENY"),
            ):
                self.send_header(name, value)
            self.end_headers()
            with suppress(ConnectionError):  # the reader has gone on
                self.wfile.write(data)

        def log_message(self, *_) -> None:
            """Nothing: the address with its token is nobody else's."""

    return Handler
