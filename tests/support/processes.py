"""Commands of d2sfm in processes of their own, which can be killed."""

import multiprocessing
import os
import sys
import threading

from tqdm import tqdm

from d2sfm.cli import main

# Its processes begin with everything imported: kills fall into the work, not into imports.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        *("d2sfm.extraction.extract", "d2sfm.matching.match", "d2sfm.refinement.refine", "d2sfm.mapping.reconstruct"),
        *("d2sfm.exchange.export", "d2sfm.exchange.import_features", "d2sfm.exchange.merge", __name__),
    ]
)


def run(arguments, prepare, errors):
    """In a process of its own: the command, with its exit code, and its standard error in a file."""
    if errors is not None:
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), sys.stderr.fileno())
    tqdm.set_lock(threading.RLock())  # its own would outlive a process that is killed
    if prepare is not None:
        prepare()
    sys.exit(main([*map(str, arguments), "--quiet"]))


def start(arguments, prepare=None, errors=None):
    """prepare: called in the process before the command."""
    process = PROCESSES.Process(target=run, args=(arguments, prepare, errors))
    process.start()
    return process


def finish(arguments, prepare=None):
    process = start(arguments, prepare)
    process.join()
    assert process.exitcode == 0


def error_of(arguments, folder, prepare=None):
    """The one line that the command, which fails, writes."""
    process = start(arguments, prepare, folder / "errors.txt")
    process.join()
    assert process.exitcode == 2
    [line] = (folder / "errors.txt").read_text().splitlines()
    return line
