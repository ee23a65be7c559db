"""What readers ask for, as their sources say."""

import json
import math
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from PIL import Image
from support.dotted_scene import CAMERAS, dot_errors, points

from d2sfm.models import PLY_VERTEX
from d2sfm.options import MaskOptions, UndistortionOptions
from d2sfm.undistortion.undistort import undistort
from megadepth_utils.preprocess_scene import preprocess_scene
from megadepth_utils.scene_files import workspace_files


@pytest.fixture
def write(scene, tmp_path):
    """Undistorts the scene in a layout, and returns the folder."""

    def write(layout: str, **options) -> Path:
        output = tmp_path / layout
        chosen = UndistortionOptions(layout=layout, num_threads=1)
        undistort(scene / "model", scene / "photos", output, options=chosen, **options)
        return output

    return write


@pytest.fixture
def masks(tmp_path) -> Path:
    """Of b.png: its left half is out."""
    (tmp_path / "masks").mkdir()
    mask = np.full((180, 240), 255, np.uint8)
    mask[:, :120] = 0
    Image.fromarray(mask).save(tmp_path / "masks/b.png.png")
    return tmp_path / "masks"


def read_ply(path: Path) -> np.ndarray:
    header, _, body = path.read_bytes().partition(b"end_header\n")
    names = [line.split()[2] for line in header.decode().splitlines() if line.startswith("property")]
    assert names == ["x", "y", "z", "nx", "ny", "nz", "red", "green", "blue"]
    return np.frombuffer(body, PLY_VERTEX)


def xyz_of(vertices: np.ndarray) -> np.ndarray:
    return np.column_stack([vertices[axis] for axis in "xyz"]).astype(float)


def test_3dgs_sees_what_the_pictures_show(write):
    """Its reader takes base names, fields of view of focal length and size, and the middle for the principal point."""
    output = write("3dgs")
    model = pycolmap.Reconstruction(output / "sparse/0")
    assert {"cameras.bin", "images.bin", "points3D.bin", "points3D.ply"} <= {
        path.name for path in (output / "sparse/0").iterdir()
    }
    stems = set()
    for image in model.images.values():
        assert image.camera.model_name == "PINHOLE"
        assert Path(image.name).name == image.name
        stems.add(image.name.split(".")[0])
        fx, fy, *_ = image.camera.params
        with Image.open(output / "images" / image.name) as picture:
            (width, height), mode = picture.size, picture.mode
            pixels = np.asarray(picture)
        tan_x, tan_y = (
            math.tan(math.atan(edge / (2 * focal))) for edge, focal in zip((width, height), (fx, fy), strict=True)
        )
        assert mode == "RGB"
        pose = image.cam_from_world()
        in_camera = points() @ pose.rotation.matrix().T + pose.translation
        in_view = in_camera[:, :2] / in_camera[:, 2:] / [tan_x, tan_y]  # -1 to 1
        assert dot_errors(pixels, (in_view + 1) / 2 * [width, height]).max() < 0.1
    assert len(stems) == len(CAMERAS)
    vertices = read_ply(output / "sparse/0/points3D.ply")
    assert len(vertices) == model.num_points3D()


def test_nerfstudio_agrees_with_the_model(write, scene):
    output = write("nerfstudio")
    told = json.loads((output / "transforms.json").read_text())
    assert told["camera_model"] == "PINHOLE"
    saved_from_original = np.vstack([told["applied_transform"], [0, 0, 0, 1]])
    model = pycolmap.Reconstruction(scene / "model")
    assert len(told["frames"]) == len(CAMERAS)
    assert len({Path(frame["file_path"]).name for frame in told["frames"]}) == len(CAMERAS)
    for frame in told["frames"]:
        assert "mask_path" not in frame
        pose = model.images[frame["colmap_im_id"]].cam_from_world()
        # OpenGL's camera, in the saved world: y up, looking along -z
        opengl_from_saved = np.linalg.inv(frame["transform_matrix"])
        cam_from_world = np.diag([1, -1, -1, 1]) @ opengl_from_saved @ saved_from_original
        np.testing.assert_allclose(cam_from_world[:3], pose.matrix(), rtol=0, atol=1e-6)
        in_camera = points() @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
        xy = in_camera[:, :2] / in_camera[:, 2:] * [frame["fl_x"], frame["fl_y"]] + [frame["cx"], frame["cy"]]
        with Image.open(output / frame["file_path"]) as picture:
            assert (picture.size, picture.mode) == ((frame["w"], frame["h"]), "RGB")
            assert dot_errors(np.asarray(picture), xy).max() < 0.1
    vertices = xyz_of(read_ply(output / told["ply_file_path"]))
    original = vertices @ saved_from_original[:3, :3]  # a rotation
    expected = np.array([model.points3D[point_id].xyz for point_id in sorted(model.points3D)])
    np.testing.assert_allclose(sorted(original.tolist()), sorted(expected.tolist()), rtol=0, atol=1e-6)


def test_nerfstudios_axes_have_z_up(write):
    """As its own converter has it: rows 0, 2 and -1 of COLMAP's."""
    told = json.loads((write("nerfstudio") / "transforms.json").read_text())
    assert told["applied_transform"] == [[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0]]


def test_colmap_finds_a_dense_workspace(write):
    output = write("colmap")
    names = sorted(CAMERAS)
    lines = (output / "stereo/patch-match.cfg").read_text().splitlines()
    assert lines[::2] == names
    assert set(lines[1::2]) == {"__auto__, 20"}
    assert (output / "stereo/fusion.cfg").read_text().splitlines() == names
    for kind in ("depth_maps", "normal_maps", "consistency_graphs"):
        assert (output / "stereo" / kind / "left").is_dir()
    assert not (output / "masks").exists()


def test_preprocess_scene_reads_it_with_depth_maps(write):
    output = write("colmap")
    for name in CAMERAS:
        (output / f"stereo/depth_maps/{name}.geometric.bin").write_bytes(bytes(200_000))
    info = preprocess_scene(workspace_files(output))
    assert sorted(info.image_names) == sorted(CAMERAS)
    assert np.isfinite(info.poses).all()
    assert np.isfinite(info.intrinsics).all()


@pytest.mark.parametrize("layout", ["colmap", "nerfstudio"])
def test_masks_go_along(write, masks, layout, caplog):
    output = write(layout, masks=MaskOptions(masks=masks))
    found = np.asarray(Image.open(output / "masks/b.png.png"))
    with Image.open(output / "images/b.png") as picture:
        assert found.shape == picture.size[::-1]
    # The principal point is on the edge of the mask, in both cameras.
    middle = found.shape[1] // 2
    assert not found[20:-20, : middle - 1].any()
    assert (found[20:-20, middle + 2 :] == 255).all()
    others = {path.name for path in (output / "masks").rglob("*.png")} - {"b.png.png"}
    assert bool(others) == (layout == "nerfstudio")  # whose reader wants one for each photograph or none
    assert "no mask, so all pixels are used: 7 photographs" in caplog.text
    if layout == "nerfstudio":
        frames = json.loads((output / "transforms.json").read_text())["frames"]
        assert all((output / frame["mask_path"]).is_file() for frame in frames)


def test_3dgs_gets_masks_as_alpha(write, masks):
    Image.fromarray(np.zeros((180, 240), np.uint8)).save(masks / "g.png")
    output = write("3dgs", masks=MaskOptions(masks=masks))
    model = pycolmap.Reconstruction(output / "sparse/0")
    assert model.find_image_with_name("g.png")  # JPEG has no alpha
    for name in ("b.png", "g.png"):
        pixels = np.asarray(Image.open(output / "images" / name))
        alpha = pixels[..., 3]
        assert set(np.unique(alpha)) == {"b.png": {0, 255}, "g.png": {0}}[name]
        assert (pixels[alpha == 0, :3] == 0).all()
    assert not (output / "masks").exists()


def test_a_mask_of_an_upright_photograph(write, masks):
    """b.png is stored turned: its mask may be upright."""
    upright = Image.open(masks / "b.png.png").transpose(Image.Transpose.ROTATE_270)
    upright.save(masks / "b.png.png")
    output = write("colmap", masks=MaskOptions(masks=masks))
    found = np.asarray(Image.open(output / "masks/b.png.png"))
    assert not found[20:-20, :100].any()
    assert (found[20:-20, -100:] == 255).all()
