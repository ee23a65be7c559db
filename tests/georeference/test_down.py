"""Which way is down by cameras: EXIF of the database, of the photographs, gravity of another program's database."""

import numpy as np
import pycolmap
import pytest
from PIL import Image
from support.placed_model import CAMERAS, true_model

from d2sfm.georeference.down import mean_down, orientations

TURNS = {6: 90.0, 8: -90.0, 3: 180.0}  # of the camera about its axis, degrees, by the orientation that mends it


def turned_model(orientation):
    """The true model with each camera held that way."""
    model = true_model()
    turn = pycolmap.Rotation3d(np.radians([0, 0, -TURNS.get(orientation, 0.0)]))
    for image_id, camera in enumerate(CAMERAS, start=1):
        upright = pycolmap.Rigid3d(pycolmap.Rotation3d(camera.rotation), camera.translation)
        model.images[image_id].frame.rig_from_world = pycolmap.Rigid3d(turn, np.zeros(3)) * upright
    return [model.images[image_id] for image_id in model.reg_image_ids()]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_turned_photographs_tell_the_same_down(orientation):
    turned = {camera.name: orientation for camera in CAMERAS}
    found = mean_down(turned_model(orientation), turned)
    assert found.axis[2] < -0.97
    assert found.agreement > 0.97


def test_cameras_that_look_down():
    images = turned_model(1)
    found = mean_down(images, {}, is_nadir=True)
    assert found.axis == pytest.approx(found.view / np.linalg.norm(found.view))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_orientations_of_photographs_and_of_colmaps_import_are_the_same(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (16, 12)).save(tmp_path / "photos" / "a.jpg", exif=exif)
    pycolmap.Database.open(tmp_path / "db.db").close()
    pycolmap.import_images(tmp_path / "db.db", tmp_path / "photos")
    sizes = {"a.jpg": (16, 12), "gone.jpg": (16, 12)}
    assert orientations(sizes, None, tmp_path / "photos") == {"a.jpg": orientation}
    assert orientations(sizes, tmp_path / "db.db", None)["a.jpg"] == orientation
    upright = {"a.jpg": (12, 16)}  # of a model of the upright pictures, as those that other programs have turned
    in_upright = 1 if orientation in (6, 8) else orientation
    assert orientations(upright, None, tmp_path / "photos") == {"a.jpg": in_upright}
    assert orientations(upright, tmp_path / "db.db", None) == {"a.jpg": in_upright}
