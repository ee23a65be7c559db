"""The steps before and after extraction, each on its own; together they are tested in test_extraction.py."""

import json
import logging

import cv2
import numpy as np
import pycolmap
import pytest
from PIL import Image
from support.helpers import textured_picture

from d2sfm.database import FeatureStore, begin_overwriting, create_database
from d2sfm.extraction.folder import (
    camera_sizes,
    feature_writer,
    import_folder,
    names_to_overwrite,
    note_folder,
    pending_names,
    remove_replaced,
    remove_skipped,
    warn_of_replaced,
)
from d2sfm.features.record import Features
from d2sfm.options import CameraMode, CameraOptions, Convention, DescriptorDtype

FINGERPRINT = json.dumps({"extractor": "d2sfm", "max_edge": 96})


@pytest.fixture
def photographs(tmp_path):
    """a.jpg and b.jpg of 96 x 80, sub/a.jpg and sub/b.jpg of 64 x 48 px."""
    folder = tmp_path / "photographs"
    for index, (name, size) in enumerate(
        {"a.jpg": (96, 80), "b.jpg": (96, 80), "sub/a.jpg": (64, 48), "sub/b.jpg": (64, 48)}.items()
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), textured_picture(index, size))
    return folder


@pytest.fixture
def database(tmp_path):
    create_database(tmp_path / "db.db")
    return tmp_path / "db.db"


NAMES = ["a.jpg", "b.jpg", "sub/a.jpg", "sub/b.jpg"]


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def some_features(size):
    return Features(
        keypoints=np.ones((3, 4), np.float32),
        descriptors=np.ones((3, 512), np.float16),
        image_size=size,
        input_size=size,
        convention=Convention.COLMAP,
        scales=(1.0,),
    )


def cameras_of(database):
    with pycolmap.Database.open(database) as colmap:
        return {image.name: colmap.read_camera(image.camera_id) for image in colmap.read_all_images()}


def test_pending_are_those_without_features(database, photographs):
    import_folder(database, photographs, NAMES, CameraOptions())
    assert pending_names(database, NAMES, FINGERPRINT) == NAMES
    with feature_writer(database, FINGERPRINT, DescriptorDtype.FLOAT16) as write:
        write("b.jpg", some_features((96, 80)))
    assert pending_names(database, NAMES, FINGERPRINT) == ["a.jpg", "sub/a.jpg", "sub/b.jpg"]
    with pytest.raises(RuntimeError, match=r"with max_edge 96, asked for is max_edge 64"):
        pending_names(database, NAMES, FINGERPRINT.replace("96", "64"))
    with FeatureStore(database) as store:
        assert store.read("b.jpg").descriptors.dtype == np.float16


def test_to_be_overwritten_are_all_or_what_a_stopped_run_left(database, photographs):
    import_folder(database, photographs, NAMES, CameraOptions())
    with feature_writer(database, FINGERPRINT, DescriptorDtype.FLOAT16) as write:
        write("a.jpg", some_features((96, 80)))
        write("b.jpg", some_features((96, 80)))
    other = FINGERPRINT.replace("96", "64")
    assert names_to_overwrite(database, NAMES, FINGERPRINT) == names_to_overwrite(database, NAMES, other) == NAMES
    with pytest.raises(RuntimeError, match=r"max_edge 96 of 1 image \(b\.jpg\), not among the 3 phot"):
        names_to_overwrite(database, ["a.jpg", *NAMES[2:]], other)
    begin_overwriting(database, NAMES, other)
    with feature_writer(database, other, DescriptorDtype.FLOAT16) as write:
        write("a.jpg", some_features((96, 80)))
    assert names_to_overwrite(database, NAMES, other) == pending_names(database, NAMES, other) == NAMES[1:]
    assert names_to_overwrite(database, NAMES, FINGERPRINT) == NAMES


def test_what_is_skipped_goes_but_for_features_that_were_there(database, photographs, caplog):
    import_folder(database, photographs, NAMES, CameraOptions())
    with feature_writer(database, FINGERPRINT, DescriptorDtype.FLOAT16) as write:
        write("a.jpg", some_features((96, 80)))
    begin_overwriting(database, NAMES, FINGERPRINT)
    remove_skipped(database, ["a.jpg", "sub/a.jpg"])
    assert sorted(cameras_of(database)) == ["a.jpg", "b.jpg", "sub/b.jpg"]
    assert "old features stay, which d2sfm match leaves out: those of 1 skipped photograph (a.jpg)" in caplog.text


def test_replaced_photographs_are_named_and_taken_out(database, photographs, caplog):
    import_folder(database, photographs, NAMES, CameraOptions())
    for name in ("a.jpg", "b.jpg"):
        cv2.imwrite(str(photographs / name), textured_picture(0, (64, 48)))
    cut(photographs / "b.jpg")
    (photographs / "sub/b.jpg").unlink()
    warn_of_replaced(database, photographs, NAMES)
    assert "--overwrite extracts again: 2 photographs (a.jpg the first)" in caplog.text
    broken = remove_replaced(database, photographs, dict.fromkeys(NAMES[:3], (64, 48)))
    assert list(broken) == ["b.jpg"]
    assert sorted(cameras_of(database)) == ["b.jpg", "sub/a.jpg", "sub/b.jpg"]


def test_the_folder_is_noted_and_another_is_refused_once_there_are_features(database, photographs, tmp_path):
    note_folder(database, tmp_path)
    note_folder(database, photographs)
    import_folder(database, photographs, NAMES, CameraOptions())
    with feature_writer(database, FINGERPRINT, DescriptorDtype.FLOAT16) as write:
        write("b.jpg", some_features((96, 80)))
    with pytest.raises(RuntimeError, match="give those of"):
        note_folder(database, tmp_path)
    note_folder(database, photographs)


def test_sizes_are_those_of_cameras_in_the_order_of_names(database, photographs):
    import_folder(database, photographs, NAMES, CameraOptions())
    sizes = camera_sizes(database, ["sub/b.jpg", "none.jpg", "a.jpg"])
    assert list(sizes.items()) == [("sub/b.jpg", (64, 48)), ("a.jpg", (96, 80))]


def test_pixels_of_photographs_with_cameras_of_their_own_are_not_looked_at(database, photographs):
    cut(photographs / "a.jpg")
    assert import_folder(database, photographs, NAMES, CameraOptions()) == {}
    assert sorted(cameras_of(database)) == NAMES


@pytest.mark.parametrize("mode", [CameraMode.SINGLE, CameraMode.PER_FOLDER])
def test_a_broken_photograph_brings_no_camera_for_others(database, photographs, mode):
    """Of two broken ones and two of another size, which a camera of the broken ones would leave out."""
    cut(photographs / "a.jpg")
    cut(photographs / "b.jpg")
    found = import_folder(database, photographs, NAMES, CameraOptions(camera_mode=mode))
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
    import_folder(database, photographs, ["a.jpg", "b.jpg"], CameraOptions(camera_mode=CameraMode.SINGLE))
    [camera] = cameras_of(database).values()
    alone = pycolmap.infer_camera_from_image(photographs / "b.jpg")
    assert np.array_equal(camera.params, alone.params)
    assert camera.has_prior_focal_length


def test_another_size_than_the_shared_cameras_is_named(database, photographs):
    left_out = import_folder(database, photographs, NAMES, CameraOptions(camera_mode=CameraMode.SINGLE))
    assert sorted(left_out) == ["sub/a.jpg", "sub/b.jpg"]
    assert "--camera-mode single shares" in left_out["sub/a.jpg"]


def test_many_cameras_that_are_only_estimated_are_mentioned(database, photographs, caplog):
    for name in ("c.jpg", "d.jpg"):
        cv2.imwrite(str(photographs / name), textured_picture(9, (96, 80)))
    with caplog.at_level(logging.WARNING):
        import_folder(database, photographs, ["c.jpg", "d.jpg", *NAMES], CameraOptions())
    assert [record.getMessage()[:28] for record in caplog.records] == ["4 photographs of 96 x 80 px "]


def test_another_size_than_the_existing_camera_is_named(database, photographs):
    import_folder(database, photographs, ["a.jpg"], CameraOptions())
    left_out = import_folder(database, photographs, NAMES[1:], CameraOptions(existing_camera=1))
    assert left_out == dict.fromkeys(["sub/a.jpg", "sub/b.jpg"], "its size is not that of camera 1")
    assert sorted(cameras_of(database)) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("mode", list(CameraMode))
def test_photographs_that_given_parameters_do_not_fit_are_named(database, photographs, caplog, mode):
    """The principal point 70, 40 lies in pictures of 96 x 80 px, not of 64 x 48."""
    cameras = CameraOptions(camera_mode=mode, camera_model="PINHOLE", camera_params="100,100,70,40")
    left_out = import_folder(database, photographs, NAMES, cameras)
    expected = "is 64 x 48 px, the given camera has its principal point at 70, 40"
    assert left_out == dict.fromkeys(["sub/a.jpg", "sub/b.jpg"], expected)
    assert "2 of 96 x 80 px, 2 of 64 x 48 px" in caplog.text
    assert sorted(cameras_of(database)) == ["a.jpg", "b.jpg"]


def test_given_parameters_of_photographs_of_one_size_are_not_mentioned(database, photographs, caplog):
    cameras = CameraOptions(camera_model="PINHOLE", camera_params="100,100,40,30")
    assert import_folder(database, photographs, NAMES[:2], cameras) == {}
    assert caplog.text == ""
