"""The steps before and after extraction, each on its own; together they are tested in test_extract.py."""

import logging

import cv2
import numpy as np
import pycolmap
import pytest
from PIL import Image
from support.helpers import textured_picture
from support.photograph_folder import cut
from support.two_sizes import NAMES, cameras_of, imported, write_some_features, write_two_sizes

from d2sfm.database import begin_overwriting, create_database, import_photographs
from d2sfm.extraction.folder import import_folder, remove_replaced, remove_skipped, warn_of_replaced
from d2sfm.options import CameraMode, CameraOptions
from d2sfm.photographs.photograph import read_headers
from d2sfm.skipped import Skipped

pytestmark = pytest.mark.usefixtures("narrow_network")

FINGERPRINT = "{}"


@pytest.fixture
def photographs(tmp_path):
    return write_two_sizes(tmp_path / "photographs")


@pytest.fixture
def database(tmp_path):
    create_database(tmp_path / "db.db")
    return tmp_path / "db.db"


def test_what_is_skipped_goes_but_for_features_that_were_there(database, photographs, caplog):
    imported(database, photographs)
    write_some_features(database, FINGERPRINT, "a.jpg")
    begin_overwriting(database, NAMES, FINGERPRINT)
    remove_skipped(database, ["a.jpg", "sub/a.jpg"])
    assert sorted(cameras_of(database)) == ["a.jpg", "b.jpg", "sub/b.jpg"]
    assert "the old features stay, but d2sfm match ignores them: 1 skipped photograph (a.jpg)" in caplog.text


def test_replaced_photographs_are_named_and_taken_out(database, photographs, caplog):
    imported(database, photographs)
    for name in ("a.jpg", "b.jpg"):
        cv2.imwrite(str(photographs / name), textured_picture(0, (64, 48)))
    cut(photographs / "b.jpg")
    (photographs / "sub/b.jpg").unlink()
    warn_of_replaced(database, read_headers(photographs, NAMES, Skipped()))
    assert "(--overwrite extracts again): 2 photographs (a.jpg the first)" in caplog.text
    skipped = Skipped()
    left = remove_replaced(database, read_headers(photographs, NAMES[:3], skipped), skipped)
    assert list(skipped) == ["b.jpg"]
    assert [photograph.name for photograph in left] == ["a.jpg", "sub/a.jpg"]
    assert sorted(cameras_of(database)) == ["b.jpg", "sub/a.jpg", "sub/b.jpg"]


def test_what_is_imported_has_the_size_of_its_camera(database, photographs):
    import_photographs(database, photographs, ["a.jpg"])
    cv2.imwrite(str(photographs / "a.jpg"), textured_picture(0, (64, 48)))
    skipped = Skipped()
    headers = read_headers(photographs, ["a.jpg", "sub/b.jpg"], skipped)
    found = import_folder(database, photographs, headers, CameraOptions(), skipped)
    assert [(each.name, each.path, each.size) for each in found] == [
        ("a.jpg", photographs / "a.jpg", (96, 80)),
        ("sub/b.jpg", photographs / "sub/b.jpg", (64, 48)),
    ]


def test_pixels_of_photographs_with_cameras_of_their_own_are_not_looked_at(database, photographs):
    cut(photographs / "a.jpg")
    assert imported(database, photographs) == {}
    assert sorted(cameras_of(database)) == NAMES


@pytest.mark.parametrize("mode", [CameraMode.SINGLE, CameraMode.PER_FOLDER])
def test_a_broken_photograph_brings_no_camera_for_others(database, photographs, mode):
    """Of two broken ones and two of another size, which a camera of the broken ones would leave out."""
    cut(photographs / "a.jpg")
    cut(photographs / "b.jpg")
    found = imported(database, photographs, NAMES, CameraOptions(camera_mode=mode))
    assert sorted(found) == ["a.jpg", "b.jpg"]
    assert all("damaged" in reason for reason in found.values())
    cameras = cameras_of(database)
    assert sorted(cameras) == ["sub/a.jpg", "sub/b.jpg"]
    assert {(camera.width, camera.height) for camera in cameras.values()} == {(64, 48)}
    assert len({camera.camera_id for camera in cameras.values()}) == 1


def test_the_shared_camera_is_that_of_the_first_whole_photograph(database, photographs):
    exif = Image.Exif()
    exif[0x10F] = exif[0x110] = "a camera"
    exif.get_ifd(0x8769)[0xA405] = 24  # focal length in mm of 35 mm film
    for name, focal in (("a.jpg", 24), ("b.jpg", 50)):
        exif.get_ifd(0x8769)[0xA405] = focal
        Image.open(photographs / name).save(photographs / name, exif=exif)
    cut(photographs / "a.jpg")
    imported(database, photographs, ["a.jpg", "b.jpg"], CameraOptions(camera_mode=CameraMode.SINGLE))
    [camera] = cameras_of(database).values()
    alone = pycolmap.infer_camera_from_image(photographs / "b.jpg")
    assert np.array_equal(camera.params, alone.params)
    assert camera.has_prior_focal_length


def test_another_size_than_the_shared_cameras_is_named(database, photographs):
    left_out = imported(database, photographs, NAMES, CameraOptions(camera_mode=CameraMode.SINGLE))
    assert sorted(left_out) == ["sub/a.jpg", "sub/b.jpg"]
    assert "shared by --camera-mode single" in left_out["sub/a.jpg"]


def test_many_cameras_that_are_only_estimated_are_mentioned(database, photographs, caplog):
    for name in ("c.jpg", "d.jpg"):
        cv2.imwrite(str(photographs / name), textured_picture(9, (96, 80)))
    with caplog.at_level(logging.WARNING):
        imported(database, photographs, ["c.jpg", "d.jpg", *NAMES])
    assert [record.getMessage()[:28] for record in caplog.records] == ["4 photographs of 96 x 80 px "]


def test_another_size_than_the_existing_camera_is_named(database, photographs):
    imported(database, photographs, ["a.jpg"])
    left_out = imported(database, photographs, NAMES[1:], CameraOptions(existing_camera=1))
    assert left_out == dict.fromkeys(["sub/a.jpg", "sub/b.jpg"], "its size differs from that of camera 1")
    assert sorted(cameras_of(database)) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("mode", list(CameraMode))
def test_photographs_that_given_parameters_do_not_fit_are_named(database, photographs, caplog, mode):
    """The principal point 70, 40 lies in pictures of 96 x 80 px, not of 64 x 48."""
    cameras = CameraOptions(camera_mode=mode, camera_model="PINHOLE", camera_params="100,100,70,40")
    left_out = imported(database, photographs, NAMES, cameras)
    expected = "is 64 x 48 px, the given camera has its principal point at 70, 40"
    assert left_out == dict.fromkeys(["sub/a.jpg", "sub/b.jpg"], expected)
    assert "2 of 96 x 80 px, 2 of 64 x 48 px" in caplog.text
    assert sorted(cameras_of(database)) == ["a.jpg", "b.jpg"]


def test_given_parameters_of_photographs_of_one_size_are_not_mentioned(database, photographs, caplog):
    cameras = CameraOptions(camera_model="PINHOLE", camera_params="100,100,40,30")
    assert imported(database, photographs, NAMES[:2], cameras) == {}
    assert caplog.text == ""
