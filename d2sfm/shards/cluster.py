"""A cluster of Dask that does work in parts: a function over a list of plain arguments, each call a task.

    with cluster(num_workers=4) as workers:
        for piece in workers.run(extract_piece, calls):
            ...

Results are files in folders that all machines have at the same path; what a function returns goes through the client,
and is to be small. Dask is imported when it is used.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from d2sfm.parts import scratch_folder
from d2sfm.shards.cluster_worker import Call, Outcome, perform
from d2sfm.shards.scheduler import require_address, tell_of_workers, warn_of_open

PIECES_A_WORKER = 4  # at the least, so that none waits long for the last one
CONNECT_S = 30
# What Dask does beside the work. Measured in a worker that extracts: its profiler takes 7 % of CPU time, memory that is
# given back at once and asked for again 8 %; watching itself, Dask takes 4 % of a processor in each process that waits.
# Workers keep no results in memory, so that one that uses much can't do better than go on.
QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "2s",
    "distributed.worker.memory.monitor-interval": "500ms",
    **{f"distributed.worker.memory.{rule}": False for rule in ("target", "spill", "pause")},
}

logger = logging.getLogger(__name__)


class Cluster:
    """Workers that a client of Dask reaches, from when they are first needed. Made by ``cluster``."""

    def __init__(self, connect: Callable[[], Any], num_workers: int | None):
        self._connect, self._num_workers = connect, num_workers  # on this machine; None where they are elsewhere

    @property
    def is_here(self) -> bool:
        """Whether the workers are processes of this machine."""
        return self._num_workers is not None

    @property
    def workers_here(self) -> int:
        """Number of workers that have the memory of this machine among them; 1 where they are elsewhere."""
        return self._num_workers or 1

    def require_device(self, device: str) -> None:
        """Raise ValueError for one GPU of several, of which a worker on this machine sees its own alone."""
        if self._num_workers is not None and device.startswith("cuda:"):
            raise ValueError(
                f"each of --num-workers has a GPU of its own, but this run asks for {device}: give --device "
                "cuda, and set CUDA_VISIBLE_DEVICES to use some of the GPUs only"
            )

    @cached_property
    def _client(self) -> Any:
        return self._connect()

    @property
    def workers(self) -> int:
        """Number of tasks that are done at a time; 1 where none has come yet."""
        return max(1, len(self._client.nthreads()))

    def piece(self, count: int, most: int) -> int:
        """How many of ``count`` items make a piece of work: at most ``most``, and some pieces for each worker."""
        return max(1, min(most, math.ceil(count / (PIECES_A_WORKER * self.workers))))

    def run(self, function: Callable, calls: Sequence[tuple]) -> Iterator[tuple[int, Any]]:
        """Call a function with each of these arguments, and give the place of a call and its result as each is done.

        function: of a module that the workers have. It may be called twice, also at the same time, where a worker is
        lost: its files have to be whole or absent. What it logs is logged here, what it raises is raised here, and
        what is left then is given up.

        Raises RuntimeError if one worker after the other died of a call, or the scheduler is gone.
        """
        if not calls:  # nothing that workers would have to begin for
            return
        from distributed import KilledWorker, as_completed

        told, level = set(), logging.getLogger("d2sfm").getEffectiveLevel()
        work = [Call(number, function, arguments, level) for number, arguments in enumerate(calls)]
        futures = self._client.map(perform, work, pure=False, key=f"d2sfm-{function.__name__}")
        waiting = as_completed(futures, loop=self._client.loop, with_results=True)
        try:
            for future, outcome in waiting:
                if not isinstance(outcome, Outcome):
                    raise outcome
                future.release()  # with it the scheduler forgets the task
                _tell(outcome, told)
                if outcome.error is not None:
                    raise outcome.error
                yield outcome.number, outcome.result
        except KilledWorker as error:
            raise RuntimeError(
                f"workers died one after the other of the same piece of work ({error.task}), usually for lack of "
                "memory: give fewer --num-workers, which leaves more to each"
            ) from error
        except (ImportError, CancelledError) as error:
            raise RuntimeError(_lost(error)) from error
        finally:
            self._client.cancel(futures)


@contextmanager
def pieces_folder(folder: Path) -> Iterator[None]:
    """The folder of pieces of work is there within the block, and goes at its end unless something is left in it."""
    folder.mkdir(exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):  # there are pieces for the next run, or somebody keeps something in it
            folder.rmdir()


@contextmanager
def cluster(num_workers: int | None = None, scheduler: str | None = None) -> Iterator[Cluster]:
    """Workers of Dask: num_workers of them on this machine, or those of the scheduler at an address.

    A worker here has one thread, its share of the memory, and one GPU where there are any; it ends with the block, or
    with this process. Scheduler, workers and dashboard listen on 127.0.0.1 alone. How to reach another scheduler by
    TLS is told by Dask's own configuration.

    It starts with the first work. Raises ValueError if Dask is missing or the number is below 1, and then as
    ``require_address``, and OSError if there is no such scheduler.
    """
    if find_spec("distributed") is None:
        raise ValueError('--num-workers and --scheduler need Dask: pip install "d2sfm[cluster]"')
    if scheduler is None and (num_workers is None or num_workers < 1):
        raise ValueError(f"num_workers must be 1 or more, found {num_workers}")
    with ExitStack() as stack:
        here = num_workers if scheduler is None else None
        yield Cluster(lambda: stack.enter_context(_connected(num_workers, scheduler)), here)


@contextmanager
def _connected(num_workers: int | None, scheduler: str | None) -> Iterator[Any]:
    from distributed import Client

    with _silence(), ExitStack() as stack:
        if scheduler is None:
            client = stack.enter_context(Client(stack.enter_context(_local(num_workers)), set_as_default=False))
        else:
            require_address(scheduler)
            warn_of_open(scheduler)
            client = stack.enter_context(Client(scheduler, set_as_default=False, timeout=CONNECT_S))
            tell_of_workers(scheduler, client.nthreads())
        if find_spec("bokeh") is not None:
            logger.info("the cluster's dashboard: %s", client.dashboard_link)
        client.subscribe_topic("all", _tell_of_lost)
        stack.callback(client.unsubscribe_topic, "all")
        yield client


@contextmanager
def _silence() -> Iterator[None]:
    """Keep back Dask's own log meanwhile: what went wrong is told here, in a line, and the rest comes late."""

    def keep_back(record: logging.LogRecord) -> bool:
        return False

    logs = [log for name, log in logging.root.manager.loggerDict.items() if name.partition(".")[0] == "distributed"]
    handlers = [handler for log in logs for handler in getattr(log, "handlers", ())]
    for handler in handlers:
        handler.addFilter(keep_back)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(keep_back)


@contextmanager
def _local(num_workers: int) -> Iterator[Any]:
    import dask
    from distributed import LocalCluster

    preload = [*dask.config.get("distributed.worker.preload"), "d2sfm.shards.cluster_worker"]
    settings = QUIET | {"distributed.worker.preload": preload, "d2sfm.gpus": torch.cuda.device_count()}
    with (
        scratch_folder() as scratch,
        dask.config.set(settings),
        LocalCluster(
            n_workers=num_workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            local_directory=str(scratch),
            silence_logs=logging.CRITICAL,
        ) as made,
    ):
        yield made


def _tell_of_lost(event: tuple[float, Mapping[str, Any]]) -> None:
    """A client of Dask calls this for each event that its scheduler tells of."""
    message = event[1]
    if message.get("action") == "remove-worker" and not message.get("expected"):
        logger.warning("worker %s is lost: what it had in hand is done again", message["worker"])


def _tell(outcome: Outcome, told: set[str]) -> None:
    """Log what a call logged, each text once."""
    for name, level, text in outcome.records:
        if text not in told:
            told.add(text)
            logging.getLogger(name).log(level, "%s", text)


def _lost(error: Exception) -> str:
    if isinstance(error, ImportError):
        return f"a worker lacks what this command has ({error}): install the same d2sfm there"
    return "the scheduler is gone, or gave the work up: run the same command again to continue"
