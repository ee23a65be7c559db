"""Databases of cameras that see the same points, with all pairs verified."""

import numpy as np
import pycolmap
from scipy.spatial.transform import Rotation

from d2sfm.mapping.one_run import MappingInput
from d2sfm.options import Mapper

FOCAL_PX, SIZE = 900.0, (1000, 800)


def seen(folder, centres, turns_deg=0.0, *, focal_px=FOCAL_PX, keypoints=240, matches=240, apart=(), cameras=1):
    """A database of cameras that look along z at points 4 to 12 m away, all pairs verified; what mapping is given.

    centres: in metres; turns_deg: about the axis y, of each. focal_px: that the database says, as EXIF's. matches:
    verified ones of a pair. apart: so many of the last images are joined with each other only. cameras: how many there
    are, equal ones, which took the images by turns.
    """
    random = np.random.default_rng(0)
    points = random.uniform([-2, -1.5, 4], [2, 1.5, 12], (keypoints, 3))
    database, names = folder / "db.db", {}
    with pycolmap.Database.open(database) as colmap:
        camera = pycolmap.Camera(model="SIMPLE_PINHOLE", width=SIZE[0], height=SIZE[1], params=[focal_px, 500, 400])
        camera.has_prior_focal_length = True
        camera_ids = [colmap.write_camera(camera) for _ in range(cameras)]
        for number, turn_deg in enumerate(np.broadcast_to(turns_deg, len(centres))):
            rotation = Rotation.from_euler("y", turn_deg, degrees=True)
            in_camera = rotation.apply(points - centres[number])
            xy = FOCAL_PX * in_camera[:, :2] / in_camera[:, 2:] + [500, 400] + random.normal(0, 0.5, (keypoints, 2))
            image = pycolmap.Image(name=f"{number}.jpg", camera_id=camera_ids[number % cameras])
            image_id = colmap.write_image(image)
            colmap.write_keypoints(image_id, xy.astype(np.float32))
            names[image_id] = image.name
        rows = np.arange(matches, dtype=np.uint32)[:, None].repeat(2, axis=1)
        ids = list(names)
        for a, b in ((a, b) for index, a in enumerate(ids) for b in ids[index + 1 :]):
            geometry = pycolmap.TwoViewGeometry()
            if not apart or (a in ids[-apart:]) == (b in ids[-apart:]):
                geometry.inlier_matches, geometry.config = rows, pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED
            colmap.write_matches(a, b, rows)
            colmap.write_two_view_geometry(a, b, geometry)
    return MappingInput(database=database, mapper=Mapper.INCREMENTAL, names=names, max_error_px=4.0)


def to_the_side(count, step_m=0.5):
    return [np.array([step_m * number, 0, 0]) for number in range(count)]
