"""The weights that the authors of D2-Net publish: fetched at first use into the user's cache, and compared ever after.

A file gets its name when it is whole and was read as weights. One process fetches, others wait for it.
"""

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from d2sfm.errors import one_line
from d2sfm.files import replacing
from d2sfm.weights.transfer import Failed, fetch

SITE = "https://dusmanu.com/files/d2-net"

logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where fetched weights are kept: d2sfm in $TORCH_HOME, else in $XDG_CACHE_HOME, else in ~/.cache."""
    home = os.environ.get("TORCH_HOME") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser().absolute() / "d2sfm"


def published_file(name: str, mirror: Sequence[str], check: Callable[[Path], object]) -> Path:
    """The published checkpoint of this name in the cache; fetched where it is not there.

    mirror: addresses of folders that hold ``<name>.pth``, tried in their order before the authors' site. check: raises
    ValueError, which names the file, where a file holds no weights.

    Size and SHA-256 are recorded beside a file, ``<name>.pth.json``, when it is used first, and compared later.
    Raises FileNotFoundError where there is no file and none can be had, with what to fetch by hand and where to put it;
    ValueError where the file in the cache holds no weights or is not the one that was recorded.
    """
    path = cache_folder() / f"{name}.pth"
    if not path.is_file():
        urls = [f"{folder.rstrip('/')}/{path.name}" for folder in (*mirror, SITE)]
        by_hand = f"fetch {urls[-1]} by hand and put it at {path}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path.with_name(f"{path.name}.part")) as part:
                if not path.is_file():  # another process may have been faster
                    _fetch(path, part, urls, check)
        except Failed as error:
            raise FileNotFoundError(f"no weights {name}: {error}; {by_hand}") from error
        except OSError as error:
            reason = f"{path.parent} can't be written ({error.strerror or error})"
            raise FileNotFoundError(
                f"no weights {name}: {reason}; set TORCH_HOME to another folder, or {by_hand}"
            ) from error
    _compare(path, check)
    return path


def _fetch(path: Path, part: BinaryIO, urls: Sequence[str], check: Callable[[Path], object]) -> None:
    """Fetch from the first address that gives weights. Raises Failed with the reasons of all of them."""
    place, note, failures = Path(part.name), path.with_name(f"{path.name}.part.json"), []
    for url in urls:
        logger.info("fetching %s to %s", url, path)
        try:
            is_left_over = part.seek(0, os.SEEK_END) > 0
            fetch(url, part, note)
            part.flush()
            try:
                check(place)
            except ValueError:
                part.truncate(0)
                if not is_left_over:
                    raise
                fetch(url, part, note)  # what an earlier run left may be damaged
                part.flush()
                check(place)
        except Failed as error:
            failures.append(f"{url}: {error}")
        except ValueError as error:
            part.truncate(0)
            failures.append(f"{url} gave no weights ({one_line(error)})")
        else:
            os.fsync(part.fileno())
            place.replace(path)
            note.unlink(missing_ok=True)
            return
    if size := part.seek(0, os.SEEK_END):
        failures.append(f"{size} bytes are kept, the next run goes on from there")
    else:
        note.unlink(missing_ok=True)
    raise Failed("; ".join(failures))


@contextmanager
def _locked(part: Path) -> Iterator[BinaryIO]:
    """The file, made where it is missing, open to read and to append, and locked; an empty one is removed at the end.

    Who finishes the file renames it: those who waited for it find that its name is gone and begin anew.
    """
    while True:
        with part.open("a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logger.info("waiting for another process that fetches %s", part.stem)
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file, part):
                continue
            try:
                yield file
            finally:
                if not file.seek(0, os.SEEK_END) and _is_at(file, part):
                    part.unlink()
            return


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _compare(path: Path, check: Callable[[Path], object]) -> None:
    """Compare the file with its record, or check it and make the record. Raises ValueError."""
    record = path.with_name(f"{path.name}.json")
    try:
        with path.open("rb") as file:
            found = {"size": os.fstat(file.fileno()).st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    except OSError as error:
        raise ValueError(f"{path} can't be read ({error.strerror})") from error
    try:
        recorded = dict(json.loads(record.read_text(encoding="utf-8")))
    except FileNotFoundError:
        try:
            check(path)
        except ValueError as error:
            raise ValueError(f"{one_line(error)}: delete it to have it fetched") from error
        with suppress(OSError), replacing(record) as file:  # weights in a cache that is read-only are good, too
            file.write(json.dumps(found).encode())
        return
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{record} can't be read ({one_line(error)}): delete it to have it made anew") from error
    for key, value in found.items():
        if recorded.get(key) != value:
            raise ValueError(
                f"{path} has {key} {value}, at its first use it was {recorded.get(key)}: delete it to have it fetched, "
                f"or {record} if it is meant to be another file now"
            )
