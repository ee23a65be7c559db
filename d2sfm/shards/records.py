"""Small files that the first of many processes writes, and the others compare with what they were asked for."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from d2sfm.parts import part_of


def write_first(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record unless it is there already; of several processes at once, one does.

    record: of what JSON has, so that ``read_record`` gives the same: also names that are not UTF-8.
    """
    if path.exists():
        return
    with part_of(path) as part:
        part.write_text(json.dumps(record), encoding="ascii")
        place_first(part, path)


def place_first(part: Path, path: Path) -> None:
    """Give a whole file the name ``path`` unless there is one of it already."""
    try:
        os.link(part, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links: of two that come at the same moment the later one stays
        part.replace(path)


def read_record(path: Path) -> dict[str, Any]:
    """A record that ``write_first`` wrote. ValueError if it is damaged."""
    try:
        found = json.loads(path.read_text(encoding="ascii"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: remove it and all that was made after it") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} is damaged: remove it and all that was made after it")
    return found


def require_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any], way_out: str) -> None:
    """Raise RuntimeError that names the first setting in which a folder's record differs from what is asked for."""
    for name in dict.fromkeys([*now, *before]):
        one, other = before.get(name), now.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            require_same(path, one, other, way_out)
        elif one != other:
            raise RuntimeError(
                f"{path} was begun with {_told(name, one)}, but this run asks for {_told(name, other)}: {way_out}"
            )


def _told(name: str, value: Any) -> str:
    return f"no {name}" if value is None else f"{name} {value}"
