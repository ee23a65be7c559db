"""Photographs for COLMAP from files of phones and cameras.

d2sfm prepare DCIM --output photos
"""

import errno
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from d2sfm.notebook import Displayed
from d2sfm.options import PreparationOptions
from d2sfm.photographs.headers import UnreadFormat, read_header
from d2sfm.preparation import raw, stills
from d2sfm.preparation.origin import not_of, origin_of
from d2sfm.preparation.picture import Picture, saved_origin
from d2sfm.preparation.sources import Sources, find_sources
from d2sfm.preparation.video import take_frames
from d2sfm.progress import Bar
from d2sfm.skipped import Skipped, reason
from d2sfm.text import counted, first_few, first_of

NAMES_SHOWN = 20  # of what is left out on purpose

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class PreparationSummary(Displayed):
    """Results of a run. ``skipped`` holds the reason for each file that could not be used, ``remarks`` errors of videos
    from which frames were taken nevertheless."""

    output: Path
    copied: int = 0
    converted: int = 0
    frames: int = 0
    videos: int = 0
    already_there: int = 0
    sources: Sources
    remarks: dict[str, str] = field(default_factory=dict)
    skipped: Skipped = field(default_factory=Skipped)

    def __str__(self) -> str:
        text = f"prepare: {counted(self.copied, 'photograph')} copied, {self.converted} converted, "
        text += f"{counted(self.frames, 'frame')} of {counted(self.videos, 'video')} in {self.output}"
        left_out, doubles, others = self.sources.live_movies, self.sources.raw_doubles, self.sources.others
        text += f", {self.already_there} there already" if self.already_there else ""
        text += f", {counted(len(left_out), 'movie')} of live photos left out" if left_out else ""
        text += f", {counted(len(doubles), 'raw file')} left out for a photograph beside" if doubles else ""
        text += f", {counted(len(others), 'other file')} ignored" if others else ""
        return text + (f", {len(self.skipped)} skipped" if self.skipped else "")


def prepare(
    sources: Iterable[Path | str],
    output: Path | str,
    *,
    options: PreparationOptions | None = None,
    progress: bool = False,
) -> PreparationSummary:
    """Make a folder of photographs that COLMAP reads, of files and folders of photographs, camera raw and videos.

    Files that COLMAP reads are copied. Other formats become JPEG or PNG, ``a.heic`` becomes ``a.heic.jpg``; camera raw
    is developed; of a video, ``a.mov`` becomes a folder of frames. Names are those below each source. EXIF is kept, and
    its orientation fits the pixels. Existing results of the same file are kept; if another file has the name, the
    source is skipped. Nothing is overwritten.

    Raises FileNotFoundError or ValueError for sources that are missing, hold nothing to prepare, clash or lie in the
    output, OSError if the output can't be written.
    """
    output, options = Path(output), options or PreparationOptions()
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file, expected a folder for the photographs")
    found = find_sources(map(Path, sources), output)
    if not (found.photographs or found.raws or found.videos):
        raise ValueError("the sources hold neither photographs nor videos")
    _tell_left_out(found)
    stills.register_heif()
    summary = PreparationSummary(output=output, sources=found)
    work = dict.fromkeys(found.photographs, _prepare_still)
    work |= dict.fromkeys(found.raws, partial(_convert, decode=raw.decode))
    work |= dict.fromkeys(found.videos, partial(_prepare_video, options=options))
    paths = found.photographs | found.raws | found.videos
    for name in Bar(sorted(work), "prepare", unit="file", disable=not progress):
        try:
            work[name](summary, name, paths[name])
        except (ValueError, FileNotFoundError) as error:
            summary.skipped[name] = reason(error)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:  # with the suffix that it would get: of this file alone
                summary.skipped[name] = reason(error)
                continue
            error.filename = error.filename or str(output / name)
            raise
    for name, remark in summary.remarks.items():
        logger.warning("%s %s", name, remark)
    return summary


def _tell_left_out(found: Sources) -> None:
    for names, what in (
        (found.live_movies, "movies of live photos, whose stills are taken"),
        (found.raw_doubles, "raw files beside the same shots as JPEG or HEIC"),
    ):
        if names:
            logger.info("left out, %s: %s", what, first_few(names, NAMES_SHOWN))
    if found.others:
        logger.info("neither photographs nor videos: %s", first_of(found.others, "file"))


def _prepare_still(summary: PreparationSummary, name: str, path: Path) -> None:
    try:
        read_header(path)
    except UnreadFormat:
        _convert(summary, name, path, stills.decode)
    else:
        if stills.copy(path, summary.output / name):
            summary.copied += 1
        else:
            summary.already_there += 1


def _convert(summary: PreparationSummary, name: str, path: Path, decode: Callable[[Path], Picture]) -> None:
    origin = origin_of(path)
    for there in (summary.output / f"{name}.jpg", summary.output / f"{name}.png"):
        if there.exists():
            if saved_origin(there) != origin:
                raise not_of(there)
            summary.already_there += 1
            return
    picture = decode(path)
    target = summary.output / f"{name}{picture.suffix}"
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.save(target, origin)
    summary.converted += 1


def _prepare_video(summary: PreparationSummary, name: str, path: Path, options: PreparationOptions) -> None:
    taken = take_frames(path, summary.output / name, options)
    if taken.remark:
        summary.remarks[name] = taken.remark
    if taken.were_there:
        summary.already_there += 1
    else:
        summary.frames, summary.videos = summary.frames + taken.frames, summary.videos + 1
