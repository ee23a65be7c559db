"""A database of two images, and another process that is in the middle of a write to it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pycolmap

from d2sfm.database import create_database
from d2sfm.database.connection import open_pycolmap


def write_two_images(path: Path) -> Path:
    """Make a database with images a.jpg and b.jpg of one camera; returns the path."""
    create_database(path)
    with open_pycolmap(path) as colmap:
        camera = pycolmap.Camera(model="PINHOLE", width=64, height=48, params=[60, 60, 32, 24])
        camera_id = colmap.write_camera(camera)
        for name in ("a.jpg", "b.jpg"):
            colmap.write_image(pycolmap.Image(name=name, camera_id=camera_id))
    return path


@contextmanager
def another_writer(database: Path, for_s: float | None = None) -> Iterator[None]:
    """Another process in the middle of a write, until the end of the block or for some seconds."""
    wait = "sys.stdin.readline()" if for_s is None else f"time.sleep({for_s})"
    script = (
        "import sqlite3, sys, time\nconnection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        f"connection.execute('BEGIN IMMEDIATE')\nprint(flush=True)\n{wait}"
    )
    command = [sys.executable, "-c", script, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        try:
            yield
        finally:
            if for_s is None:
                process.stdin.write("\n")
