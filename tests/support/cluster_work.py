"""What workers of a cluster do in tests, and what begins them.

``PRELOAD`` is what Dask runs in each worker at its start: the narrow network, and pieces of work that break on request,
by files in a folder, whose path is in the environment: where there is ``kill``, one worker dies in the middle of a
piece; where there is ``slow``, each piece takes a second more; where there is ``held``, it waits until that is gone.
"""

import logging
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from support.narrow_network import begin_with_narrow_network

from d2sfm.database import connection

FOLDER = "D2SFM_TEST_CLUSTER"
PRELOAD = """
import os
from pathlib import Path
from support.cluster_work import FOLDER, breaking
from support.narrow_network import begin_with_narrow_network
from d2sfm.shards import cluster_extraction, cluster_matching, cluster_refinement

begin_with_narrow_network(Path(os.environ[FOLDER], "narrow.pth"))
cluster_extraction.extract_to_file = breaking(cluster_extraction.extract_to_file)
cluster_matching.match_block_of_database = breaking(cluster_matching.match_block_of_database)
cluster_refinement.align_share = breaking(cluster_refinement.align_share)
"""


def begin_client(folder: Path) -> None:
    """Make a process the client of workers that begin so."""
    import dask

    workers = {"worker.preload": [str(folder / "preload.py")], "nanny.environ": {FOLDER: str(folder)}}
    dask.config.set({f"distributed.{name}": value for name, value in workers.items()})
    begin_with_narrow_network(folder / "narrow.pth")


def breaking(function):
    """A function that breaks, see above."""
    folder = Path(os.environ[FOLDER])

    def broken(*arguments, **settings):
        if _is_first(folder / "kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        if (folder / "slow").exists():
            (folder / "slow").with_suffix(".begun").touch()
            time.sleep(1)
        while (folder / "held").exists():
            (folder / "held").with_suffix(".begun").touch()
            time.sleep(0.05)
        return function(*arguments, **settings)

    return broken


def _is_first(path):
    """Whether a file is there, which is so for one process alone."""
    try:
        path.rename(path.with_suffix(".done"))
    except FileNotFoundError:
        return False
    return True


class Here:
    """In place of a cluster: this process, which is killed when all is done and nothing taken in, or not at all.

    done: the name of the function, and the arguments, of each call.
    """

    is_here, workers, workers_here = True, 2, 2

    def __init__(self, is_killed=False):
        self.is_killed, self.done = is_killed, []

    def require_device(self, device):
        assert device in ("auto", "cpu")

    def piece(self, count, most):
        return 2

    def run(self, function, calls):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(connection, "_in_use", set())  # by the client, which workers are not in
            results = [function(*call) for call in calls]
        self.done += [(function.__name__, call) for call in calls]
        if self.is_killed:
            raise KeyboardInterrupt
        return enumerate(results)


def warn_and_double(number):
    logging.getLogger("d2sfm.somewhere").warning("doubling")
    return 2 * number


def refuse(number):
    raise ValueError(f"{number} is refused")


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


def refuse_with_a_function():
    error = RuntimeError("of one process")
    error.function = lambda: None
    raise error


def below(process: int) -> list[psutil.Process]:
    """The processes that a process has started, and that these have."""
    return psutil.Process(process).children(recursive=True)


def heard_at(processes) -> set[str]:
    """The addresses at which processes listen."""
    of_each = (process.net_connections() for process in processes)
    return {each.laddr.ip for found in of_each for each in found if each.status == psutil.CONN_LISTEN}
