"""A command of d2sfm in a process of its own, with its time and memory."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple


class Run(NamedTuple):
    """What a command took, and what it printed."""

    seconds: float
    peak_bytes: int
    output: str
    cpu_seconds: float


def d2sfm(*arguments: object, look: Callable[[int], None] | None = None, every_s: float = 0.25) -> Run:
    """Run ``d2sfm ARGUMENTS``. Exits with its output where it fails.

    look: called with the process's id again and again, the last time when it has ended, while Linux still tells of it.
    """
    command = [sys.executable, "-m", "d2sfm", *map(str, arguments)]
    with tempfile.TemporaryFile("w+") as log:
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdout=log, stderr=log)
        if look is not None:
            while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                look(process.pid)
                time.sleep(every_s)
            look(process.pid)
        _, status, usage = os.wait4(process.pid, 0)  # of this child alone, unlike RUSAGE_CHILDREN
        seconds = time.perf_counter() - begun
        log.seek(0)
        output = log.read()
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}:\n{output}")
    return Run(seconds, usage.ru_maxrss * 1024, output, usage.ru_utime + usage.ru_stime)
