"""Undistorts one scene of MegaDepth: pictures and model, through pycolmap, whole or not at all.

A scene is made in a hidden folder beside its place and moved there when it is whole, a marker in it that was written
last. MegaDepth has photographs whose size is not their camera's (https://github.com/mihaidusmanu/d2-net/issues/94),
and pycolmap aborts the process at the first of them; it goes on without a missing one, and makes half a grey picture
of one that is cut short. All of these are left out of the undistorted model, by name.
"""

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

import pycolmap
from PIL import Image

from d2sfm.colmap import model_files, quiet_pycolmap, read_model
from d2sfm.models import require_whole, write_model
from d2sfm.parts import finish_putting, put_in_place, sync
from d2sfm.photographs.reading import check_photograph, list_photographs

SFM = Path("MegaDepth_v1_SfM")
DENSE = Path("phoenix/S6/zl548/MegaDepth_v1")
UNDISTORTED = Path("Undistorted_SfM")
MARKER = "undistorted.json"
SCRIPTS = ("run-colmap-geometric.sh", "run-colmap-photometric.sh")


class SceneState(Enum):
    """What there is of an undistorted scene."""

    MISSING = auto()
    DONE = auto()  # with the marker
    LEFTOVER = auto()  # of an undistortion that did not come to its end: no model yet
    FOREIGN = auto()  # without the marker, but with data that we did not make


@dataclass(frozen=True)
class Undistorted:
    """What was made: the number of images, and the reason for each photograph of the model that was left out."""

    images: int
    left_out: dict[str, str]


def scene_state(base_path: Path, scene_id: str) -> SceneState:
    """What there is below Undistorted_SfM."""
    folder = Path(base_path) / UNDISTORTED / scene_id
    if not folder.exists():
        return SceneState.MISSING
    if (folder / MARKER).is_file():
        return SceneState.DONE
    known = {"images", "sparse", "stereo", *SCRIPTS}
    if not folder.is_dir() or any(path.name not in known for path in folder.iterdir()):
        return SceneState.FOREIGN
    return SceneState.FOREIGN if model_files(folder / "sparse") else SceneState.LEFTOVER


def undistort_scene(base_path: Path, scene_id: str, overwrite: bool = False, num_threads: int = -1) -> Undistorted:
    """Write Undistorted_SfM/<scene>: images/, sparse/ and the marker. num_threads: -1 for all processors.

    pycolmap may abort the process on data that no check here foresees: see ``isolation``. What was there is replaced
    when the new scene is whole, and only with ``overwrite`` if it is more than a leftover.

    Raises FileNotFoundError for missing inputs, ValueError where a scene is there already, RuntimeError for damaged
    inputs and failures of pycolmap.
    """
    base_path = Path(base_path)
    target, work = base_path / UNDISTORTED / scene_id, discard_work(base_path, scene_id)
    if not overwrite and scene_state(base_path, scene_id) in (SceneState.DONE, SceneState.FOREIGN):
        raise ValueError(f"{target} is there already")
    images, source = base_path / SFM / scene_id / "images", base_path / SFM / scene_id / "sparse/manhattan/0"
    max_edge = _longest_edge(base_path / DENSE / scene_id / "dense0/imgs")
    model = read_model(source)
    left_out = _faults(model, images)
    if len(left_out) == model.num_reg_images():
        name, reason = next(iter(left_out.items()), ("the model", "has no images"))
        raise RuntimeError(f"no photograph in {images} can be used; {name} {reason}")

    work.mkdir(parents=True)
    if left_out:
        source = work / "source"
        _write_without(model, left_out, source)
    _undistort(work, source, images, max_edge, num_threads)
    _check(work, model.num_reg_images())
    _tidy(work)
    made = Undistorted(model.num_reg_images(), left_out)
    _finish(work, {"max_image_size": max_edge, "images": made.images, "left_out": left_out})
    put_in_place(work.parent, _there(target), scene_id)
    return made


def discard_work(base_path: Path, scene_id: str) -> Path:
    """Remove what an unfinished run has left of a scene, or put it in its place where it was whole.

    Returns the folder that a run works in.
    """
    target = Path(base_path) / UNDISTORTED / scene_id
    finish_putting(target.parent, _there(target), scene_id)
    unfinished = target.with_name(f".{scene_id}.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    return unfinished / scene_id


def _there(target: Path) -> list[Path]:
    return [target] if target.exists() else []


def _longest_edge(folder: Path) -> int:
    """The longest edge in pixels of the pictures in a folder, from their headers."""
    names = list_photographs(folder)
    if not names:
        raise FileNotFoundError(f"no pictures in {folder}, expected those of multi-view stereo (for the size limit)")
    longest = 0
    for name in names:
        try:
            with Image.open(folder / name) as picture:
                longest = max(longest, *picture.size)
        except OSError as error:
            raise RuntimeError(f"{folder / name} is damaged: its size can't be read") from error
    return longest


def _registered(model: pycolmap.Reconstruction) -> list[pycolmap.Image]:
    return [model.images[image_id] for image_id in sorted(model.reg_image_ids())]


def _faults(model: pycolmap.Reconstruction, folder: Path) -> dict[str, str]:
    """Reason for each image of the model whose picture in the folder can't be used."""
    found = {image.name: _fault(folder / image.name, image.camera) for image in _registered(model)}
    return {name: reason for name, reason in found.items() if reason}


def _fault(path: Path, camera: pycolmap.Camera) -> str | None:
    try:
        width, height = _size_of_whole_jpeg(path) or check_photograph(path)
    except FileNotFoundError:
        return "is missing"
    except ValueError as error:
        return str(error)
    if (width, height) != (camera.width, camera.height):
        return f"is {width} x {height} pixels, its camera {camera.width} x {camera.height}"
    return None


def _size_of_whole_jpeg(path: Path) -> tuple[int, int] | None:
    """(width, height) of a JPEG that ends as it should; None for any other file, which takes a closer look.

    A closer look decodes, which takes a tenth of the time of undistortion, for photographs and results alike.
    """
    try:
        with path.open("rb") as stream:
            begins = stream.read(3) == b"\xff\xd8\xff"
            if not begins or stream.seek(-2, os.SEEK_END) < 3 or stream.read() != b"\xff\xd9":
                return None
            return Image.open(stream).size
    except OSError:
        return None


def _write_without(model: pycolmap.Reconstruction, names: Iterable[str], folder: Path) -> None:
    """Take images out of a model, and write it."""
    for image in _registered(model):
        if image.name in names:
            model.deregister_frame(image.frame_id)
    folder.mkdir()
    write_model(model, folder)


def _undistort(work: Path, source: Path, images: Path, max_edge: int, num_threads: int) -> None:
    options = pycolmap.UndistortCameraOptions()
    options.max_image_size = max_edge
    with quiet_pycolmap():
        pycolmap.undistort_images(work, source, images, undistort_options=options, num_threads=num_threads)


def _check(work: Path, expected: int) -> None:
    """pycolmap does not say where a picture could not be written, on a full disk for example."""
    try:
        require_whole(work / "sparse")
    except (ValueError, OSError) as error:
        raise RuntimeError(f"undistortion failed: {error}") from error
    model = read_model(work / "sparse")
    faults = _faults(model, work / "images")
    if faults:
        name, reason = next(iter(faults.items()))
        raise RuntimeError(f"undistortion failed: of {len(faults)} bad pictures the first, {name}, {reason}")
    if model.num_reg_images() != expected:
        raise RuntimeError(f"undistortion gave a model of {model.num_reg_images()} images, expected {expected}")


def _tidy(work: Path) -> None:
    """Remove what pycolmap writes for multi-view stereo, and the source model."""
    for name in ("stereo", "source", *SCRIPTS):
        _remove(work / name)


def _finish(work: Path, facts: dict) -> None:
    """Write the marker when all else is on the disk."""
    for parent, _, files in os.walk(work):
        for name in files:
            sync(Path(parent, name))
        sync(Path(parent))
    marker = work / MARKER
    marker.write_text(json.dumps(facts | {"pycolmap": pycolmap.__version__}, indent=1) + "\n", encoding="utf-8")
    sync(marker)
    sync(work)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
