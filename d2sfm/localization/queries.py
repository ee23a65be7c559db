"""Which photographs are queries, their names and cameras."""

import copy
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

import pycolmap

from d2sfm.colmap import model_files, read_model
from d2sfm.database import given_camera
from d2sfm.files import read_text
from d2sfm.options import CameraOptions
from d2sfm.photographs.headers import PHOTOGRAPH_SUFFIXES
from d2sfm.photographs.reading import require_photographs
from d2sfm.text import counted, first_of, one_line, printable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Queries:
    """Names of photographs, sorted, relative to a folder."""

    folder: Path
    names: tuple[str, ...]


def find_queries(given: Sequence[Path], folder: Path | None = None) -> Queries:
    """The photographs below a folder; or those given; or those that a list names.

    folder: to which names are relative, of files (default: the folder that holds them) and of a list (default: its
    own). A list has a name at the beginning of each line; text behind a space is ignored, as in the lists with cameras
    of localization benchmarks.

    Raises FileNotFoundError if something is missing, ValueError without photographs, or if names occur twice.
    """
    if not given:
        raise ValueError("no queries: expected a folder, photographs, or a list of names")
    if len(given) == 1 and given[0].is_dir():
        if folder is not None:
            raise ValueError(f"--query-folder goes with files and lists, {given[0]} is a folder")
        return Queries(given[0], tuple(require_photographs(given[0])))
    if missing := [str(path) for path in given if not path.exists()]:
        raise FileNotFoundError(f"no such query: {first_of(missing, 'file')}")
    if len(given) == 1 and given[0].suffix.lower() not in PHOTOGRAPH_SUFFIXES:
        base = folder or given[0].parent
        names = [_name(line, base) for line in _lines(given[0])]
        if not names:
            raise ValueError(f"{given[0]} holds no query: expected a folder, photographs, or a list of names")
    else:
        base = folder or given[0].parent
        names = [_relative(path, base) for path in given]
    names.sort()
    if double := sorted({a for a, b in pairwise(names) if a == b}):
        raise ValueError(f"listed more than once: {first_of(double, 'query')}")
    return Queries(base, tuple(names))


def read_cameras(path: Path, names: Sequence[str]) -> dict[str, pycolmap.Camera]:
    """The cameras of queries by name: a list with lines "name model width height parameters"; COLMAP's cameras.txt of
    one camera, which is that of all; or the folder of a COLMAP model with images of these names.

    Raises FileNotFoundError if it is missing, ValueError if a line has another layout, or none names a query.
    """
    if path.is_dir() and model_files(path):
        model = read_model(path)  # which owns the cameras
        found = {image.name: copy.deepcopy(image.camera) for image in model.images.values()}
    else:
        found = _of_list(path, names)
    chosen = {name: found[name] for name in names if name in found}
    if not chosen:
        asked = {PurePosixPath(name).name for name in names}
        alike = [name for name in found if PurePosixPath(name).name in asked]
        raise ValueError(
            f"{path} has no camera for any of the {first_of(names, 'query')}, it has "
            f"{printable(next(iter(alike or found), 'none'))}: names are relative to the folder of queries, or "
            "--query-folder"
        )
    if lacking := [name for name in names if name not in chosen]:
        logger.warning(
            "not in %s, so focal lengths come from EXIF or are estimated: %s", path, first_of(lacking, "query")
        )
    return chosen


def _of_list(path: Path, names: Sequence[str]) -> Mapping[str, pycolmap.Camera]:
    found, wanted = {}, set(names)
    for number, line in enumerate(lines := _lines(path), start=1):
        name, _, told = line.partition("\t") if "\t" in line else line.partition(" ")
        try:
            found[name] = _camera(told.split())
        except ValueError as error:
            raise ValueError(
                f"{path}, line {number} (comments not counted): expected name, camera model, width, height and "
                f"parameters, found {one_line(line, 60)!r} ({error})"
            ) from None
    if len(lines) == 1 and not wanted & found.keys() and lines[0].split()[0].isdecimal():
        return dict.fromkeys(names, next(iter(found.values())))
    return found


def _camera(words: list[str]) -> pycolmap.Camera:
    if len(words) < 4:
        raise ValueError(f"{counted(len(words), 'word')} behind the name")
    camera = given_camera(CameraOptions(camera_model=words[0], camera_params=",".join(words[3:])))
    camera.width, camera.height = int(words[1]), int(words[2])
    return camera


def _lines(path: Path) -> list[str]:
    """Without blank ones and comments."""
    if not path.is_file():
        raise FileNotFoundError(f"no list {path}")
    return [line.strip() for line in read_text(path).splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _name(line: str, folder: Path) -> str:
    """The whole line if it is the name of a file, else the part before the first space."""
    # os.path's: Path's raises OSError where a name with the digits of its camera is longer than a file's can be.
    return line if os.path.isfile(folder / line) else line.split()[0]


def _relative(path: Path, folder: Path) -> str:
    """The name of a file in a folder: where a link lies, or else where it leads. ValueError if neither is below it."""
    for place in (os.path.abspath, os.path.realpath):
        if Path(place(path)).is_relative_to(place(folder)):
            return Path(place(path)).relative_to(place(folder)).as_posix()
    raise ValueError(f"{path} is not below {folder}, to which names are relative: give --query-folder")
