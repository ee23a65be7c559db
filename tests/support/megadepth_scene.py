"""A small rendered scene in MegaDepth's folder layout: photographs with real distortion, a model of 2018, exact depth.

Everything is known exactly: a photograph shows what its distorted camera sees, points and their observations come from
the renderer's depth, and the depth maps are those of the undistorted cameras.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import pycolmap
from PIL import Image
from support.rendered_truth import depth_at, sees, unproject
from support.town_square import town_square

from d2sfm.demo.rendering import render
from d2sfm.demo.scene import Camera, Scene, arc_of_views, project
from d2sfm.demo.square import CENTRE
from megadepth_utils.undistortion import undistort_scene

SUPERSAMPLING = 2  # the picture from which a distorted one is resampled is finer by this factor
POINTS_PER_VIEW = 400
RADIAL = (-0.08, 0.04)  # range of k over the views: barrel to pincushion, up to 7 px at a corner of 320 x 240


@dataclass(frozen=True, eq=False)
class MegaDepthScene:
    """What was written below ``root``, and the truth about it.

    names: of the images, in ascending image id, which is not their alphabetical order. cameras: by name, the
    undistorted camera (PINHOLE, its size that of the depth map). world: the rendered scene, in metres; depths too.
    """

    root: Path
    scene_id: str
    names: tuple[str, ...]
    cameras: dict[str, Camera]
    world: Scene

    @property
    def sfm(self) -> Path:
        """Folder of the distorted photographs and their model."""
        return self.root / "MegaDepth_v1_SfM" / self.scene_id

    @property
    def dense(self) -> Path:
        """Folder of the pictures and depth maps of multi-view stereo."""
        return self.root / "phoenix/S6/zl548/MegaDepth_v1" / self.scene_id / "dense0"

    @property
    def undistorted(self) -> Path:
        """Folder that the undistortion writes."""
        return self.root / "Undistorted_SfM" / self.scene_id

    def depth(self, name: str) -> np.ndarray:
        """The depth map on disk, [h, w] float32 in metres, 0 for sky."""
        with h5py.File(self.dense / "depths" / f"{Path(name).stem}.h5") as file:
            return file["depth"][()]


@dataclass(frozen=True, eq=False)
class _View:
    """An image of the model: its distorted camera, and the same without distortion and without an end."""

    image_id: int
    plain: Camera
    distorted: pycolmap.Camera

    @property
    def cam_from_world(self) -> pycolmap.Rigid3d:
        return pycolmap.Rigid3d(pycolmap.Rotation3d(self.plain.rotation), self.plain.translation)


def write_megadepth_scene(
    root: Path,
    scene_id: str = "0000",
    views: int = 6,
    size: tuple[int, int] = (320, 240),
    distorted: bool = True,
    undistorted: bool = False,
    seed: int = 0,
) -> MegaDepthScene:
    """Write a scene below ``root`` (about 2 s for six views) and return its record.

    size: (width, height) of the photographs and limit of the undistorted pictures' edges; those have a height and
    width of up to 4 % less. distorted: otherwise all k are 0. undistorted: run our undistortion as well.
    """
    world = town_square(seed)
    shots = _views(views, size, distorted, np.random.default_rng(seed))
    scene = MegaDepthScene(
        root=Path(root),
        scene_id=scene_id,
        names=tuple(shot.plain.name for shot in sorted(shots, key=lambda shot: shot.image_id)),
        cameras={shot.plain.name: _undistorted_camera(shot, max(size)) for shot in shots},
        world=world,
    )
    model = scene.sfm / "sparse/manhattan/0"
    for folder in (scene.sfm / "images", model, scene.dense / "imgs", scene.dense / "depths"):
        folder.mkdir(parents=True)
    for shot in shots:
        _save(scene.sfm / "images" / shot.plain.name, _photograph(world, shot))
        _write_dense(scene, shot.plain.name)
    _write_model(model, shots, _points(world, shots, np.random.default_rng(seed + 1)))
    if undistorted:
        undistort_scene(scene.root, scene_id, num_threads=1)
    return scene


def _views(count: int, size: tuple[int, int], distorted: bool, rng: np.random.Generator) -> list[_View]:
    """Views on the demo's arc, each with a camera of its own, as in MegaDepth; ids in an order of their own."""
    radial = np.linspace(*RADIAL, count) if distorted else np.zeros(count)
    image_ids = 3 * rng.permutation(count) + 5
    shots = []
    for camera, k, image_id in zip(arc_of_views(CENTRE, count, size), radial, image_ids.tolist(), strict=True):
        focal_px = camera.fx * rng.uniform(0.95, 1.15)
        plain = replace(camera, name=Path(camera.name).stem + ".jpg", fx=focal_px, fy=focal_px)
        model = pycolmap.Camera(
            camera_id=image_id,
            model="SIMPLE_RADIAL",
            width=size[0],
            height=size[1],
            params=[focal_px, plain.cx, plain.cy, k],
        )
        shots.append(_View(image_id, plain, model))
    return shots


def _undistorted_camera(shot: _View, max_edge: int) -> Camera:
    options = pycolmap.UndistortCameraOptions()
    options.max_image_size = max_edge
    camera = pycolmap.undistort_camera(options, shot.distorted)
    fx, fy, cx, cy = camera.focal_length_x, camera.focal_length_y, camera.principal_point_x, camera.principal_point_y
    return replace(shot.plain, width=camera.width, height=camera.height, fx=fx, fy=fy, cx=cx, cy=cy)


def _photograph(world: Scene, shot: _View) -> np.ndarray:
    """What the distorted camera sees, [h, w, 3] uint8: a finer and wider picture without distortion, resampled."""
    x, y = np.meshgrid(np.arange(shot.plain.width) + 0.5, np.arange(shot.plain.height) + 0.5)
    rays = shot.distorted.cam_from_img(np.stack([x.ravel(), y.ravel()], axis=1))
    focal_px = SUPERSAMPLING * shot.plain.fx
    half = np.ceil(focal_px * np.abs(rays).max(axis=0)).astype(int) + 2
    wide = replace(
        shot.plain,
        width=2 * half[0],
        height=2 * half[1],
        fx=focal_px,
        fy=focal_px,
        cx=float(half[0]),
        cy=float(half[1]),
    )
    # OpenCV counts from pixel centres.
    positions = (focal_px * rays + half - 0.5).astype(np.float32).reshape(*x.shape, 2)
    return cv2.remap(render(world, wide, samples=1).image, positions, None, cv2.INTER_LINEAR)


def _write_dense(scene: MegaDepthScene, name: str) -> None:
    rendering = render(scene.world, scene.cameras[name])
    _save(scene.dense / "imgs" / name, rendering.image)
    with h5py.File(scene.dense / "depths" / f"{Path(name).stem}.h5", "w") as file:
        file.create_dataset("depth", data=rendering.depth.astype(np.float32))


def _save(path: Path, image: np.ndarray) -> None:
    Image.fromarray(image).save(path, quality=95)


def _points(world: Scene, shots: list[_View], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Surface points that two views or more see, [N, 3], and where, [views, N, 2] in the distorted pictures or NaN."""
    edges = np.array([shots[0].plain.width, shots[0].plain.height])
    found = []
    for shot in shots:
        xy = rng.uniform(0, 1, (POINTS_PER_VIEW, 2)) * edges
        depth = depth_at(world, shot.plain, xy)
        found.append(unproject(shot.plain, xy[depth > 0], depth[depth > 0]))
    points = np.concatenate(found)
    observed = np.stack([_observe(world, shot, points) for shot in shots])
    kept = (~np.isnan(observed[..., 0])).sum(axis=0) >= 2
    return points[kept], observed[:, kept]


def _observe(world: Scene, shot: _View, points: np.ndarray) -> np.ndarray:
    """Where a distorted picture shows points of the surface, [N, 2]; NaN for those outside it or hidden."""
    in_camera = points @ shot.plain.rotation.T + shot.plain.translation
    xy = np.full((len(points), 2), np.nan)
    front = in_camera[:, 2] > 0
    xy[front] = shot.distorted.img_from_cam(in_camera[front])
    seen = sees(shot.plain, xy)
    nearest = depth_at(world, shot.plain, project(shot.plain, points[seen]))
    seen[seen] = np.abs(nearest - in_camera[seen, 2]) <= 1e-6 * in_camera[seen, 2]
    xy[~seen] = np.nan
    return xy


def _write_model(folder: Path, shots: list[_View], seen: tuple[np.ndarray, np.ndarray]) -> None:
    """The three binary files of a COLMAP model from before rigs and frames."""
    points, observed = seen
    model = pycolmap.Reconstruction()
    for shot, xy in zip(shots, observed, strict=True):
        model.add_camera_with_trivial_rig(shot.distorted)
        keypoints = xy[~np.isnan(xy[:, 0])]
        image = pycolmap.Image(shot.plain.name, keypoints, shot.distorted.camera_id, shot.image_id)
        model.add_image_with_trivial_frame(image, shot.cam_from_world)
    visible = ~np.isnan(observed[..., 0])
    row_in_image = np.cumsum(visible, axis=1) - 1
    for index, point in enumerate(points):
        elements = [
            pycolmap.TrackElement(shots[view].image_id, row_in_image[view, index])
            for view in np.flatnonzero(visible[:, index])
        ]
        model.add_point3D(point, pycolmap.Track(elements))
    model.write_binary(folder)
    for name in ("rigs.bin", "frames.bin"):
        (folder / name).unlink()
