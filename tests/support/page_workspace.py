"""The folder that pages presume: photographs of the small scene with EXIF and GPS, and what the stages make of them."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from PIL import ExifTags, Image
from support.helpers import write_plane_scene
from support.pages import ROOT, Command
from support.small_map import camera
from support.small_scene import BOARDS, SIZE, draw_small_scene

from d2sfm.cli import main
from d2sfm.georeference.frames import Local
from d2sfm.training import epochs, journal
from d2sfm.training.draws import draw_epoch

PLACE = Local(48.0, 11.5)  # where the origin of the scene is, whose x is east, y down and z north, in metres
CENTRES = {
    "a.jpg": (-0.5, 0.0, 0.0),
    "b.jpg": (-0.25, 0.1, 0.0),
    "c.jpg": (0.0, -0.1, 0.0),
    "d.jpg": (0.25, 0.1, 0.0),
    "e.jpg": (0.5, -0.1, 0.0),
    "q.jpg": (0.1, 0.0, 0.0),
}
QUERY = "q.jpg"
MAPPED = [name for name in CENTRES if name != QUERY]
# x and y of points on the far board; A and B are as far from each other as the scale bar of the page.
SURVEYED = {"A": (-1.25, 0.9), "B": (1.25, 0.9), "C": (0.0, -2.2), "D": (-2.2, -2.0), "E": (2.2, -2.4)}
LEFT_EARLIER = {"d2sfm extract --images photos": "extracted.db", "d2sfm match": "matched.db"}


def make_workspace(folder: Path, landing_page: Iterable[Command]) -> None:
    """Write photos and queries, and run the landing page's commands there, which is the folder of the process.

    Of the database, what some of them have left stays beside it, see ``LEFT_EARLIER``.
    """
    for name in MAPPED:
        write_photograph(folder / "photos" / name, pose_of(name))
    write_photograph(folder / "queries" / QUERY, pose_of(QUERY))
    write_megadepth(folder)
    for command in landing_page:
        assert main(command.arguments) == 0, command.line
        if command.plain in LEFT_EARLIER:
            shutil.copy("db.db", LEFT_EARLIER[command.plain])


def write_megadepth(folder: Path) -> None:
    """MEGADEPTH and SCENE_INFO with all scenes that are trained on by default, which are one and the same."""
    dataset = folder / "MEGADEPTH"
    write_plane_scene(dataset, views=2, size=(288, 264))
    (dataset / "info").rename(folder / "SCENE_INFO")
    for scene in (ROOT / "megadepth_utils/train_scenes.txt").read_text().split():
        if scene != "0000":
            (folder / "SCENE_INFO" / f"{scene}.npz").symlink_to("0000.npz")


def shorten_training(patch: pytest.MonkeyPatch) -> None:
    """An epoch is one pair of the first scene, where it is a hundred of each; no picture shows the losses."""
    patch.setattr(epochs, "draw_epoch", lambda scenes, _, *rest: draw_epoch(scenes[:1], 1, *rest))
    patch.setattr(journal, "draw_losses", lambda *curves: np.zeros((1, 1, 3), np.uint8))


def pose_of(name: str) -> pycolmap.Rigid3d:
    """World to camera; no camera is turned."""
    return pycolmap.Rigid3d(pycolmap.Rotation3d(), -np.array(CENTRES[name]))


def write_photograph(path: Path, pose: pycolmap.Rigid3d) -> None:
    """What a camera sees of the scene from there, with its focal length and its position in EXIF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    [(latitude, longitude, altitude)] = geographic([pose.inverse().translation])
    degrees = [(int(each), int(each * 60 % 60), round(each * 3600 % 60, 5)) for each in (latitude, longitude)]
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Maker", "Camera"
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.FocalLengthIn35mmFilm: 32, ExifTags.Base.FocalLength: 32.0}
    exif[ExifTags.IFD.GPSInfo] = {1: "N", 2: degrees[0], 3: "E", 4: degrees[1], 5: b"\0", 6: round(altitude, 3)}
    Image.fromarray(draw_small_scene(pose)[..., ::-1]).save(path, quality=97, exif=exif)


def geographic(positions) -> np.ndarray:
    """Latitude, longitude and altitude of positions in the scene, [N, 3]."""
    x, y, z = np.array(positions, float).T
    return PLACE.to_geographic(np.column_stack([x, z, 500 - y]))


def surveyed(name: str) -> np.ndarray:
    """The position of a surveyed point in the scene."""
    return np.array([*SURVEYED[name], BOARDS[0][0]])


def clicks(name: str) -> dict[str, np.ndarray]:
    """Where the photographs show a surveyed point."""
    seen = {each: camera().img_from_cam(pose_of(each) * surveyed(name)) for each in MAPPED}
    return {each: xy for each, xy in seen.items() if (xy > 0).all() and (xy < SIZE).all()}


def write_true_model(folder: Path, names: Iterable[str]) -> None:
    """A model of the true cameras, without points."""
    model, known = pycolmap.Reconstruction(), camera()
    known.camera_id = 1
    model.add_camera_with_trivial_rig(known)
    for image_id, name in enumerate(names, start=1):
        image = pycolmap.Image(name=name, camera_id=1, image_id=image_id)
        model.add_image_with_trivial_frame(image, pose_of(name))
    folder.mkdir()
    model.write_binary(folder)
