"""The weights published by the authors of D2-Net: fetched at first use into the user's cache, and compared at each
later use.

A file gets its name after it was read completely as weights. One process fetches, others wait for it.
"""

import hashlib
import json
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from http.client import HTTPException, InvalidURL
from itertools import product
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from filelock import AcquireReturnProxy, FileLock, Timeout

import d2sfm
from d2sfm.files import replacing
from d2sfm.progress import Bar
from d2sfm.text import one_line, printable

SITE = "https://dusmanu.com/files/d2-net"
TIMEOUT_S = 20.0  # without a byte
WAITS_S = (0.0, 1.0, 2.0, 4.0)  # before each try
LARGEST_BYTES = 500_000_000  # weights have 30 MB
PIECE_BYTES = 1 << 18
FINAL = (socket.gaierror, ssl.SSLCertVerificationError, InvalidURL)  # another try won't mend it

logger = logging.getLogger(__name__)


class _Failed(Exception):
    """No address gives the file; the message has the reason of each in one line."""


class _StaysEncrypted(HTTPRedirectHandler):
    """Plain http only on request: an attacker on the line could send other weights."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if req.type == "https" and not newurl.startswith("https:"):
            raise ValueError(f"it redirects to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def cache_folder() -> Path:
    """Where fetched weights are kept: d2sfm in $TORCH_HOME, else in $XDG_CACHE_HOME, else in ~/.cache."""
    home = os.environ.get("TORCH_HOME") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser().absolute() / "d2sfm"


def published_file(name: str, mirror: Sequence[str], check: Callable[[Path], object]) -> Path:
    """The published checkpoint of this name in the cache; fetched if it is missing.

    mirror: addresses of folders that hold ``<name>.pth``, tried in their order before the authors' site. check: raises
    ValueError, which names the file, if it holds no weights.

    Size and SHA-256 are recorded beside a file, in ``<name>.pth.json``, at its first use, and compared later. Raises
    FileNotFoundError if the file is missing and can't be fetched, with what to fetch by hand and where to put it;
    ValueError if the file in the cache holds no weights or differs from the record.
    """
    path = cache_folder() / f"{name}.pth"
    if not path.is_file():
        urls = [f"{folder.rstrip('/')}/{path.name}" for folder in (*mirror, SITE)]
        by_hand = f"fetch {urls[-1]} by hand and put it at {path}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path):
                if not path.is_file():  # another process may have been faster
                    _fetch(path, urls, check)
        except _Failed as error:
            raise FileNotFoundError(f"no weights {name}: {error}; {by_hand}") from error
        except OSError as error:
            reason = f"{path.parent} can't be written ({error.strerror or error})"
            raise FileNotFoundError(
                f"no weights {name}: {reason}; set TORCH_HOME to another folder, or {by_hand}"
            ) from error
    _compare(path, check)
    return path


def _locked(path: Path) -> AcquireReturnProxy:
    """A block in which no other process fetches the file. Its lock file stays, as others may wait for it."""
    lock = FileLock(f"{path}.lock")
    try:
        return lock.acquire(blocking=False)
    except Timeout:
        logger.info("waiting for another process that fetches %s", path.name)
        return lock.acquire()


def _fetch(path: Path, urls: Sequence[str], check: Callable[[Path], object]) -> None:
    """Fetch from the first address that gives the file. Raises _Failed, and OSError if the disk fails."""
    part, record, failures = path.with_name(f"{path.name}.part"), _record(path), {}
    known = _recorded(record)
    try:
        for wait_s, url in product(WAITS_S, urls):
            if wait_s:
                if not _may_pass(failures[url]):
                    continue
                logger.warning("%s: %s, next try in %g s", url, _reason(failures[url]), wait_s)
                time.sleep(wait_s)
            logger.info("fetching %s to %s", url, path)
            try:
                _download(url, part)
                check(part)
                if difference := _difference(_measured(part), known):
                    raise ValueError(f"{difference}: delete {record} if the new file is intended")
            except (URLError, HTTPException, ValueError) as error:
                failures[url] = error
            else:
                part.replace(path)
                return
    finally:
        part.unlink(missing_ok=True)
    raise _Failed("; ".join(f"{printable(url)}: {_reason(error)}" for url, error in failures.items()))


def _download(url: str, path: Path) -> None:
    with path.open("wb") as file:
        file.writelines(_pieces(url))
        file.flush()
        os.fsync(file.fileno())


def _pieces(url: str) -> Iterator[bytes]:
    """A file over HTTP, through the proxy that the environment names. Raises URLError, HTTPException and ValueError.

    With a bar if information is logged: not with --quiet.
    """
    size, hidden = 0, not logger.isEnabledFor(logging.INFO)
    request = Request(url, headers={"User-Agent": f"d2sfm/{d2sfm.__version__}"})
    try:
        with (
            build_opener(_StaysEncrypted).open(request, timeout=TIMEOUT_S) as answer,
            Bar(total=answer.length, desc=url.rpartition("/")[2], unit="B", unit_scale=True, disable=hidden) as bar,
        ):
            while piece := answer.read1(PIECE_BYTES):
                size += len(piece)
                if size > LARGEST_BYTES:
                    raise ValueError(f"the file is larger than {LARGEST_BYTES} bytes, expected about 30 MB")
                bar.update(len(piece))
                yield piece
            if answer.length:  # what is still to come; None if the server did not tell
                raise HTTPException(f"the connection ended after {size} of {size + answer.length} bytes")
    except URLError:
        raise
    except OSError as error:  # while it answers; of its own kind, for the disk fails by OSError, too
        raise URLError(error) from error


def _may_pass(error: Exception) -> bool:
    """Whether another try may succeed."""
    if isinstance(error, HTTPError):
        return error.code in (408, 429) or error.code >= 500
    cause = error.reason if isinstance(error, URLError) else error
    return isinstance(cause, (OSError, HTTPException)) and not isinstance(cause, FINAL)


def _reason(error: Exception) -> str:
    no_answer = isinstance(error, URLError) and not isinstance(error, HTTPError)
    return f"no connection ({one_line(error.reason)})" if no_answer else one_line(error)


def _compare(path: Path, check: Callable[[Path], object]) -> None:
    """Compare the file with its record, or check it and make the record. Raises ValueError."""
    record = _record(path)
    try:
        found = _measured(path)
    except OSError as error:
        raise ValueError(f"{path} can't be read ({error.strerror})") from error
    known = _recorded(record)
    if difference := _difference(found, known):
        raise ValueError(
            f"{path} has {difference}: delete the file to fetch it again, or delete {record} if the new file is "
            "intended"
        )
    if known is None:
        try:
            check(path)
        except ValueError as error:
            raise ValueError(f"{one_line(error)}: delete it to fetch it again") from error
        with suppress(OSError), replacing(record) as file:  # weights in a cache that is read-only are good, too
            file.write(json.dumps(found).encode())


def _measured(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"size": os.fstat(file.fileno()).st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _recorded(record: Path) -> dict[str, Any] | None:
    """Size and SHA-256 at the first use; None if there was none. Raises ValueError if they can't be read."""
    try:
        return dict(json.loads(record.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"{record} can't be read ({one_line(error)}): delete it, and the next fetch writes it again"
        ) from error


def _difference(found: dict[str, Any], known: dict[str, Any] | None) -> str:
    """What differs from the first use, if that is known; empty if nothing does."""
    changed = [key for key in found if known is not None and known.get(key) != found[key]]
    return f"{changed[0]} {found[changed[0]]}, but had {known.get(changed[0])} at its first use" if changed else ""
