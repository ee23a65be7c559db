"""A file over HTTP, in as many pieces as broken connections make of it.

Pieces are put together only if the server tells, by ETag or date, that it still has the same file.
"""

import json
import logging
import os
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPException, HTTPResponse, InvalidURL
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.request import Request, build_opener

from tqdm import tqdm

import d2sfm
from d2sfm.errors import one_line
from d2sfm.files import replacing

TIMEOUT_S = 20.0  # without a byte
TRIES, FIRST_WAIT_S = 4, 1.0  # the wait before the next try doubles
LARGEST_BYTES = 500_000_000  # weights have 30 MB: what goes on for longer is none
PIECE_BYTES = 1 << 18
FINAL = (socket.gaierror, ssl.SSLCertVerificationError)  # errors of a connection that another try won't mend

logger = logging.getLogger(__name__)


class Failed(Exception):
    """An address does not give the file; in words, one line."""


class _Broken(Failed):
    """The same, but another try may succeed."""


@dataclass(frozen=True, kw_only=True)
class _Version:
    """What tells a file from others, and from itself before it was changed."""

    url: str
    etag: str | None
    modified: str | None
    size: int | None

    @property
    def condition(self) -> str | None:
        """What If-Range takes: an ETag that is not a weak one, or a date; None where the server tells neither."""
        return self.modified if self.etag is None or self.etag.startswith("W/") else self.etag

    def is_continued_by(self, other: "_Version") -> bool:
        """Whether the description of a piece fits; it may leave out what the condition of the request has told."""
        same = all(
            theirs in (None, ours) for ours, theirs in ((self.etag, other.etag), (self.modified, other.modified))
        )
        return same and self.size == other.size


def fetch(url: str, part: BinaryIO, note: Path) -> None:
    """Make ``part`` whole, in several tries, with what it holds already.

    part: the file so far, open to read and to append; note: a file beside it that tells what it is a part of. Shows a
    bar where people watch and this module's log shows information. Raises Failed, and OSError where the disk fails.
    """
    for trial in range(TRIES):
        try:
            return _transfer(url, part, note)
        except _Broken as error:
            if trial == TRIES - 1:
                raise
            wait_s = FIRST_WAIT_S * 2**trial
            logger.warning("%s: %s, next try in %g s", url, error, wait_s)
            time.sleep(wait_s)


def _transfer(url: str, part: BinaryIO, note: Path) -> None:
    """One request, for what the part lacks if it is of the same file, else for all. Raises Failed or _Broken."""
    have, before = part.seek(0, os.SEEK_END), _read_note(note)
    goes_on = have > 0 and before is not None and before.url == url and before.condition is not None
    if goes_on and have == before.size:
        return
    headers = {"User-Agent": f"d2sfm/{d2sfm.__version__}", "Accept-Encoding": "identity"}
    if goes_on:
        headers |= {"Range": f"bytes={have}-", "If-Range": before.condition}
    with _answer(url, headers, part) as answer:
        start, version = _described(url, answer)
        if not (goes_on and start == have and before.is_continued_by(version)):
            have = part.truncate(0)
            if start:
                raise _Broken("the file is another one than before")
            with replacing(note) as file:
                file.write(json.dumps(asdict(version)).encode())
        for piece in _shown(_pieces(answer), url, have, version.size):
            have += part.write(piece)
            if have > LARGEST_BYTES:
                part.truncate(0)
                raise Failed(f"more than {LARGEST_BYTES} bytes are too many")
    if version.size not in (None, have):
        raise _Broken(f"the connection ended after {have} of {version.size} bytes")


@contextmanager
def _answer(url: str, headers: dict[str, str], part: BinaryIO) -> Iterator[HTTPResponse]:
    """The server's answer, of status 200 or 206; through the proxy that the environment names."""
    try:
        answer = build_opener().open(Request(url, headers=headers), timeout=TIMEOUT_S)
    except HTTPError as error:
        error.close()
        if error.code == 416:  # there are no such bytes: the part is of a longer file
            part.truncate(0)
        passing = error.code in (408, 416, 429) or error.code >= 500
        raise (_Broken if passing else Failed)(f"HTTP status {error.code} {one_line(error.reason)}") from error
    except URLError as error:
        passing = isinstance(error.reason, OSError) and not isinstance(error.reason, FINAL)
        raise (_Broken if passing else Failed)(f"no connection ({one_line(error.reason)})") from error
    except (ValueError, InvalidURL) as error:
        raise Failed(f"no address ({one_line(error)})") from error
    except (OSError, HTTPException) as error:
        raise _Broken(f"no answer ({one_line(error)})") from error
    with answer:
        if answer.status not in (200, 206):
            raise Failed(f"HTTP status {answer.status}")
        yield answer


def _described(url: str, answer: HTTPResponse) -> tuple[int, _Version]:
    """Byte of the file with which the answer begins, and which file it is."""
    start, size = 0, answer.headers.get("Content-Length", "")
    if answer.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if not found:
            raise Failed("a piece without Content-Range")
        start, size = int(found[1]), found[2]
    etag, modified = answer.headers.get("ETag"), answer.headers.get("Last-Modified")
    return start, _Version(url=url, etag=etag, modified=modified, size=int(size) if size.isdecimal() else None)


def _pieces(answer: HTTPResponse) -> Iterator[bytes]:
    """Bytes as they come: read would lose what came before a connection breaks."""
    while True:
        try:
            piece = answer.read1(PIECE_BYTES)
        except (OSError, HTTPException) as error:
            raise _Broken(f"the connection broke ({one_line(error)})") from error
        if not piece:
            return
        yield piece


def _shown(pieces: Iterator[bytes], url: str, have: int, size: int | None) -> Iterator[bytes]:
    """The pieces, with a bar for those who are told other things, too: not with --quiet, nor in a log file."""
    hidden = None if logger.isEnabledFor(logging.INFO) else True
    title = url.rpartition("/")[2]
    with tqdm(total=size, initial=have, desc=title, unit="B", unit_scale=True, disable=hidden) as bar:
        for piece in pieces:
            bar.update(len(piece))
            yield piece


def _read_note(note: Path) -> _Version | None:
    """Which file the part is of; None where that is not known."""
    try:
        return _Version(**json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
