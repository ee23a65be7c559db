"""Small blocks, and clusters of workers in which work breaks on request, see ``support.cluster_work``."""

import shutil
from contextlib import contextmanager
from multiprocessing import forkserver

import pytest
from support.cluster_work import FOLDER, PRELOAD
from support.photograph_folder import write_photograph_folder
from support.runs import PROCESSES

from d2sfm.shards import folder
from d2sfm.shards.cluster import cluster


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Of two photographs, so that a small folder has several."""
    monkeypatch.setattr(folder, "BLOCK_PHOTOGRAPHS", 2)


@pytest.fixture
def photographs(tmp_path):
    return write_photograph_folder(tmp_path / "photographs")


@pytest.fixture(scope="session")
def switches(tmp_path_factory, narrow_weights):
    """The folder of the files that break work in workers, which begin from here."""
    begun_in = tmp_path_factory.mktemp("switches")
    shutil.copy(narrow_weights, begun_in / "narrow.pth")
    (begun_in / "preload.py").write_text(PRELOAD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(begun_in))
        yield begun_in


@contextmanager
def begun(switches, count):
    """So many workers."""
    pytest.importorskip("distributed")
    import dask

    forkserver.ensure_running()  # with all imported, see there, so that workers begin at once
    settings = {"preload": [str(switches / "preload.py")], "multiprocessing-method": PROCESSES.get_start_method()}
    settings = {f"distributed.worker.{name}": value for name, value in settings.items()}
    settings["distributed.nanny.environ"] = {FOLDER: str(switches)}  # what they begin from may be older than that
    with dask.config.set(settings), cluster(count) as workers:
        yield workers


@pytest.fixture(scope="module")
def workers(switches):
    with begun(switches, 2) as workers:
        yield workers


@pytest.fixture(scope="module")
def four_workers(switches):
    with begun(switches, 4) as workers:
        yield workers
