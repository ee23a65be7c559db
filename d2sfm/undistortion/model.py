"""The model of the photographs without distortion."""

from collections.abc import Collection

import numpy as np
import pycolmap

from d2sfm.undistortion.pictures import Shot


def undistorted_model(model: pycolmap.Reconstruction, shots: Collection[Shot]) -> pycolmap.Reconstruction:
    """The model with these images only, with their new cameras, names and visible keypoints.

    Ids, poses and points stay. Points left with fewer than two observations go. Each image is a frame of its own: the
    rigs of the model are not in it.
    """
    result = pycolmap.Reconstruction()
    for camera in {shot.target.camera_id: shot.target for shot in shots}.values():
        result.add_camera_with_trivial_rig(camera)
    for shot in sorted(shots, key=lambda shot: shot.image_id):
        image = model.images[shot.image_id]
        xy = np.array([point.xy for point in image.points2D]).reshape(-1, 2)
        moved = _in_target(shot, xy) if len(xy) else xy
        new = pycolmap.Image(shot.new_name, moved, shot.target.camera_id, shot.image_id)
        result.add_image_with_trivial_frame(new, image.cam_from_world())
    kept = {shot.image_id for shot in shots}
    loses = not kept.issuperset(model.images)
    for point_id, point in model.points3D.items():
        track = point.track
        if loses:
            elements = [element for element in track.elements if element.image_id in kept]
            if len(elements) < min(2, track.length()):
                continue
            track = pycolmap.Track(elements)
        new_point = pycolmap.Point3D(xyz=point.xyz, color=point.color, error=point.error, track=track)
        result.add_point3D_with_id(point_id, new_point)
    return result


def _in_target(shot: Shot, xy_in_source: np.ndarray) -> np.ndarray:
    rays = shot.source.cam_from_img(xy_in_source)
    return shot.target.img_from_cam(np.column_stack([rays, np.ones(len(rays))]))
