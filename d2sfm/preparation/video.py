"""Frames of videos as photographs: the sharpest of each interval, turned as the video is shown."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from d2sfm.coordinates import upright_array
from d2sfm.files import replacing_folder
from d2sfm.options import PreparationOptions
from d2sfm.photographs.writing import JPEG_SETTINGS, write_image
from d2sfm.preparation.extras import require
from d2sfm.preparation.origin import not_of, origin_of

RECORD = ".d2sfm_prepare.json"  # in the folder of a video's frames: what they are of
_JUDGED_EDGE_PX = 960  # longest edge on which sharpness is judged
_MISSING_S = 1  # of the end of a video that go without a word: its sound may be longer

# EXIF's orientation by the signs of a display matrix: x' = a x + c y, y' = b x + d y, of (a, b, c, d).
_ORIENTATIONS = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}


@dataclass(frozen=True, kw_only=True)
class TakenFrames:
    """Frames taken from a video: their number, whether by an earlier run, and errors of the video, if any."""

    frames: int
    were_there: bool
    remark: str | None


def take_frames(source: Path, folder: Path, options: PreparationOptions) -> TakenFrames:
    """Write frames of a video as JPEG files to a folder, which gets its name when all are in it.

    Names are the numbers of frames in the video. Raises ValueError with the reason where PyAV is missing, the video
    can't be read, or the folder is there and holds something else.
    """
    av = require("av", "video")
    taken = {"of": origin_of(source), "by": options.as_given}
    if folder.exists():
        return _earlier(folder, taken)
    with replacing_folder(folder) as part:
        try:
            # Some formats name further files to read: none of the web.
            with av.open(str(source.absolute()), options={"protocol_whitelist": "file"}) as container:
                video, frames = _Video(av, container), 0
                for number, pixels in video.sharpest(options):
                    write_image(part / f"frame_{number:07}.jpg", pixels, **JPEG_SETTINGS)
                    frames += 1
                taken |= {"frames": frames, "remark": video.remark}
        except av.FFmpegError as error:
            raise ValueError(f"is damaged, or not a video known to FFmpeg: {error.strerror.lower()}") from error
        if not frames:
            raise ValueError("is damaged: it has no frame that can be decoded")
        (part / RECORD).write_text(json.dumps(taken), encoding="utf-8")
    return TakenFrames(frames=frames, were_there=False, remark=taken["remark"])


def _earlier(folder: Path, wanted: dict[str, str]) -> TakenFrames:
    """The frames of an earlier run with the same options."""
    if not (folder / RECORD).is_file():
        raise not_of(folder)
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    if record["of"] != wanted["of"]:
        raise not_of(folder)
    if record["by"] != wanted["by"]:
        raise ValueError(f"has frames by {record['by']} in {folder}: delete it, or give another --output")
    return TakenFrames(frames=record["frames"], were_there=True, remark=record["remark"])


class _Video:
    """The frames of an open video. ValueError if it has none; ``remark`` tells in the end what is wrong with it."""

    def __init__(self, av, container):
        self.stream = container.streams.best("video")
        if self.stream is None:
            raise ValueError("holds no video")
        self.stream.thread_type = "AUTO"
        self.container, self.error = container, av.FFmpegError
        self.reformatter = av.video.reformatter.VideoReformatter()
        self.damaged, self.orientation = 0, None
        self.seconds, self.end_s = Fraction(0), Fraction(0)  # of the current frame, from the start of the first

    def sharpest(self, options: PreparationOptions) -> Iterator[tuple[int, np.ndarray]]:
        """Number and upright pixels, [H, W, 3] uint8, of the sharpest frame of each interval; one is held at a time."""
        best, best_number, best_sharpness, current = None, 0, 0.0, None
        for number, frame in self._decoded():
            interval = int(self.seconds * Fraction(str(options.fps)))
            if options.every is not None:
                interval = number // options.every
            if interval != current and best is not None:
                yield best_number, self._pixels(best)
                best = None
            if self.orientation is None:  # not of each: one that was asked lives on until Python looks for cycles
                self.orientation = _orientation(frame)
            current, sharpness = interval, self._sharpness(frame)
            if best is None or sharpness > best_sharpness:
                best, best_number, best_sharpness = frame, number, sharpness
        if best is not None:
            yield best_number, self._pixels(best)

    @property
    def remark(self) -> str | None:
        """What of the video is missing, in words."""
        stream, length = self.stream, self.container.duration
        length_s = stream.duration * stream.time_base if stream.duration else Fraction(length or 0, 1_000_000)
        if length_s - self.end_s > _MISSING_S:
            return f"is cut short: its frames end after {float(self.end_s):.1f} of {float(length_s):.1f} s"
        return f"is damaged: {self.damaged} of its frames could not be decoded" if self.damaged else None

    def _decoded(self) -> Iterator[tuple[int, object]]:
        """Whole frames with their numbers."""
        number, first = 0, None
        for packet in self.container.demux(self.stream):
            try:
                frames = packet.decode()
            except self.error:
                self.damaged += 1
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self.damaged += 1
                else:
                    start = self._start_s(frame, number)
                    first = start if first is None else first
                    self.seconds = max(start - first, Fraction(0))
                    self.end_s = self.seconds + (frame.duration or 0) * frame.time_base
                    yield number, frame
                number += 1

    def _start_s(self, frame, number: int) -> Fraction:
        if frame.pts is None:  # as in some AVI files, which have one rate throughout
            return number / (self.stream.average_rate or Fraction(30))
        return frame.pts * frame.time_base

    def _sharpness(self, frame) -> float:
        import cv2  # slow to import, and only for videos

        scale = min(1, _JUDGED_EDGE_PX / max(frame.width, frame.height))
        size = {"width": max(1, round(frame.width * scale)), "height": max(1, round(frame.height * scale))}
        grey = self.reformatter.reformat(frame, format="gray", interpolation="AREA", **size).to_ndarray()
        return float(cv2.Laplacian(grey, cv2.CV_32F).var())

    def _pixels(self, frame) -> np.ndarray:
        return np.ascontiguousarray(upright_array(frame.to_ndarray(format="rgb24"), self.orientation))


def _orientation(frame) -> int:
    """EXIF's orientation for how the video is shown; 1 where it is not turned in steps of 90 degrees."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 1
    a, b, _, c, d, *_ = np.sign(np.frombuffer(matrix, np.int32)).tolist()
    return _ORIENTATIONS.get((a, b, c, d), 1)
