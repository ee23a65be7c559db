"""The rendered scene that other tests train on is what it says."""

from itertools import permutations

import cv2
import numpy as np
import pycolmap
import pytest
from PIL import Image
from support.megadepth_scene import MegaDepthScene, write_megadepth_scene
from support.rendered_truth import depth_at, sees, unproject

from d2sfm.demo.scene import Camera, project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> MegaDepthScene:
    return write_megadepth_scene(tmp_path_factory.mktemp("megadepth"), undistorted=True)


@pytest.fixture(scope="module")
def distorted(scene) -> pycolmap.Reconstruction:
    return pycolmap.Reconstruction(scene.sfm / "sparse/manhattan/0")


@pytest.fixture(scope="module")
def undistorted(scene) -> pycolmap.Reconstruction:
    return pycolmap.Reconstruction(scene.undistorted / "sparse")


def observations(model: pycolmap.Reconstruction, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [N, 2] and points [N, 3] that an image of the model sees."""
    image = model.find_image_with_name(name)
    seen = [point for point in image.points2D if point.has_point3D()]
    return np.array([p.xy for p in seen]), np.array([model.points3D[p.point3D_id].xyz for p in seen])


def depth_of(camera: Camera, points: np.ndarray) -> np.ndarray:
    return (points @ camera.rotation.T + camera.translation)[:, 2]


def grey(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L"), np.float64)


def test_layout_is_megadepths(scene):
    model = scene.root / "MegaDepth_v1_SfM/0000/sparse/manhattan/0"
    assert sorted(path.name for path in model.iterdir()) == ["cameras.bin", "images.bin", "points3D.bin"]
    dense = scene.root / "phoenix/S6/zl548/MegaDepth_v1/0000/dense0"
    for name in scene.names:
        assert (scene.root / "MegaDepth_v1_SfM/0000/images" / name).is_file()
        assert (dense / "depths" / name.replace(".jpg", ".h5")).stat().st_size > 100 * 1024
        width, height = Image.open(dense / "imgs" / name).size
        assert (scene.depth(name).shape, scene.depth(name).dtype) == ((height, width), np.float32)
        assert (width, height) == Image.open(scene.undistorted / "images" / name).size


def test_cameras_are_distorted_both_ways(distorted):
    assert {camera.model_name for camera in distorted.cameras.values()} == {"SIMPLE_RADIAL"}
    radial = [camera.params[3] for camera in distorted.cameras.values()]
    assert min(radial) < -0.05
    assert max(radial) > 0.03
    assert len({camera.focal_length for camera in distorted.cameras.values()}) == 6


def test_names_are_in_order_of_ids_and_not_of_the_alphabet(scene, distorted):
    assert scene.names == tuple(distorted.images[image_id].name for image_id in sorted(distorted.images))
    assert list(scene.names) != sorted(scene.names)
    assert set(scene.cameras) == set(scene.names)


def test_points_project_to_their_observations(distorted, undistorted):
    for model in (distorted, undistorted):
        assert model.num_points3D() > 1000
        for image in model.images.values():
            xy, points = observations(model, image.name)
            np.testing.assert_allclose([image.project_point(point) for point in points], xy, rtol=0, atol=1e-6)


def test_recorded_cameras_are_those_of_the_undistorted_model(scene, undistorted):
    for name, camera in scene.cameras.items():
        image = undistorted.find_image_with_name(name)
        assert (image.camera.width, image.camera.height) == (camera.width, camera.height)
        np.testing.assert_allclose(image.camera.calibration_matrix(), camera.calibration, rtol=1e-12)
        pose = np.hstack([camera.rotation, camera.translation[:, None]])
        np.testing.assert_allclose(image.cam_from_world().matrix(), pose, rtol=0, atol=1e-12)


def test_depth_maps_agree_with_the_models_points(scene, undistorted):
    """Exactly at the points themselves; a pixel's centre is up to 0.7 px away, on another surface at an outline."""
    for name, camera in scene.cameras.items():
        xy, points = observations(undistorted, name)
        inside = sees(camera, xy)
        xy, expected = xy[inside], depth_of(camera, points[inside])
        np.testing.assert_allclose(depth_at(scene.world, camera, xy), expected, rtol=1e-6)
        columns, rows = np.minimum(xy.astype(int), (camera.width - 1, camera.height - 1)).T
        error = np.abs(scene.depth(name)[rows, columns] - expected) / expected
        assert np.median(error) < 1e-3
        assert (error < 0.02).mean() > 0.97


def test_undistorted_pictures_show_what_the_renderer_shows(scene):
    """Of the picture moved by a pixel either way, none comes as close as the one that was not moved."""
    for name in scene.names:
        ours, rendered = grey(scene.undistorted / "images" / name), grey(scene.dense / "imgs" / name)
        moves = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
        error = {move: np.abs(np.roll(ours, move, (0, 1)) - rendered)[2:-2, 2:-2].mean() for move in moves}
        assert min(error, key=error.get) == (0, 0), error
        assert error[0, 0] < 8


def common_pixels(scene: MegaDepthScene, first: str, second: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (x, y) of a picture, [N, 2] integers, and where another one shows their points, [N, 2], by depth maps."""
    camera, other = scene.cameras[first], scene.cameras[second]
    pixels = np.stack(np.meshgrid(np.arange(2, camera.width, 5), np.arange(2, camera.height, 5)), -1).reshape(-1, 2)
    depth = scene.depth(first)[pixels[:, 1], pixels[:, 0]].astype(float)
    pixels, depth = pixels[depth > 0], depth[depth > 0]
    points = unproject(camera, pixels + 0.5, depth)
    xy = project(other, points)
    inside = sees(other, xy)
    pixels, xy, expected = pixels[inside], xy[inside], depth_of(other, points[inside])
    columns, rows = np.minimum(xy.astype(int), (other.width - 1, other.height - 1)).T
    seen = np.abs(scene.depth(second)[rows, columns] - expected) < 0.02 * expected
    return pixels[seen], xy[seen]


def test_pixels_warped_by_depth_show_the_same_colours(scene):
    """In every pair, and not with a pixel's offset: this is what training relies on."""
    pictures = {name: grey(scene.undistorted / "images" / name).astype(np.float32) for name in scene.names}
    for first, second in permutations(scene.names, 2):
        pixels, xy = common_pixels(scene, first, second)
        assert len(pixels) > 1000
        error = {}
        for move in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
            positions = (xy - 0.5 + move).astype(np.float32)[:, None]  # OpenCV counts from pixel centres
            shown = cv2.remap(pictures[second], positions, None, cv2.INTER_LINEAR)[:, 0]
            error[move] = np.median(np.abs(shown - pictures[first][pixels[:, 1], pixels[:, 0]]))
        exact = error.pop((0, 0))
        assert exact < 5
        assert min(error.values()) > 1.4 * exact, (first, second, exact, error)


def test_views_overlap_strongly(distorted):
    seen = [
        {point.point3D_id for point in image.points2D if point.has_point3D()} for image in distorted.images.values()
    ]
    overlap = [len(a & b) / len(a) for a in seen for b in seen if a is not b]
    assert np.mean(np.array(overlap) >= 0.5) == 1


def test_size_seed_and_no_distortion(tmp_path):
    scene = write_megadepth_scene(tmp_path, "0042", views=2, size=(180, 240), distorted=False, seed=3)
    model = pycolmap.Reconstruction(tmp_path / "MegaDepth_v1_SfM/0042/sparse/manhattan/0")
    assert all(camera.params[3] == 0 for camera in model.cameras.values())
    assert {Image.open(scene.sfm / "images" / name).size for name in scene.names} == {(180, 240)}
    assert not scene.undistorted.exists()
    with pytest.raises(FileExistsError):
        write_megadepth_scene(tmp_path, "0042", views=2)
