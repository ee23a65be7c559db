"""Which files are prepared, by their new names, and how."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from d2sfm.photographs.headers import RAW_SUFFIXES, READ_SUFFIXES, UNREAD_SUFFIXES
from d2sfm.photographs.reading import list_files
from d2sfm.text import printable

VIDEO_SUFFIXES = {".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm"}
# Of a live photo, a phone writes the still as one of these, and the movie beside it; cameras do so with raw.
_SHOT_SUFFIXES = {".jpg", ".jpeg", ".heic", ".heif", ".hif"}


@dataclass(kw_only=True)
class Sources:
    """Files by their names below the output, in the order of these; the lists hold what is not prepared."""

    photographs: dict[str, Path] = field(default_factory=dict)
    raws: dict[str, Path] = field(default_factory=dict)
    videos: dict[str, Path] = field(default_factory=dict)
    live_movies: list[str] = field(default_factory=list)  # beside a still of the same name
    raw_doubles: list[str] = field(default_factory=list)  # beside the same shot as the camera developed it
    others: list[str] = field(default_factory=list)


def find_sources(sources: Iterable[Path], output: Path) -> Sources:
    """The files of ``sources``, files or folders, those below a folder by their names relative to it.

    Raises FileNotFoundError if a file or folder is missing, ValueError if two would get the same name, or a folder is,
    or lies in, the output.
    """
    files: dict[str, Path] = {}
    for source in sources:
        for name, path in _files_of(Path(source), output):
            other = files.setdefault(name, path)
            if other.absolute() != path.absolute():
                both = f"{printable(str(other))} and {printable(str(path))}"
                raise ValueError(f"{both} would get the same name in {output}: prepare them into different folders")
    return _sorted_out(dict(sorted(files.items())))


def _files_of(source: Path, output: Path) -> list[tuple[str, Path]]:
    if not source.exists() and not source.is_symlink():
        raise FileNotFoundError(f"no such file or folder: {source}")
    if not source.is_dir():
        return [(source.name, source)]
    folder, target = source.resolve(), output.resolve()
    if folder.is_relative_to(target):
        raise ValueError(f"{source} is in the output {output}: give another --output")
    names = list_files(source)
    if target.is_relative_to(folder):  # what was prepared before is no source
        names = [name for name in names if not PurePosixPath(name).is_relative_to(target.relative_to(folder))]
    return [(name, source / name) for name in names]


def _sorted_out(files: dict[str, Path]) -> Sources:
    found = Sources()
    shots = {_shot(name) for name in files if _suffix(name) in _SHOT_SUFFIXES}
    for name, path in files.items():
        suffix = _suffix(name)
        if suffix in READ_SUFFIXES | UNREAD_SUFFIXES:
            found.photographs[name] = path
        elif suffix in RAW_SUFFIXES and _shot(name) in shots:
            found.raw_doubles.append(name)
        elif suffix in RAW_SUFFIXES:
            found.raws[name] = path
        elif suffix in VIDEO_SUFFIXES and _shot(name) in shots:
            found.live_movies.append(name)
        elif suffix in VIDEO_SUFFIXES:
            found.videos[name] = path
        else:
            found.others.append(name)
    return found


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _shot(name: str) -> str:
    """What the files of one shot share."""
    return str(PurePosixPath(name).with_suffix("")).casefold()
