"""Calls in a process of their own, for C++ code that may abort the process that it runs in."""

import multiprocessing
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from d2sfm.parts import scratch_folder

# A line of pycolmap's log that says what went wrong: level and date, time, thread, place in the source, message.
LOGGED_ERROR = re.compile(r"^[EF]\d{4,8} [\d:.]+ +\d+ \S+\] (?P<message>.+)$", re.MULTILINE)


def call_isolated(function: Callable, *arguments: Any) -> Any:
    """The result of ``function(*arguments)``, called in a fresh process whose standard error is not shown.

    The function must be importable by its name, and the arguments, the result and exceptions picklable. Exceptions are
    raised here as they were there. The process is stopped on an interrupt, and stops by itself where this one dies.

    Raises RuntimeError where the process ended without an answer, with its signal and the last error that it logged.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    with scratch_folder() as folder, receiver:
        log = folder / "log"
        log.touch()
        process = context.Process(target=_answer, args=(sender, log, function, arguments))
        with sender:  # closed here, so that the pipe ends where the process dies
            _start_without_interrupts(process)
        try:
            succeeded, result = receiver.recv()
        except EOFError:
            process.join()
            raise RuntimeError(_how_it_ended(process.exitcode, log)) from None
        finally:
            process.kill()
            process.join()
    if not succeeded:
        raise result
    return result


def _start_without_interrupts(process: multiprocessing.process.BaseProcess) -> None:
    """Start a process that a Ctrl-C at the terminal does not reach: it would print a traceback of its own."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows, where _answer must do
        process.start()
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _answer(sender: Connection, log: Path, function: Callable, arguments: tuple) -> None:
    """What the fresh process does: call, and send (True, result) or (False, exception)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stderr.flush()
    with log.open("ab", buffering=0) as stream:
        os.dup2(stream.fileno(), 2)
    try:
        answer = (True, function(*arguments))
    except Exception as error:
        answer = (False, error)
    sender.send(answer)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _how_it_ended(exit_code: int, log: Path) -> str:
    ending = f"was ended by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"ended with code {exit_code}"
    errors = LOGGED_ERROR.findall(log.read_text(errors="replace"))
    return f"the process {ending}, " + (f"its last error: {errors[-1]}" if errors else "without a message")
