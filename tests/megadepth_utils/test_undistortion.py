import errno
import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
from PIL import Image
from support.megadepth_scene import MegaDepthScene, write_megadepth_scene

from d2sfm import colmap
from d2sfm.undistortion import pictures
from d2sfm.undistortion.output import MARKER
from megadepth_utils.undistortion import SceneState, Undistorted, discard_work, scene_state, undistort_scene

MODEL = "MegaDepth_v1_SfM/0000/sparse/manhattan/0"
IMAGES = "MegaDepth_v1_SfM/0000/images"
PICTURES = "phoenix/S6/zl548/MegaDepth_v1/0000/dense0/imgs"
PHOTOGRAPH = f"{IMAGES}/view_01.jpg"
ENTRIES = ["images", "sparse", "stereo", MARKER]


pytestmark = pytest.mark.slow  # of its scene, which is rendered


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> MegaDepthScene:
    return write_megadepth_scene(tmp_path_factory.mktemp("megadepth"), views=3, size=(160, 120))


@pytest.fixture
def root(original, tmp_path) -> Path:
    return Path(shutil.copytree(original.root, tmp_path / "megadepth"))


@pytest.fixture
def target(root) -> Path:
    return root / "Undistorted_SfM/0000"


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written(original, root, target, capfd):
    assert undistort_scene(root, "0000") == Undistorted(images=3, left_out={})
    assert names_in(target.parent) == ["0000"]
    assert names_in(target) == ENTRIES
    assert names_in(target / "images") == ["view_00.jpg", "view_01.jpg", "view_02.jpg"]
    assert {"cameras.bin", "images.bin", "points3D.bin"} <= set(names_in(target / "sparse"))
    facts = json.loads((target / MARKER).read_text())
    assert (facts["max_edge"], facts["images"], facts["skipped"]) == (160, 3, {})
    assert scene_state(root, "0000") is SceneState.DONE
    assert capfd.readouterr() == ("", "")


def test_model_is_the_old_one_without_distortion(root, target):
    undistort_scene(root, "0000")
    before, after = pycolmap.Reconstruction(root / MODEL), pycolmap.Reconstruction(target / "sparse")
    assert sorted(after.images) == sorted(before.images)
    assert sorted(after.points3D) == sorted(before.points3D)
    for image_id, image in after.images.items():
        assert image.camera.model_name == "PINHOLE"
        assert Image.open(target / "images" / image.name).size == (image.camera.width, image.camera.height)
        old = before.images[image_id]
        np.testing.assert_array_equal(image.cam_from_world().matrix(), old.cam_from_world().matrix())
        rays = old.camera.cam_from_img(np.array([point.xy for point in old.points2D]))
        expected = np.column_stack([rays, np.ones(len(rays))]) @ image.camera.calibration_matrix().T
        np.testing.assert_allclose([point.xy for point in image.points2D], expected[:, :2], rtol=0, atol=1e-6)


def test_size_limit_is_the_longest_edge_in_imgs(root, target):
    for path, size in zip(sorted((root / PICTURES).iterdir()), [(90, 60), (60, 100), (10, 10)], strict=True):
        Image.new("RGB", size).save(path)
    undistort_scene(root, "0000")
    for image in pycolmap.Reconstruction(target / "sparse").images.values():
        assert max(Image.open(target / "images" / image.name).size) == 100
        assert (image.camera.width, image.camera.height) == Image.open(target / "images" / image.name).size


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: cut(path, 0), "is an empty file"),
        (lambda path: cut(path, 4), "is not a picture"),
        (lambda path: cut(path, 9000), "is damaged or cut short"),
        (lambda path: path.write_text("no picture"), "is not a picture"),
        (lambda path: Image.new("RGB", (120, 160)).save(path), "is 120 x 160 px, expected 160 x 120 px"),
    ],
    ids=["missing", "empty", "start only", "cut short", "text", "other size"],
)
def test_a_photograph_that_cannot_be_used_is_left_out(root, target, damage, reason):
    damage(root / PHOTOGRAPH)
    made = undistort_scene(root, "0000")
    assert made.images == 2
    assert list(made.left_out) == ["view_01.jpg"]
    assert reason in made.left_out["view_01.jpg"]
    assert json.loads((target / MARKER).read_text())["skipped"] == made.left_out
    assert names_in(target) == ENTRIES
    assert names_in(target / "images") == ["view_00.jpg", "view_02.jpg"]


def test_a_model_without_one_image_is_otherwise_the_same(original, root, target):
    (root / PHOTOGRAPH).unlink()
    undistort_scene(root, "0000")
    before, after = pycolmap.Reconstruction(root / MODEL), pycolmap.Reconstruction(target / "sparse")
    lost = before.find_image_with_name("view_01.jpg").image_id
    assert set(after.images) == set(before.images) - {lost}
    for image in after.images.values():
        old = before.images[image.image_id]
        np.testing.assert_array_equal(image.cam_from_world().matrix(), old.cam_from_world().matrix())
        np.testing.assert_array_equal(image.camera.calibration_matrix(), original.cameras[image.name].calibration)
    for point_id, point in before.points3D.items():
        seen_by = {element.image_id for element in point.track.elements} - {lost}
        assert (point_id in after.points3D) == (len(seen_by) > 1)
        if len(seen_by) > 1:
            assert {element.image_id for element in after.points3D[point_id].track.elements} == seen_by


def test_a_picture_that_is_no_jpeg_is_used(root, target):
    """Its name says JPEG: COLMAP and Pillow go by its contents."""
    picture = Image.open(root / PHOTOGRAPH).copy()
    picture.save(root / PHOTOGRAPH, "PNG")
    assert undistort_scene(root, "0000").left_out == {}


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda root: shutil.rmtree(root / IMAGES), FileNotFoundError, "no such folder of photographs"),
        (lambda root: shutil.rmtree(root / MODEL), FileNotFoundError, "no COLMAP model in"),
        (lambda root: (root / MODEL / "points3D.bin").unlink(), FileNotFoundError, "no COLMAP model in"),
        (lambda root: cut(root / MODEL / "images.bin", 30000), RuntimeError, "the model .* can't be read: "),
        (lambda root: cut(root / MODEL / "points3D.bin", 30000), RuntimeError, "the model .* can't be read: "),
        (lambda root: cut(root / MODEL / "cameras.bin", 30), RuntimeError, "the model .* can't be read: "),
        (lambda root: cut(root / MODEL / "cameras.bin", 170), RuntimeError, "the model .* can't be read: "),
        (lambda root: shutil.rmtree(root / PICTURES), FileNotFoundError, "no such folder of photographs: .*imgs"),
        (lambda root: [path.unlink() for path in (root / PICTURES).iterdir()], FileNotFoundError, "no pictures in"),
        (lambda root: cut(root / PICTURES / "view_00.jpg", 10), RuntimeError, r"view_00\.jpg is damaged"),
    ],
    ids=["photos", "model", "points", "images.bin", "points.bin", "cameras.bin", "camera", "imgs", "empty", "bad imgs"],
)
def test_a_broken_scene_is_refused(root, target, damage, error, message, monkeypatch):
    monkeypatch.setattr(colmap, "SPARE_BYTES", 2**26)  # all of it is filled before it runs out
    damage(root)
    with pytest.raises(error, match=message):
        undistort_scene(root, "0000")
    assert scene_state(root, "0000") is SceneState.MISSING


def test_nothing_is_put_in_place_where_the_disk_is_full(root, target, monkeypatch):
    def save(path, *arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(pictures, "write_image", save)
    with pytest.raises(OSError, match="No space left"):
        undistort_scene(root, "0000")
    assert scene_state(root, "0000") is SceneState.MISSING
    monkeypatch.undo()
    assert undistort_scene(root, "0000").images == 3  # what was left behind is in nobody's way
    assert names_in(target.parent) == ["0000"]


def test_a_leftover_without_model_is_made_again(root, target):
    (target / "images").mkdir(parents=True)
    (target / "images/old.jpg").write_text("half")
    (target / "stereo").mkdir()
    assert scene_state(root, "0000") is SceneState.LEFTOVER
    undistort_scene(root, "0000")
    assert names_in(target.parent) == ["0000"]
    assert names_in(target) == ENTRIES
    assert "old.jpg" not in names_in(target / "images")


@pytest.mark.parametrize("kind", ["model of others", "other data", "file", "done"])
def test_data_is_replaced_on_request_only(root, target, kind):
    undistort_scene(root, "0000")
    if kind == "file":
        shutil.rmtree(target)
        target.write_text("mine")
    elif kind != "done":
        (target / MARKER).unlink()
    if kind == "other data":
        shutil.rmtree(target / "sparse")
        (target / "notes.txt").write_text("mine")
    state = SceneState.DONE if kind == "done" else SceneState.FOREIGN
    assert scene_state(root, "0000") is state
    before = target.stat().st_ino
    with pytest.raises(ValueError, match="0000 exists already"):
        undistort_scene(root, "0000")
    assert target.stat().st_ino == before
    undistort_scene(root, "0000", overwrite=True)
    assert scene_state(root, "0000") is SceneState.DONE
    assert target.stat().st_ino != before
    assert names_in(target.parent) == ["0000"]


def test_what_is_there_stays_where_overwriting_fails(root, target):
    undistort_scene(root, "0000")
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    shutil.rmtree(root / PICTURES)
    with pytest.raises(FileNotFoundError):
        undistort_scene(root, "0000", overwrite=True)
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == before


def test_discarding_unfinished_work(root, target):
    work = target.parent / ".0000.unfinished/0000"
    (work / "images").mkdir(parents=True)
    assert discard_work(root, "0000") == target
    assert names_in(target.parent) == []
    assert scene_state(root, "0000") is SceneState.MISSING


def quarters(shape):
    """Slices of the four quarters of a picture."""
    rows, columns = (np.array_split(range(edge), 2) for edge in shape[:2])
    return [np.ix_(some, others) for some in rows for others in columns]


@pytest.mark.photographs
def test_megadepth_as_shipped(shared_data, tmp_path):
    """Depth maps belong to these intrinsics: they must be the ones of the published data."""
    for name in ("MegaDepth_v1_SfM", "phoenix"):
        shutil.copytree(shared_data / "mini_megadepth" / name, tmp_path / name, copy_function=shutil.copyfile)
    assert undistort_scene(tmp_path, "0000") == Undistorted(images=10, left_out={})
    ours, theirs = tmp_path / "Undistorted_SfM/0000", shared_data / "mini_megadepth/Undistorted_SfM/0000"
    model, expected = pycolmap.Reconstruction(ours / "sparse"), pycolmap.Reconstruction(theirs / "sparse")
    assert sorted(model.images) == sorted(expected.images)
    for image_id, image in model.images.items():
        other = expected.images[image_id]
        assert (image.name, image.camera.model_name) == (other.name, "PINHOLE")
        assert (image.camera.width, image.camera.height) == (other.camera.width, other.camera.height)
        np.testing.assert_allclose(image.camera.params, other.camera.params, rtol=0, atol=1e-6)
        np.testing.assert_allclose(image.cam_from_world().matrix(), other.cam_from_world().matrix(), rtol=0, atol=1e-6)
        np.testing.assert_allclose(
            [point.xy for point in image.points2D], [point.xy for point in other.points2D], rtol=0, atol=1e-6
        )
        shown = [np.float32(Image.open(folder / "images" / image.name)) for folder in (ours, theirs)]
        assert np.abs(shown[0] - shown[1]).mean() < 2.5  # JPEG's losses, of other settings: 0.6 to 1.8
        for part in quarters(shown[0].shape):
            shift, _ = cv2.phaseCorrelate(*(picture[part].mean(axis=2) for picture in shown))
            assert np.linalg.norm(shift) < 0.1
