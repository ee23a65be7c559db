"""What workers of a cluster do in tests, and what begins them.

``PRELOAD`` is what Dask runs in each worker at its start: the narrow network, and pieces of extraction that break on
request, by files in a folder, whose path is in the environment: where there is ``kill``, one worker dies in the middle
of a piece; where there is ``slow``, each piece takes a second more.
"""

import logging
import os
import signal
import time
from pathlib import Path

import psutil
from support.narrow_network import begin_with_narrow_network

FOLDER = "D2SFM_TEST_CLUSTER"
PRELOAD = """
import os
from pathlib import Path
from support.cluster_work import FOLDER, breaking
from support.narrow_network import begin_with_narrow_network
from d2sfm.shards import cluster_extraction

begin_with_narrow_network(Path(os.environ[FOLDER], "narrow.pth"))
cluster_extraction.extract_to_file = breaking(cluster_extraction.extract_to_file)
"""


def begin_client(folder: Path) -> None:
    """Make a process the client of workers that begin so."""
    import dask

    dask.config.set({"distributed.worker.preload": [str(folder / "preload.py")]})
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
        return function(*arguments, **settings)

    return broken


def _is_first(path):
    """Whether a file is there, which is so for one process alone."""
    try:
        path.rename(path.with_suffix(".done"))
    except FileNotFoundError:
        return False
    return True


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
