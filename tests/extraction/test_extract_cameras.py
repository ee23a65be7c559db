"""Extraction with all options of cameras, and photographs that do not fit theirs."""

import json

import cv2
import pycolmap
import pytest
from support.helpers import textured_picture
from support.photograph_folder import SMALL, TINY, cut, read_all

from d2sfm.database import cameras_given, create_database, import_photographs
from d2sfm.database.connection import open_pycolmap
from d2sfm.database.given_camera import CAMERA_MODELS
from d2sfm.extraction.extract import extract_to_database
from d2sfm.extraction.folder import import_folder
from d2sfm.options import CameraMode, CameraOptions
from d2sfm.photographs.photograph import Photograph
from d2sfm.skipped import Skipped

pytestmark = pytest.mark.usefixtures("narrow_network")


def test_camera_options_that_come_too_late_are_mentioned(tmp_path, photographs, caplog):
    extract_to_database(tmp_path / "db.db", photographs, options=SMALL)
    caplog.clear()
    cameras = CameraOptions(camera_model="PINHOLE", camera_params="90,91,48,40")
    extract_to_database(tmp_path / "db.db", photographs, options=SMALL, cameras=cameras)
    assert "options of cameras are for new photographs only; those that are there keep their cameras" in caplog.text


def test_camera_options_that_are_as_before_are_not_mentioned(tmp_path, photographs, caplog):
    cameras = CameraOptions(camera_mode=CameraMode.SINGLE)
    extract_to_database(tmp_path / "db.db", photographs, options=SMALL, cameras=cameras)
    cv2.imwrite(str(photographs / "later.png"), textured_picture(7, (96, 80)))
    extract_to_database(tmp_path / "db.db", photographs, options=SMALL, cameras=cameras)
    assert "options of cameras" not in caplog.text


def test_bad_camera_options_leave_no_database(tmp_path, photographs):
    with pytest.raises(ValueError, match="PIN"):
        extract_to_database(tmp_path / "db.db", photographs, cameras=CameraOptions(camera_model="PIN"))
    assert not (tmp_path / "db.db").exists()


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(model, marks=() if model in ("SIMPLE_RADIAL", "OPENCV", "EQUIRECTANGULAR") else pytest.mark.slow)
        for model in CAMERA_MODELS
    ],
)
def test_every_camera_model_with_right_missing_and_wrong_parameters(tmp_path, model):
    """Panoramas, too (EQUIRECTANGULAR), whose parameters are their size: the case equirectangular_params."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), textured_picture(1, (96, 48)))

    def take(params):
        options, skipped = CameraOptions(camera_model=model, camera_params=",".join(map(str, params))), Skipped()
        database = tmp_path / f"{len(params)} {sum(params)}.db"
        create_database(database)
        import_folder(database, folder, [Photograph("a.png", folder / "a.png", (96, 48))], options, skipped)
        with open_pycolmap(database) as colmap:
            return skipped, [(camera.model_name, camera.params.tolist()) for camera in colmap.read_all_cameras()]

    right = pycolmap.Camera.create_from_model_name(1, model, 70.0, 96, 48).params.tolist()
    assert take(right) == ({}, [(model, right)])
    skipped, [(found, _)] = take([])
    assert (skipped, found) == ({}, model)
    skipped, cameras = take([number + 100 for number in right])  # of a larger picture
    assert list(skipped) == ["a.png"]
    assert "is 96 x 48 px, the given camera" in skipped["a.png"]
    assert cameras == []
    for wrong in (right[:-1], [*right, 1.0], [float("nan")] * len(right)):
        with pytest.raises(ValueError, match="parameters"):
            take(wrong)


@pytest.mark.parametrize("mode", [CameraMode.SINGLE, CameraMode.PER_FOLDER])
def test_a_broken_photograph_has_no_say_in_a_shared_camera(tmp_path, mode):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name, size in {"a.jpg": (112, 80), "b.jpg": (96, 80), "c.jpg": (96, 80)}.items():
        cv2.imwrite(str(folder / name), textured_picture(1, size))
    cut(folder / "a.jpg")
    cameras = CameraOptions(camera_mode=mode)
    summary = extract_to_database(tmp_path / "db.db", folder, options=SMALL, cameras=cameras)
    assert summary.extracted == 2
    assert list(summary.skipped) == ["a.jpg"]
    assert "cut short" in summary.skipped["a.jpg"]


def test_a_photograph_that_does_not_fit_the_single_camera_is_named(tmp_path, photographs):
    cameras = CameraOptions(camera_mode=CameraMode.SINGLE)
    summary = extract_to_database(tmp_path / "db.db", photographs, options=SMALL, cameras=cameras)
    assert sorted(summary.skipped) == ["b c.png", "sub/a.jpg"]
    assert "its size differs from that of the camera" in summary.skipped["b c.png"]


@pytest.mark.parametrize("mode", list(CameraMode))
def test_a_photograph_that_was_replaced_by_one_of_another_size_is_named(tmp_path, photographs, mode):
    """Its camera is in the database already, so that no camera mode makes another."""
    database = tmp_path / "db.db"
    create_database(database)
    import_photographs(database, photographs, ["a.jpg", "b c.png"])
    cv2.imwrite(str(photographs / "b c.png"), textured_picture(7, (64, 80)))
    (photographs / "sub/a.jpg").unlink()
    cameras = CameraOptions(camera_mode=mode)
    summary = extract_to_database(database, photographs, options=SMALL, cameras=cameras)
    assert summary.skipped == {"b c.png": "is 64 x 80 px, expected 112 x 80 px"}
    assert list(read_all(database)) == ["a.jpg"]


def test_a_photograph_that_does_not_fit_the_existing_camera_is_named(tmp_path, photographs):
    database, existing = tmp_path / "db.db", CameraOptions(existing_camera=1)
    with pytest.raises(FileNotFoundError, match="no database"):
        extract_to_database(database, photographs, options=SMALL, cameras=existing)
    assert not database.exists()
    create_database(database)
    import_photographs(database, photographs, ["a.jpg"])
    summary = extract_to_database(database, photographs, options=SMALL, cameras=existing)
    assert summary.skipped == dict.fromkeys(["b c.png", "sub/a.jpg"], "its size differs from that of camera 1")
    with pytest.raises(RuntimeError, match="has no camera 5"):
        extract_to_database(database, photographs, options=SMALL, cameras=CameraOptions(existing_camera=5))


def test_given_cameras_are_imported_and_marked(tmp_path, photographs):
    for name in ("b c.png", "sub/a.jpg"):
        (photographs / name).unlink()
    cameras = CameraOptions(camera_model="PINHOLE", camera_params="90,91,48,40")
    extract_to_database(tmp_path / "db.db", photographs, options=SMALL, cameras=cameras)
    given = cameras_given(tmp_path / "db.db")
    with pycolmap.Database.open(tmp_path / "db.db") as colmap:
        [camera] = colmap.read_all_cameras()
    assert camera.params.tolist() == [90, 91, 48, 40]
    assert given == {camera.camera_id}


def test_many_photographs_without_focal_length_are_mentioned_once(tmp_path, caplog):
    folder = tmp_path / "same"
    folder.mkdir()
    for index in range(4):
        cv2.imwrite(str(folder / f"{index}.jpg"), textured_picture(index, (96, 80)))
    extract_to_database(tmp_path / "db.db", folder, options=SMALL)
    lines = [record.getMessage() for record in caplog.records if "focal length" in record.getMessage()]
    assert len(lines) == 1
    assert "4 photographs of 96 x 80 px" in lines[0]
    assert "--camera-mode single" in lines[0]


def test_a_file_of_cameras_is_for_folders_of_two_cameras_in_one_run(tmp_path, photographs, caplog):
    """Sizes and principal points are checked against each table's own camera."""
    cv2.imwrite(str(photographs / "sub/b.jpg"), textured_picture(3, (60, 80)))
    (tmp_path / "cameras.toml").write_text(
        '["sub/*"]\nmodel = "PINHOLE"\nparams = [90, 91, 64, 40]\nmode = "single"\n["usb"]\nmode = "single"'
    )
    cameras = CameraOptions(cameras=tmp_path / "cameras.toml", camera_model="SIMPLE_PINHOLE")
    summary = extract_to_database(tmp_path / "db.db", photographs, options=TINY, cameras=cameras)
    assert summary.skipped == {"sub/b.jpg": "is 60 x 80 px, the given camera has its principal point at 64, 40"}
    assert 'no photograph matches ["usb"], or all that do match an earlier table' in caplog.text
    assert '["sub/*"]' not in caplog.text
    with open_pycolmap(tmp_path / "db.db") as colmap:
        found = {image.name: colmap.read_camera(image.camera_id) for image in colmap.read_all_images()}
    models = {name: camera.model_name for name, camera in found.items()}
    assert models == {"a.jpg": "SIMPLE_PINHOLE", "b c.png": "SIMPLE_PINHOLE", "sub/a.jpg": "PINHOLE"}
    assert cameras_given(tmp_path / "db.db") == {found["sub/a.jpg"].camera_id}


@pytest.mark.slow
def test_rigs_are_made_again_as_photographs_come(tmp_path, caplog):
    folder, database = tmp_path / "photographs", tmp_path / "db.db"

    def extract(*names, **options):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / name), textured_picture(len(name), (64, 48)))
        extract_to_database(database, folder, options=TINY, cameras=CameraOptions(**options))
        with open_pycolmap(database) as colmap:
            return sorted(len(list(frame.data_ids)) for frame in colmap.read_all_frames())

    rig = [{"image_prefix": "left/", "ref_sensor": True}, {"image_prefix": "right/"}]
    (tmp_path / "rig.json").write_text(json.dumps([{"cameras": rig}]))
    assert extract("left/1.png", "left/2.png", "right/1.png", rig_config=tmp_path / "rig.json") == [1, 2]
    assert extract("right/2.png", camera_mode=CameraMode.PER_FOLDER) == [1, 1, 2]
    assert "new photographs are not part of them: --rig-config defines the rigs of all photographs" in caplog.text
    assert extract(rig_config=tmp_path / "rig.json") == [2, 2]
    assert extract("left/3.png", "right/3.png", rig_config=tmp_path / "rig.json") == [2, 2, 2]
    (tmp_path / "rig.json").write_text("[]")
    with pytest.raises(ValueError, match="is not a rig configuration"):
        extract(rig_config=tmp_path / "rig.json")
