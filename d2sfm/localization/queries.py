"""Which photographs are queries, their names and cameras."""

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pycolmap

from d2sfm.colmap import model_files, read_model
from d2sfm.files import read_text
from d2sfm.photographs.headers import PHOTOGRAPH_SUFFIXES
from d2sfm.photographs.reading import require_photographs
from d2sfm.text import counted, first_of, one_line

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
        outside = [str(path) for path in given if not path.resolve().is_relative_to(base.resolve())]
        if outside:
            raise ValueError(f"{outside[0]} is not below {base}, to which names are relative: give --query-folder")
        names = [path.resolve().relative_to(base.resolve()).as_posix() for path in given]
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
        raise ValueError(f"{path} has no camera for any of the {first_of(names, 'query')}")
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
    if len(words) < 4 or words[0] not in pycolmap.CameraModelId.__members__:
        raise ValueError(f"{words[0] if words else 'nothing'} is not a camera model")
    width, height, params = int(words[1]), int(words[2]), [float(word) for word in words[3:]]
    camera = pycolmap.Camera(model=words[0], width=width, height=height, params=params)
    if not camera.verify_params():
        raise ValueError(f"{words[0]} does not take {counted(len(params), 'parameter')}")
    return camera


def _lines(path: Path) -> list[str]:
    """Without blank ones and comments."""
    if not path.is_file():
        raise FileNotFoundError(f"no list {path}")
    return [line.strip() for line in read_text(path).splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _name(line: str, folder: Path) -> str:
    """The whole line if it is the name of a file, else the part before the first space."""
    return line if (folder / line).is_file() else line.split()[0]
