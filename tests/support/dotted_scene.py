"""Photographs of dots in space through cameras of many models, and the COLMAP model of them: all is known exactly."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pycolmap
from PIL import ExifTags, Image

from d2sfm.options import UndistortionOptions
from d2sfm.undistortion.undistort import UndistortionSummary, undistort

SIZE = (240, 180)
RADIUS_PX = 2.0  # standard deviation of a dot
REACH_PX, MARGIN_PX = 2, 6  # of a dot what is looked at; from the edge of the picture
GREY, BRIGHT = 40, 180

# By name of the image: two have the same base name, and three carry an orientation tag.
CAMERAS = {
    "left/a.png": ("SIMPLE_RADIAL", [210, 120, 90, 0.0]),
    "right/a.png": ("SIMPLE_RADIAL", [210, 120, 90, 1e-14]),
    "b.png": ("SIMPLE_RADIAL", [210, 120, 90, -0.1]),
    "c.png": ("PINHOLE", [210, 214, 109.3, 95.0]),
    "d.png": ("OPENCV", [210, 212, 123, 88, -0.1, 0.02, 0.001, -0.002]),
    "e.png": ("OPENCV_FISHEYE", [130, 130, 120, 90, 0.02, 0, 0, 0]),
    "f.png": ("SIMPLE_PINHOLE", [210, 120, 90]),
    "g.jpg": ("RADIAL", [210, 120, 90, 0.06, 0.01]),
}
FEW = {name: CAMERAS[name] for name in ("left/a.png", "b.png", "g.jpg")}
ORIENTATIONS = {"b.png": 6, "f.png": 3, "g.jpg": 8}


def points(count: int = 40) -> np.ndarray:
    """[count, 3], in front of all cameras; no two dots meet in a picture."""
    columns = np.linspace(-1.6, 1.6, 8)
    rows = np.linspace(-1.1, 1.1, 5)
    xy = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)[:count]
    depth = 4 + 0.5 * np.random.default_rng(0).uniform(-1, 1, len(xy))
    return np.column_stack([xy, depth])


def picture(camera: pycolmap.Camera, xy: np.ndarray) -> np.ndarray:
    """Bright dots at these places, [H, W, 3] uint8."""
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    image = np.full(x.shape, float(GREY))
    for px, py in xy:
        image += BRIGHT * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * RADIUS_PX**2))
    return np.repeat(np.rint(image.clip(0, 255)).astype(np.uint8)[..., None], 3, axis=2)


def write_dotted_scene(
    folder: Path, cameras: Mapping[str, tuple] = CAMERAS, orientations: Mapping[str, int] = ORIENTATIONS
) -> pycolmap.Reconstruction:
    """Write ``folder``/photos and ``folder``/model, one camera for each image, and return the model."""
    model, world = pycolmap.Reconstruction(), points()
    tracks = [[] for _ in world]
    for index, (name, (kind, params)) in enumerate(cameras.items()):
        camera = pycolmap.Camera(camera_id=index + 1, model=kind, width=SIZE[0], height=SIZE[1], params=params)
        model.add_camera_with_trivial_rig(camera)
        turn = pycolmap.Rotation3d(np.array([0.02 * index, 0.03 - 0.02 * index, 0.01 * index]))
        pose = pycolmap.Rigid3d(turn, np.array([0.1 * index - 0.3, 0.05, 0.02 * index]))
        xy = camera.img_from_cam(world @ pose.rotation.matrix().T + pose.translation)
        seen = ((xy > MARGIN_PX) & (xy < np.array(SIZE) - MARGIN_PX)).all(axis=1)
        model.add_image_with_trivial_frame(pycolmap.Image(name, xy[seen], index + 1, index + 1), pose)
        for row, point in enumerate(np.flatnonzero(seen)):
            tracks[point].append(pycolmap.TrackElement(index + 1, row))
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[ExifTags.Base.Make] = "Dots"
        if name in orientations:
            exif[ExifTags.Base.Orientation] = orientations[name]
        Image.fromarray(picture(camera, xy)).save(path, exif=exif, quality=95)
    for row, (xyz, track) in enumerate(zip(world, tracks, strict=True)):
        if track:
            colour = np.array([row, 200, 100], np.uint8)
            model.add_point3D_with_id(row + 1, pycolmap.Point3D(xyz=xyz, color=colour, track=pycolmap.Track(track)))
    (folder / "model").mkdir()
    model.write_binary(folder / "model")
    return model


def dot_errors(pixels: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """How far in pixels the dots of a picture are from where they should be, [N, 2] in COLMAP's frame; those well
    inside of it alone. The logarithm of a dot is a paraboloid, of which the peak is taken."""
    grey = np.asarray(pixels, float)
    grey = (grey[..., 0] if grey.ndim == 3 else grey) - GREY
    inside = ((xy > MARGIN_PX) & (xy < np.array(grey.shape[::-1]) - MARGIN_PX)).all(axis=1)
    x, y = (offsets.ravel() for offsets in np.meshgrid(*[np.arange(-REACH_PX, REACH_PX + 1)] * 2))
    terms = np.stack([x**2, x * y, y**2, x, y, np.ones(x.size)], axis=1)
    errors = []
    for place in xy[inside]:
        column, row = np.floor(place).astype(int)
        values = grey[row + y, column + x].clip(1)
        a, b, c, d, e, _ = np.linalg.lstsq(terms * values[:, None], np.log(values) * values, rcond=None)[0]
        peak = np.linalg.solve([[2 * a, b], [b, 2 * c]], [-d, -e])
        errors.append(np.hypot(*(peak + (column, row) + 0.5 - place)))
    return np.array(errors)


def undistorted(
    scene: Path, output: Path, layout: str = "colmap", max_edge: int | None = None, **more
) -> tuple[UndistortionSummary, pycolmap.Reconstruction | None]:
    """The summary and the model of a run; nerfstudio's layout has none."""
    options = UndistortionOptions(layout=layout, num_threads=1, max_edge=max_edge)
    summary = undistort(scene / "model", scene / "photos", output, options=options, **more)
    folder = output / ("sparse/0" if layout == "3dgs" else "sparse")
    return summary, pycolmap.Reconstruction(folder) if folder.exists() else None
