"""All that reads a photograph, in a process of its own: one that crashes, hangs or eats memory is told from a test."""

import multiprocessing
import os
import resource
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

import pycolmap

from d2sfm.photographs.blank_copies import write_blank_copy
from d2sfm.photographs.headers import read_header
from d2sfm.photographs.masks import read_mask
from d2sfm.photographs.reading import load_photograph


class Reader:
    """Reads files in a child that may hold so many bytes of memory, ``patience_s`` seconds for each at most."""

    def __init__(self, memory_bytes: int, patience_s: float, stderr: Path):
        self.memory_bytes, self.patience_s, self.stderr = memory_bytes, patience_s, stderr
        self.child = None

    def __call__(self, path: Path) -> dict[str, tuple[str, object]]:
        """What each reader made of the file: ("read", result), ("refused", message) or ("raised", traceback)."""
        if self.child is None:
            self._start()
        self.ours.send(path)
        if not self.ours.poll(self.patience_s):
            self.close()
            raise AssertionError(f"a reader hangs on {path}")
        try:
            return self.ours.recv()
        except EOFError:
            self.child.join()
            code = self.child.exitcode
            self.close()
            raise AssertionError(f"a reader ends the process with {code} on {path}") from None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.ours, theirs = context.Pipe()
        self.child = context.Process(target=_serve, args=(theirs, self.memory_bytes, self.stderr), daemon=True)
        self.child.start()
        theirs.close()

    def close(self) -> None:
        """End the child."""
        if self.child is not None:
            self.child.kill()
            self.child.join()
            self.ours.close()
            self.child = None


def _serve(connection, memory_bytes: int, stderr: Path) -> None:
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    while True:
        path = connection.recv()
        connection.send({reader.__name__: _outcome(reader, path) for reader in READERS})


def _outcome(reader, path: Path) -> tuple[str, object]:
    try:
        return "read", reader(path)
    except (ValueError, FileNotFoundError) as error:
        return "refused", str(error)
    except BaseException:
        return "raised", traceback.format_exc()


def pixels(path: Path) -> tuple[int, int]:
    height, width, channels = load_photograph(path).shape
    assert channels == 3
    return width, height


def mask(path: Path) -> tuple[int, int]:
    height, width = read_mask(path).shape
    return width, height


def metadata(path: Path) -> tuple[int, int] | None:
    """What COLMAP's import reads of a photograph."""
    with TemporaryDirectory() as folder:
        copy = Path(folder, path.name)
        write_blank_copy(path, copy)
        bitmap = pycolmap.Bitmap.read(copy, as_rgb=False)
    if bitmap is None:
        return None
    for name in ("focal_length", "latitude", "longitude", "altitude", "orientation"):
        getattr(bitmap, f"exif_{name}")()
    return bitmap.width, bitmap.height


def check_header(path):
    """Its size."""
    return read_header(path)[0]


def orientation(path):
    """EXIF's."""
    return read_header(path)[1]


READERS = (check_header, orientation, pixels, mask, metadata)
