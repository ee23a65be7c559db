"""Servers on the loopback in place of the authors' site, and a cache of each test's own."""

import pytest
from support.weights_server import CONTENT, FileServer, running

from d2sfm.network.weights import download


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
