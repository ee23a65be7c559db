"""A folder that is complete or absent: made beside its place, where a stopped run continues, then moved there.

``DIR`` is made in ``.DIR.unfinished/DIR``. A marker tells what it was made from; in ``DIR`` it means that the folder is
complete.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from d2sfm.files import replacing
from d2sfm.parts import finish_putting, only_run, put_in_place, sync

MARKER = "undistorted.json"


def fingerprint(settings: Mapping[str, Any], contents: Sequence[Path], stamps: Sequence[Path]) -> str:
    """A digest of the inputs of a folder: settings, the bytes of files, sizes and times of others."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for path in contents:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    for path in stamps:
        status = path.stat() if path.exists() else None
        digest.update(b"-" if status is None else f"{status.st_size} {status.st_mtime_ns};".encode())
    return digest.hexdigest()[:32]


def read_marker(folder: Path) -> dict[str, Any] | None:
    """What the marker in a folder tells; None without one, or if it is broken."""
    try:
        return json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def files_below(folder: Path) -> list[str]:
    """All but folders, by their names relative to it, sorted."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path.relative_to(folder).as_posix() for path in found)


@contextmanager
def unfinished(output: Path, made_of: str) -> Iterator[Path]:
    """The folder in which the output is made, with what a stopped run of the same inputs left.

    If the block fails, its files stay for the next run. RuntimeError if another run works on it.
    """
    entries = _unfinished(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with only_run(output, entries.with_name(f"{entries.name}.lock")):
        work = entries / output.name
        if (read_marker(work) or {}).get("fingerprint") != made_of:
            discard(output)
            work.mkdir(parents=True)
            _write_marker(work, {"fingerprint": made_of})
        yield work


def discard(output: Path) -> None:
    """Remove what a stopped run left."""
    if (entries := _unfinished(output)).exists():
        shutil.rmtree(entries)


def recover(output: Path) -> None:
    """Move the finished folder of a killed run into its place."""
    finish_putting(output.parent, _there(output), output.name)


def finish(work: Path, output: Path, facts: Mapping[str, Any]) -> None:
    """Write the marker after everything else is on the disk, and move the folder to its place, which it replaces.

    The marker tells the facts, and the ``files`` of the folder.
    """
    for parent, _, files in os.walk(work):
        for name in files:
            sync(Path(parent, name))
        sync(Path(parent))
    _write_marker(work, {**facts, "files": files_below(work)})
    put_in_place(work.parent, _there(output), output.name)


def _write_marker(folder: Path, facts: Mapping[str, Any]) -> None:
    with replacing(folder / MARKER, sync=True) as stream:
        stream.write((json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode(errors="backslashreplace"))


def _unfinished(output: Path) -> Path:
    return output.with_name(f".{output.name}.unfinished")


def _there(output: Path) -> list[Path]:
    return [output] if output.exists() else []
