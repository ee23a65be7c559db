"""What a worker does: at its beginning, where it is on this machine, and for a call of any function."""

import logging
import os
import pickle
import signal
from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple

from d2sfm import __version__
from d2sfm.text import first_line

_ESTIMATES = "d2sfm.estimate"  # of the time that a piece takes, which is of no interest

_one = Lock()  # a process holds a database open once, and torch's threads are one task's


class Call(NamedTuple):
    """A function, and what it is called with."""

    number: int
    function: Callable
    arguments: tuple
    level: int  # from which on it logs
    version: str = __version__


class Outcome(NamedTuple):
    """What came of a call: its result, or the error that ended it, and what it logged."""

    number: int
    result: Any
    error: Exception | None
    records: list[tuple[str, int, str]]  # logger, level, text


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C to the client, which ends its workers, and see one GPU, where there are any: Dask calls this as a
    worker on this machine begins."""
    import dask

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if count := dask.config.get("d2sfm.gpus"):
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[worker.name % count]


def perform(call: Call) -> Outcome:
    """Do a call. An error is a result, too: Dask would print its traceback."""
    heard, log = _Heard(), logging.getLogger("d2sfm")
    with _one:
        log.addHandler(heard)
        log.setLevel(call.level)
        try:
            if call.version != __version__:
                raise RuntimeError(f"a worker has d2sfm {__version__}, this is {call.version}: install the same there")
            return Outcome(call.number, call.function(*call.arguments), None, heard.records)
        except Exception as error:
            return Outcome(call.number, None, _portable(error), heard.records)
        finally:
            log.removeHandler(heard)


class _Heard(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records: list[tuple[str, int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != _ESTIMATES:
            self.records.append((record.name, record.levelno, record.getMessage()))


def _portable(error: Exception) -> Exception:
    """The error, or where that can't be sent one with its text."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(first_line(error))
    return error
