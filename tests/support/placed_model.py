"""A model of exact cameras and points at a place on Earth, as a program without GPS would leave it."""

from pathlib import Path

import numpy as np
import pycolmap
from PIL import ExifTags, Image

from d2sfm.demo.photographs import truth_model
from d2sfm.demo.scene import arc_of_views, project
from d2sfm.georeference.frames import Local

PLACE = Local(46.84, -91.99)  # where the true frame of metres has its origin
TARGET = np.array([12.0, 40, 183])
CAMERAS = arc_of_views(TARGET, 10, distance_m=30.0)
CENTRES = {camera.name: camera.centre for camera in CAMERAS}
POINTS = TARGET + np.random.default_rng(5).uniform(-4, 4, (40, 3))
# The frame of the model from the true one.
SCALE = 0.2
GIVEN = pycolmap.Sim3d(SCALE, pycolmap.Rotation3d(np.array([0.4, -1.1, 0.7])), np.array([1.0, -2, 30]))


def true_model():
    """In metres east, north and up."""
    model = truth_model(CAMERAS)
    tracks = [pycolmap.Track() for _ in POINTS]
    for image_id, camera in enumerate(CAMERAS, start=1):
        seen = project(camera, POINTS)
        model.images[image_id].points2D = pycolmap.Point2DList([pycolmap.Point2D(xy) for xy in seen])
        for index, track in enumerate(tracks):
            track.add_element(image_id, index)
    for index, (xyz, track) in enumerate(zip(POINTS, tracks, strict=True), start=1):
        model.add_point3D_with_id(index, pycolmap.Point3D(xyz=xyz, track=track, color=[index, 0, 255]))
    return model


def write_given(folder: Path) -> Path:
    """The model in a frame of its own; returns the folder."""
    model = true_model()
    model.transform(GIVEN)
    folder.mkdir(parents=True)
    model.write_binary(folder)
    return folder


def geographic(positions):
    """Latitude, longitude, altitude by name, of positions in the true frame."""
    places = PLACE.to_geographic(np.array(list(positions.values())))
    return dict(zip(positions, places, strict=True))


def write_csv(path: Path, header: str, rows, separator: str = ",") -> Path:
    """rows: of cells; numbers are written to their last digit."""
    lines = [separator.join(str(float(cell)) if isinstance(cell, float) else str(cell) for cell in row) for row in rows]
    path.write_text("\n".join([header, *lines, ""]))
    return path


def write_positions(path: Path, positions=None) -> Path:
    """A table of positions in the true frame (default: the exact ones) as latitudes and longitudes."""
    rows = [(name, *map(float, place)) for name, place in geographic(positions or CENTRES).items()]
    return write_csv(path, "name,latitude,longitude,altitude", rows)


def write_clicks(path: Path, count: int = 5, is_geographic: bool = True) -> Path:
    """A table of control points that were clicked exactly in three pictures each."""
    rows = []
    for index in range(count):
        world = PLACE.to_geographic(POINTS[index : index + 1])[0] if is_geographic else POINTS[index]
        for camera in CAMERAS[index : index + 3]:
            rows.append(
                (f"P{index}", camera.name, *map(float, (*project(camera, POINTS[index : index + 1])[0], *world)))
            )
    world = "latitude,longitude,altitude" if is_geographic else "easting,northing,height"
    return write_csv(path, f"point,name,x,y,{world}", rows)


def write_priors(path: Path, positions=None) -> Path:
    """A COLMAP database with the images and their GPS positions."""
    with pycolmap.Database.open(path) as colmap:
        colmap.write_camera(true_model().cameras[1])
        for name, place in geographic(positions or CENTRES).items():
            image_id = colmap.write_image(pycolmap.Image(name=name, camera_id=1))
            prior = pycolmap.PosePrior(
                position=place,
                coordinate_system=pycolmap.PosePriorCoordinateSystem.WGS84,
                corr_data_id=colmap.read_image(image_id).data_id,
            )
            colmap.write_pose_prior(prior)
    return path


def write_photographs(folder):
    """Black photographs with GPS positions."""
    folder.mkdir()
    for name, (latitude, longitude, altitude) in geographic(CENTRES).items():
        degrees = [(int(each), int(each * 60 % 60), round(each * 3600 % 60, 5)) for each in (latitude, -longitude)]
        exif = Image.Exif()
        exif[ExifTags.IFD.GPSInfo] = {1: "N", 2: degrees[0], 3: "W", 4: degrees[1], 5: b"\0", 6: round(altitude, 3)}
        Image.new("RGB", (CAMERAS[0].width, CAMERAS[0].height)).save(folder / name, exif=exif)


def off_truth(output: Path, place: Local = PLACE, found: Local | None = None):
    """How far the cameras of a georeferenced model are from the truth in metres, and turned, in degrees; the most."""
    model, truth = pycolmap.Reconstruction(output), true_model()
    centres, turns = [], []
    for image_id in model.reg_image_ids():
        image, true = model.images[image_id], truth.images[image_id]
        centres.append((image.projection_center(), true.projection_center()))
        turn = image.cam_from_world().rotation.inverse() * true.cam_from_world().rotation
        turns.append(np.degrees(turn.angle()))
    found_centres, true_centres = np.array(centres).swapaxes(0, 1)
    if found is not None:
        found_centres = place.from_geographic(found.to_geographic(found_centres))
    return float(np.linalg.norm(found_centres - true_centres, axis=1).max()), float(max(turns))
