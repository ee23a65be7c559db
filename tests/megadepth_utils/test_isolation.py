import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from megadepth_utils.isolation import call_isolated

REPOSITORY = Path(__file__).resolve().parents[2]


def log_and_abort(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr, flush=True)
    os.abort()


def beat(path: Path) -> None:
    """Touch a file again and again, until the process ends."""
    while True:
        path.touch()
        time.sleep(0.02)


def wait_until(holds, seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


def has_stopped(path: Path) -> bool:
    before = path.stat().st_mtime_ns
    time.sleep(0.3)
    return path.stat().st_mtime_ns == before


def start_beating(path: Path) -> subprocess.Popen:
    """A process that waits for an isolated one, in a group of its own, as a shell starts it at a terminal."""
    module = Path(__file__).stem
    code = f"import {module} as t; from pathlib import Path; t.call_isolated(t.beat, Path({str(path)!r}))"
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}:{Path(__file__).parent}"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert wait_until(path.exists)
    return process


def test_the_result_comes_back_from_another_process():
    assert call_isolated(divmod, 17, 5) == (3, 2)
    assert call_isolated(os.getpid) != os.getpid()


def test_an_exception_is_raised_as_it_was():
    with pytest.raises(ValueError, match="invalid literal for int"):
        call_isolated(int, "x")


def test_standard_error_is_not_shown(capfd):
    call_isolated(os.write, 2, b"noise\n")
    assert capfd.readouterr().err == ""


def test_the_signal_and_the_last_error_are_told():
    lines = [
        "I20240131 12:00:00.000001 140039671819136 undistorters.cc:208] Undistorting image [1/10]",
        "E20240131 12:00:00.000002 140039671819136 bitmap.cc:12] Cannot read it",
        "F20240131 12:00:00.000003 140039671819136 threading.cc:200] Check failed: 100 vs. 640",
        "*** Check failure stack trace: ***",
    ]
    with pytest.raises(RuntimeError) as raised:
        call_isolated(log_and_abort, *lines)
    assert str(raised.value) == "the process was ended by SIGABRT, its last error: Check failed: 100 vs. 640"


def test_an_exit_without_an_answer():
    with pytest.raises(RuntimeError, match="ended with code 3, without a message"):
        call_isolated(os._exit, 3)


def test_an_interrupt_at_the_terminal_does_not_reach_the_call_and_still_reaches_this_process():
    assert signal.SIGINT in call_isolated(signal.pthread_sigmask, signal.SIG_BLOCK, [])
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_an_interrupt_stops_the_call_without_a_word_of_its_own(tmp_path):
    """Ctrl-C at a terminal reaches every process of the group."""
    path = tmp_path / "beat"
    process = start_beating(path)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert errors.count("Traceback") == 1, errors
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert has_stopped(path)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_call_ends_with_the_process_that_waits_for_it(tmp_path, how):
    path = tmp_path / "beat"
    process = start_beating(path)
    process.send_signal(how)
    process.wait(timeout=60)
    process.stderr.close()
    assert wait_until(lambda: has_stopped(path))
