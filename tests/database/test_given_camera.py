"""Cameras whose parameters are given, and cameras that are to be shared."""

import pycolmap
import pytest
from support.photograph_import import cameras, save, take

from d2sfm.database import cameras_given, create_database, mark_cameras_given, require_camera
from d2sfm.database.connection import Connection, open_pycolmap
from d2sfm.options import CameraMode, CameraOptions

SINGLE = CameraOptions(camera_mode=CameraMode.SINGLE)
PINHOLE = CameraOptions(camera_model="PINHOLE", camera_params="70,71,32,24")


@pytest.fixture
def folder(tmp_path):
    """An empty database beside a folder for photographs."""
    create_database(tmp_path / "db.db")
    (tmp_path / "images" / "sub").mkdir(parents=True)
    return tmp_path


def test_given_parameters_enter_the_cameras_and_are_marked(folder, caplog):
    save(folder, "a.jpg", "b.jpg", "c.jpg")
    take(folder, ["a.jpg"])
    assert take(folder, ["b.jpg", "c.jpg"], PINHOLE) == []
    assert cameras_given(folder / "db.db") == {2, 3}
    with open_pycolmap(folder / "db.db") as colmap:
        assert colmap.read_camera(3).model_name == "PINHOLE"
        assert colmap.read_camera(3).params.tolist() == [70, 71, 32, 24]
    assert caplog.text == ""
    take(folder, ["a.jpg", "b.jpg"], PINHOLE)
    assert "the camera of 1 photograph stays as it is" in caplog.text
    assert cameras_given(folder / "db.db") == {2, 3}


def test_cameras_of_a_killed_run_are_marked_by_the_next(folder):
    save(folder, "a.jpg")
    options = pycolmap.ImageReaderOptions(camera_model="PINHOLE", camera_params="70,71,32,24")
    pycolmap.import_images(folder / "db.db", folder / "images", options=options)
    take(folder, ["a.jpg"], PINHOLE)
    assert cameras_given(folder / "db.db") == {1}


def test_a_camera_to_share_must_be_the_given_one(folder):
    save(folder, "a.jpg", "b.jpg")
    given = CameraOptions(camera_mode=CameraMode.SINGLE, camera_model="PINHOLE", camera_params="70,71,32,24")
    take(folder, ["a.jpg"], SINGLE)
    with pytest.raises(
        RuntimeError,
        match=r"the given camera is PINHOLE 70,71,32,24, .* share camera 1 of .* "
        "SIMPLE_RADIAL",
    ):
        take(folder, ["b.jpg"], given)
    assert cameras(folder) == {"a.jpg": 1}


@pytest.mark.parametrize(
    ("model", "params", "message"),
    [
        ("PINHOL", "", r"no camera model PINHOL: did you mean PINHOLE\?$"),
        ("INVALID", "", "no camera model INVALID"),
        ("PINHOLE", "70,71,32", r"PINHOLE has 4 parameters \(fx, fy, cx, cy\), found 3"),
        ("PINHOLE", "70 71 32 24", "numbers separated by commas, found 70 71 32 24"),
        ("PINHOLE", "70,71,32,", "numbers separated by commas"),
        ("PINHOLE", "70,nan,32,24", "finite, with focal lengths above 0"),
        ("PINHOLE", "70,-71,32,24", "finite, with focal lengths above 0"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_is_imported(folder, model, params, message):
    save(folder, "a.jpg")
    with pytest.raises(ValueError, match=message):
        take(folder, ["a.jpg"], CameraOptions(camera_model=model, camera_params=params))
    assert cameras(folder) == {}


def test_an_existing_camera_is_that_of_all_new_photographs_of_its_size(folder):
    save(folder, "a.jpg", "b.jpg", "c.jpg", "sub/d.jpg", focal_35mm=35, maker="Maker")
    save(folder, "large.jpg", size=(80, 60))
    take(folder, ["a.jpg"])
    take(folder, ["b.jpg"], CameraOptions(camera_mode=CameraMode.PER_IMAGE))
    existing = CameraOptions(existing_camera=2)
    assert take(folder, ["a.jpg", "c.jpg", "large.jpg", "sub/d.jpg"], existing) == ["large.jpg"]
    assert cameras(folder) == {"a.jpg": 1, "b.jpg": 2, "c.jpg": 2, "sub/d.jpg": 2}
    with open_pycolmap(folder / "db.db") as colmap:
        assert colmap.num_cameras() == colmap.num_rigs() == 2
        assert colmap.num_frames() == 4


def test_an_existing_camera_must_exist(folder):
    save(folder, "a.jpg", "b.jpg")
    with pytest.raises(RuntimeError, match="has no camera 1, it has none"):
        take(folder, ["a.jpg"], CameraOptions(existing_camera=1))
    take(folder, ["a.jpg"])
    with pytest.raises(RuntimeError, match=r"has no camera 7, it has 1$"):
        take(folder, ["b.jpg"], CameraOptions(existing_camera=7))
    assert cameras(folder) == {"a.jpg": 1}
    with pytest.raises(FileNotFoundError, match="no database"):
        require_camera(folder / "none.db", 1)


def test_marks_are_kept_and_go_with_their_camera(folder):
    database = folder / "db.db"
    before = database.read_bytes()
    assert cameras_given(database) == set()
    assert database.read_bytes() == before
    with open_pycolmap(database) as colmap:
        for _ in range(5):
            colmap.write_camera(pycolmap.Camera(model="PINHOLE", width=4, height=4, params=[1, 1, 2, 2]))
    mark_cameras_given(database, [4, 2])
    mark_cameras_given(database, {2, 5})
    assert cameras_given(database) == {2, 4, 5}
    with Connection(database) as connection:
        connection.rows("DELETE FROM cameras WHERE camera_id = 2")
    assert cameras_given(database) == {4, 5}
