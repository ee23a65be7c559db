"""Small undistorted COLMAP models, written by hand, for the tests of preprocessing."""

from pathlib import Path

import numpy as np
import pycolmap

FOCALS_PX = (100.0, 140.0)  # fx, fy: the mean is 120

# Ids of images by name; neither by name nor in the order of writing do they ascend.
IMAGE_IDS = {"c.jpg": 9, "a.jpg": 4, "sub/b.jpg": 2}
NAMES = ("sub/b.jpg", "a.jpg", "c.jpg")  # by id
TURNS_DEG = {"sub/b.jpg": 0.0, "a.jpg": 30.0, "c.jpg": -20.0}  # about the vertical axis

POINTS = np.array([[0.0, 0, 5], [1, 0, 6], [0, 1, 7], [-1, 0, 8], [0, -1, 4], [1, 1, 9]])  # rows 0 to 5 have ids 1 to 6
# Rows of POINTS in the order of keypoints, None for a keypoint without a point; c.jpg observes row 1 twice.
SEEN = {"sub/b.jpg": (3, None, 0, 1), "a.jpg": (0, 4), "c.jpg": (1, 2, None, 1, 0)}


def keypoint(index: int) -> tuple[float, float]:
    """Position of the keypoint with this index, in any image."""
    return (10.25 + index, 20.5 - index)


def write_undistorted_model(
    folder: Path,
    seen: dict[str, tuple[int | None, ...]] = SEEN,
    camera_model: str = "PINHOLE",
    points: np.ndarray = POINTS,
) -> None:
    """Write a model of the images in ``seen`` to ``folder``, which is made."""
    params = {
        "PINHOLE": [*FOCALS_PX, 60, 40],
        "SIMPLE_RADIAL": [100, 60, 40, 0.1],
        "FISHEYE": [*FOCALS_PX, 60, 40],
        "EQUIRECTANGULAR": [120, 80],
    }[camera_model]
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(
        pycolmap.Camera(camera_id=1, model=camera_model, width=120, height=80, params=params)
    )
    elements = [[] for _ in points]
    for name, rows in seen.items():
        image_id = IMAGE_IDS[name]
        keypoints = np.array([keypoint(index) for index in range(len(rows))]).reshape(-1, 2)
        image = pycolmap.Image(name, keypoints, 1, image_id)
        turn = pycolmap.Rotation3d(np.array([0, np.radians(TURNS_DEG[name]), 0]))
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(turn, np.zeros(3)))
        for index, row in enumerate(rows):
            if row is not None:
                elements[row].append(pycolmap.TrackElement(image_id, index))
    for row, (xyz, track) in enumerate(zip(points, elements, strict=True)):
        model.add_point3D_with_id(row + 1, pycolmap.Point3D(xyz=xyz, track=pycolmap.Track(track)))
    folder.mkdir(parents=True)
    model.write_binary(folder)
