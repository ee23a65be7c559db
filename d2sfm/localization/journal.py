"""Results of a run so far, query by query, so that a stopped run continues.

A line of JSON for the run, then one for each query. A line that a kill has cut is ignored.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.json_text import json_text
from d2sfm.localization.outcome import NotPlaced, Pose, Reason
from d2sfm.parts import only_run
from d2sfm.text import counted

logger = logging.getLogger(__name__)


class Journal:
    """Of the run that writes a file; continues that of a stopped run with the same settings.

    settings: what decides results. Raises OSError if it can't be written, RuntimeError if another run writes it.
    """

    def __init__(self, output: Path, settings: dict[str, object]):
        self._path = output.with_name(f".{output.name}.journal")
        self._done: dict[str, int] = {}  # where the lines of queries begin
        head = json_text(settings)
        with ExitStack() as stack:
            stack.enter_context(only_run(output, self._path.with_name(f"{self._path.name}.lock")))
            if self._path.exists() and not self._takes_up(head):
                logger.info("a stopped run had other settings: all queries are placed again")
                self._path.unlink()
            if not self._path.exists():
                self._path.write_text(f"{head}\n")
            self._stream = self._path.open("r+b")
            self._lock = stack.pop_all()
        self._stream.seek(0, 2)

    @property
    def done(self) -> set[str]:
        """Keys of queries that have a result."""
        return set(self._done)

    def write(self, key: str, found: Pose | NotPlaced | str) -> None:
        """A result, or why there is none, in words."""
        self._done[key] = self._stream.tell()
        self._stream.write(f"{json_text([key, _plain(found)])}\n".encode())
        self._stream.flush()

    def read(self, keys: list[str]) -> Iterator[Pose | NotPlaced | str]:
        """Results, one at a time. RuntimeError if one is of another query."""
        for key in keys:
            self._stream.seek(self._done[key])
            written, found = json.loads(self._stream.readline())
            if written != key:
                raise RuntimeError(f"{self._path} was changed by another program: delete it, and run the command again")
            yield _restored(found)

    def close(self, *, is_finished: bool) -> None:
        """Delete the journal, which a finished run does not need."""
        with self._lock:
            self._stream.close()
            if is_finished:
                self._path.unlink()

    def _takes_up(self, head: str) -> bool:
        """Find the complete lines, and cut the file behind them. Returns whether it begins with the head."""
        with self._path.open("r+b") as stream:
            if stream.readline() != f"{head}\n".encode():
                return False
            begin = stream.tell()
            while (line := stream.readline()).endswith(b"\n"):
                self._done[json.loads(line)[0]] = begin
                begin = stream.tell()
            stream.truncate(begin)
        if self._done:
            logger.info("continuing a stopped run: %s done", counted(len(self._done), "query"))
        return True


def _plain(found: Pose | NotPlaced | str) -> dict[str, object]:
    if isinstance(found, str):
        return {"unusable": found}
    if isinstance(found, NotPlaced):
        return {"needed": found.needed} | {name: getattr(found, name) for name in NotPlaced.IN_JSON}
    camera, told = found.camera, ("quaternion", "translation", "inliers", "points", "error_px", "candidates")
    facts = {name: getattr(found, name) for name in (*told, "covariance", "xy", "point_ids")}
    return facts | {"camera": [camera.model_name, camera.width, camera.height, camera.params]}


def _restored(facts: dict) -> Pose | NotPlaced | str:
    if "unusable" in facts:
        return facts["unusable"]
    facts["candidates"] = tuple(facts["candidates"])
    if "reason" in facts:
        return NotPlaced(**facts | {"reason": Reason(facts["reason"])})
    (w, *xyz), (model, width, height, params) = facts.pop("quaternion"), facts.pop("camera")
    rotation = pycolmap.Rotation3d(np.array([*xyz, w]))
    facts["cam_from_world"] = pycolmap.Rigid3d(rotation, np.array(facts.pop("translation")))
    facts["camera"] = pycolmap.Camera(model=model, width=width, height=height, params=params)
    shapes = {"xy": (-1, 2), "point_ids": (-1,), "covariance": (6, 6)}
    types = {"point_ids": np.int64}
    for name, shape in shapes.items():
        numbers = [[np.nan if each is None else each for each in np.ravel(facts[name])]]
        facts[name] = np.array(numbers, types.get(name, float)).reshape(shape)
    return Pose(**facts)
