"""Power cuts at random moments of a recorded run: what was not yet synced is lost in part."""

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

WRITE, TRUNCATE, SYNC, UNLINK = range(1, 5)
_HEAD = struct.Struct("<IIqq")


class Step(NamedTuple):
    """What a run did to a file. offset: in bytes, or the size after truncation."""

    what: int
    path: str
    offset: int
    data: bytes


def record(database: Path, script: str, folder: Path) -> list[Step]:
    """Run a script, and return what it did to the files of the database. Skips without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if sys.platform != "linux" or not compiler:
        pytest.skip("needs Linux and a compiler of C, to see when a run writes and syncs")
    library, log = folder / "recorded_writes.so", folder / "writes.log"
    source = Path(__file__).with_name("recorded_writes.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl", "-lpthread"], check=True)
    recorded = {"LD_PRELOAD": str(library), "RECORD_PREFIX": str(database), "RECORD_LOG": str(log)}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **recorded}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    return list(_steps(log.read_bytes()))


def _steps(log: bytes) -> Iterator[Step]:
    start = 0
    while start < len(log):
        what, path_size, offset, size = _HEAD.unpack_from(log, start)
        start += _HEAD.size
        path, start = log[start : start + path_size].decode(), start + path_size
        yield Step(what, path, offset, log[start : start + size])
        start += size


def cut(steps: list[Step], before: dict[str, bytes], random: Random) -> dict[str, bytes]:
    """The files after a power cut at a random step, by path; before: what there was, all of it on the disk.

    Of each file's changes since it was last synced, a random share of the later ones is lost, each for itself.
    """
    files = {path: bytearray(content) for path, content in before.items()}
    pending: dict[str, list[Step]] = {}
    for step in steps[: random.randint(0, len(steps))]:
        if step.what == SYNC:
            _apply(files, pending.pop(step.path, []))
        elif step.what == UNLINK:
            files.pop(step.path, None)
            pending.pop(step.path, None)
        else:
            pending.setdefault(step.path, []).append(step)
    for changes in pending.values():
        earlier, share = random.randint(0, len(changes)), random.random()
        _apply(files, changes[:earlier] + [step for step in changes[earlier:] if random.random() < share])
    return {path: bytes(content) for path, content in files.items()}


def _apply(files: dict[str, bytearray], changes: list[Step]) -> None:
    for step in changes:
        content = files.setdefault(step.path, bytearray())
        end = step.offset + len(step.data)
        content.extend(bytes(max(0, end - len(content))))
        if step.what == TRUNCATE:
            del content[step.offset :]
        content[step.offset : end] = step.data
