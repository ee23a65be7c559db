"""Commands in processes of their own, which may be killed or kept from writing, and small photographs for them."""

import multiprocessing
import os
import sys
import threading
from pathlib import Path

import cv2
from support.helpers import textured_picture
from tqdm import tqdm

from d2sfm.cli import main

# Processes begin with everything imported: kills fall into the work, not into imports.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        "d2sfm.bridge.bridge",
        "d2sfm.exchange.export",
        "d2sfm.exchange.import_features",
        "d2sfm.exchange.merge",
        "d2sfm.extraction.extract",
        "d2sfm.mapping.reconstruct",
        "d2sfm.mapping.triangulate",
        "d2sfm.matching.match",
        "d2sfm.refinement.refine",
        __name__,
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


def write_cut_outs(folder: Path, count: int = 8) -> Path:
    """Write so many overlapping cut-outs of one picture, 0.png to 7.png; returns the folder."""
    whole = textured_picture(3, (208, 80))
    for index in range(count):
        cv2.imwrite(str(folder / f"{index}.png"), whole[:, 16 * index : 16 * index + 96])
    return folder
