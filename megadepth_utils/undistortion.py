"""Undistorts one scene of MegaDepth: pictures and model, whole or not at all.

MegaDepth has photographs whose size is not their camera's (https://github.com/mihaidusmanu/d2-net/issues/94), missing
ones and some that are cut short. All of these are left out of the undistorted model, by name.
"""

from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from PIL import Image

from d2sfm.colmap import model_files
from d2sfm.options import Layout, UndistortionOptions
from d2sfm.photographs.reading import list_photographs
from d2sfm.undistortion.output import MARKER, discard, recover
from d2sfm.undistortion.undistort import Undistortion

SFM = Path("MegaDepth_v1_SfM")
DENSE = Path("phoenix/S6/zl548/MegaDepth_v1")
UNDISTORTED = Path("Undistorted_SfM")
SCRIPTS = ("run-colmap-geometric.sh", "run-colmap-photometric.sh")  # of COLMAP, in what earlier versions left


class SceneState(Enum):
    """The files of an undistorted scene."""

    MISSING = auto()
    DONE = auto()  # with the marker
    LEFTOVER = auto()  # of an undistortion that did not come to its end: no model yet
    FOREIGN = auto()  # without the marker, but with data that we did not make


@dataclass(frozen=True)
class Undistorted:
    """Results: the number of images, and the reason for each photograph of the model that was left out."""

    images: int
    left_out: dict[str, str]


def scene_state(base_path: Path, scene_id: str) -> SceneState:
    """What is below Undistorted_SfM."""
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
    """Write Undistorted_SfM/<scene>, a dense workspace of COLMAP. num_threads: -1 for all processors.

    An existing scene is replaced when the new one is complete, and, unless it is a leftover, only with ``overwrite``.

    Raises FileNotFoundError for missing inputs, ValueError if a scene is there already, RuntimeError for damaged inputs
    and a full disk.
    """
    base_path = Path(base_path)
    target, scene = discard_work(base_path, scene_id), base_path / SFM / scene_id
    if not overwrite and scene_state(base_path, scene_id) in (SceneState.DONE, SceneState.FOREIGN):
        raise ValueError(f"{target} exists already")
    max_edge = _longest_edge(base_path / DENSE / scene_id / "dense0/imgs")
    options = UndistortionOptions(layout=Layout.COLMAP, max_edge=max_edge, num_threads=num_threads)
    made = Undistortion(scene / "sparse/manhattan/0", scene / "images", target, options).make()
    return Undistorted(made.images, dict(made.skipped))


def discard_work(base_path: Path, scene_id: str) -> Path:
    """Remove what an unfinished run has left of a scene, or put it in its place where it was whole.

    Returns the folder of the scene.
    """
    target = Path(base_path) / UNDISTORTED / scene_id
    recover(target)
    discard(target)
    return target


def _longest_edge(folder: Path) -> int:
    """The longest edge in pixels of the pictures in a folder, from their headers."""
    names = list_photographs(folder)
    if not names:
        raise FileNotFoundError(
            f"no pictures in {folder}, expected those of multi-view stereo, which give the size limit"
        )
    longest = 0
    for name in names:
        try:
            with Image.open(folder / name) as picture:
                longest = max(longest, *picture.size)
        except (OSError, Image.DecompressionBombError) as error:
            raise RuntimeError(f"{folder / name} is damaged: its size can't be read") from error
    return longest
