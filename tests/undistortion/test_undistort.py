import json
import shutil
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from PIL import ExifTags, Image
from support.dotted_scene import CAMERAS, FEW, SIZE, dot_errors, points, undistorted, write_dotted_scene

from d2sfm import colmap
from d2sfm.options import UndistortionOptions
from d2sfm.undistortion.output import MARKER
from d2sfm.undistortion.undistort import undistort


@pytest.fixture
def few(tmp_path) -> Path:
    write_dotted_scene(tmp_path, FEW)
    return tmp_path


def projected(image: pycolmap.Image) -> np.ndarray:
    """Where an image of a model shows the points of the scene."""
    pose = image.cam_from_world()
    return image.camera.img_from_cam(points() @ pose.rotation.matrix().T + pose.translation)


@pytest.mark.parametrize(("layout", "max_edge"), [("colmap", None), ("3dgs", None), ("colmap", 200), ("3dgs", 200)])
def test_points_are_where_the_pinhole_cameras_see_them(scene, tmp_path, layout, max_edge):
    summary, model = undistorted(scene, tmp_path / "out", layout, max_edge=max_edge)
    assert (summary.images, summary.skipped) == (len(CAMERAS), {})
    before = pycolmap.Reconstruction(scene / "model")
    for image_id, image in model.images.items():
        assert image.camera.model_name == "PINHOLE"
        assert before.images[image_id].name == summary.renamed.get(image.name, image.name)
        np.testing.assert_array_equal(
            image.cam_from_world().matrix(), before.images[image_id].cam_from_world().matrix()
        )
        with Image.open(tmp_path / "out/images" / image.name) as picture:
            assert picture.size == (image.camera.width, image.camera.height)
            assert picture.getexif().get(ExifTags.Base.Orientation, 1) == 1
            assert picture.getexif()[ExifTags.Base.Make] == "Dots"
            errors = dot_errors(np.asarray(picture), projected(image))
        assert max(picture.size) <= (max_edge or 10_000)
        assert len(errors) > 10
        assert errors.max() < 0.1
        rows = [point.point3D_id - 1 for point in image.points2D]
        np.testing.assert_allclose([point.xy for point in image.points2D], projected(image)[rows], rtol=0, atol=1e-5)
    assert sorted(model.points3D) == sorted(before.points3D)
    assert all((model.points3D[i].color == before.points3D[i].color).all() for i in before.points3D)


def test_a_camera_without_distortion_keeps_its_pixels(scene, tmp_path):
    """Size and parameters, too; a file that carries no orientation tag is copied."""
    _, model = undistorted(scene, tmp_path / "out")
    for name in ("left/a.png", "right/a.png", "c.png", "f.png"):
        image = model.find_image_with_name(name)
        assert (image.camera.width, image.camera.height) == SIZE
        before, after = scene / "photos" / name, tmp_path / "out/images" / name
        np.testing.assert_array_equal(np.asarray(Image.open(after)), np.asarray(Image.open(before)))
        assert (after.read_bytes() == before.read_bytes()) == (name != "f.png")


def test_the_model_may_be_of_upright_photographs(tmp_path):
    """Of a program that turns them: the size of the camera tells."""
    write_dotted_scene(tmp_path, FEW, orientations={})
    path = tmp_path / "photos/b.png"
    upright = Image.open(path)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    _, model = undistorted(tmp_path, tmp_path / "out")
    image = model.find_image_with_name("b.png")
    with Image.open(tmp_path / "out/images/b.png") as picture:
        assert picture.getexif()[ExifTags.Base.Orientation] == 1
        assert dot_errors(np.asarray(picture), projected(image)).max() < 0.1


def test_text_models_without_points_of_other_programs(few):
    model = pycolmap.Reconstruction(few / "model")
    shutil.rmtree(few / "model")
    (few / "model").mkdir()
    lines = {"cameras": [], "images": [], "points3D": ["1 0 0 4 10 20 30 0"]}
    for image in model.images.values():
        camera, pose = image.camera, image.cam_from_world()
        values = " ".join(str(value) for value in camera.params)
        lines["cameras"].append(f"{camera.camera_id} {camera.model_name} {camera.width} {camera.height} {values}")
        x, y, z, w = pose.rotation.quat
        place = " ".join(str(value) for value in (w, x, y, z, *pose.translation))
        lines["images"] += [f"{image.image_id} {place} {camera.camera_id} {image.name}", ""]
    for kind, text in lines.items():
        (few / f"model/{kind}.txt").write_text("\n".join([*text, ""]))
    summary, result = undistorted(few, few / "out")
    assert summary.images == 3
    assert result.num_points3D() == 1
    for image in result.images.values():
        assert dot_errors(np.asarray(Image.open(few / "out/images" / image.name)), projected(image)).max() < 0.1


def test_images_of_rigs(tmp_path):
    """Each becomes a frame of its own, where it was; one without its photograph takes no other along."""
    rig, model = pycolmap.Rig(rig_id=1), pycolmap.Reconstruction()
    names = ["l/0.png", "r/0.png"]
    for camera_id in (1, 2):
        model.add_camera(
            pycolmap.Camera(camera_id=camera_id, model="SIMPLE_RADIAL", width=40, height=30, params=[40, 20, 15, 0.1])
        )
    sensors = [pycolmap.sensor_t(pycolmap.SensorType.CAMERA, camera_id) for camera_id in (1, 2)]
    rig.add_ref_sensor(sensors[0])
    rig.add_sensor(sensors[1], pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([0.5, 0, 0])))
    model.add_rig(rig)
    frame = pycolmap.Frame(frame_id=1, rig_id=1)
    for image_id, sensor in enumerate(sensors, 1):
        frame.add_data_id(pycolmap.data_t(sensor, image_id))
    frame.rig_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([0.0, 1, 0]))
    model.add_frame(frame)
    for image_id, name in enumerate(names, 1):
        image = pycolmap.Image(name, np.zeros((0, 2)), image_id, image_id)
        image.frame_id = 1
        model.add_image(image)
    model.register_frame(1)
    (tmp_path / "model").mkdir()
    model.write_binary(tmp_path / "model")
    (tmp_path / "photos/r").mkdir(parents=True)
    Image.new("RGB", (40, 30)).save(tmp_path / "photos/r/0.png")
    summary, result = undistorted(tmp_path, tmp_path / "out")
    assert summary.skipped == {"l/0.png": "is missing"}
    [image] = result.images.values()
    np.testing.assert_array_equal(image.cam_from_world().translation, [0.5, 1, 0])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:3000]), "is damaged or cut short"),
        (lambda path: Image.new("RGB", (50, 50)).save(path), "is 50 x 50 px, expected 240 x 180 px"),
    ],
)
def test_what_cannot_be_used_is_left_out_and_named(few, damage, reason):
    damage(few / "photos/b.png")
    Image.new("RGB", SIZE).save(few / "photos/extra.png")
    summary, model = undistorted(few, few / "out")
    assert list(summary.skipped) == ["b.png"]
    assert reason in summary.skipped["b.png"]
    assert summary.without_pose == ("extra.png",)
    assert sorted(image.name for image in model.images.values()) == ["g.jpg", "left/a.png"]
    assert {element.image_id for point in model.points3D.values() for element in point.track.elements} == {1, 3}
    assert json.loads((few / "out" / MARKER).read_text())["skipped"] == summary.skipped
    assert "1 without a pose left out, 1 skipped" in str(summary)


def test_a_panorama_and_a_name_outside_are_skipped(few):
    model = pycolmap.Reconstruction(few / "model")
    model.images[2].name = "../b.png"
    panorama = pycolmap.Camera.create_from_model_name(3, "EQUIRECTANGULAR", 1.0, *SIZE)
    model.cameras[3].model, model.cameras[3].params = panorama.model, panorama.params
    model.write_binary(few / "model")
    summary, _ = undistorted(few, few / "out")
    assert "EQUIRECTANGULAR" in summary.skipped["g.jpg"]
    assert "leads out of the folder" in summary.skipped["../b.png"]
    assert summary.images == 1


def test_a_pose_that_is_not_finite_is_none(few):
    model = pycolmap.Reconstruction(few / "model")
    lost = model.image(model.reg_image_ids()[0])
    model.frame(lost.frame_id).rig_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.full(3, np.nan))
    model.write(few / "model")
    summary = undistort(few / "model", few / "photos", few / "out", options=UndistortionOptions(layout="nerfstudio"))
    assert lost.name in summary.without_pose
    assert "NaN" not in (few / "out/transforms.json").read_text()


def test_a_wrong_folder_of_photographs(few):
    (few / "other").mkdir()
    with pytest.raises(RuntimeError, match=r"no photograph in .*other can be used; b\.png is missing"):
        undistort(few / "model", few / "other", few / "out")
    with pytest.raises(FileNotFoundError, match="no such folder of photographs"):
        undistort(few / "model", few / "nowhere", few / "out")
    with pytest.raises(FileNotFoundError, match="no COLMAP model in"):
        undistort(few, few / "photos", few / "out")
    with pytest.raises(ValueError, match=r"lies inside of the photographs .*photos"):
        undistort(few / "model", few / "photos", few / "photos/out")
    assert not (few / "out").exists()


def test_a_damaged_model_is_refused(few, monkeypatch):
    monkeypatch.setattr(colmap, "SPARE_BYTES", 2**26)
    path = few / "model/images.bin"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(RuntimeError, match="can't be read"):
        undistorted(few, few / "out")
