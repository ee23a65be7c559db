"""Models of exact points, by pycolmap."""

import numpy as np
import pycolmap


def synthetic(num_frames=6, num_points=200, seed=0):
    pycolmap.set_random_seed(seed)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig = 1, 1
    options.num_frames_per_rig, options.num_points3D = num_frames, num_points
    return pycolmap.synthesize_dataset(options)


def synthetic_rig(database, num_frames=5, num_cameras=2, seed=1):
    """Write what a rig saw, with noise of half a pixel, to a database; returns the true model."""
    pycolmap.set_random_seed(seed)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig = 1, num_cameras
    options.num_frames_per_rig, options.num_points3D = num_frames, 120
    with pycolmap.Database.open(database) as colmap:
        truth = pycolmap.synthesize_dataset(options, colmap)
        pycolmap.synthesize_noise(pycolmap.SyntheticNoiseOptions(point2D_stddev=0.5), truth, colmap)
    return truth


def renumbered(model, images, cameras, without=()):
    """A copy with larger ids of images and cameras, without images of these names, and points that they see."""
    other = pycolmap.Reconstruction()
    for camera in model.cameras.values():
        moved = pycolmap.Camera(camera.todict())
        moved.camera_id += cameras
        other.add_camera(moved)
    for rig in model.rigs.values():
        moved = pycolmap.Rig(rig_id=rig.rig_id)
        moved.add_ref_sensor(_moved(rig.ref_sensor_id, cameras))
        for sensor, pose in rig.non_ref_sensors.items():
            moved.add_sensor(_moved(sensor, cameras), pose)
        other.add_rig(moved)
    for frame in model.frames.values():
        moved = pycolmap.Frame(frame_id=frame.frame_id, rig_id=frame.rig_id)
        for data in frame.image_ids:
            if model.images[data.id].name not in without:
                moved.add_data_id(pycolmap.data_t(_moved(data.sensor_id, cameras), data.id + images))
        if moved.num_data_ids():
            if frame.has_pose():
                moved.rig_from_world = frame.rig_from_world
            other.add_frame(moved)
    for image in model.images.values():
        if image.name not in without:
            moved = pycolmap.Image(
                name=image.name,
                keypoints=np.reshape([point.xy for point in image.points2D], (-1, 2)),
                camera_id=image.camera_id + cameras,
                image_id=image.image_id + images,
            )
            moved.frame_id = image.frame_id
            other.add_image(moved)
    for point_id, point in model.points3D.items():
        seen_by = [element for element in point.track.elements if model.images[element.image_id].name not in without]
        if len(seen_by) > 1:
            track = pycolmap.Track()
            for element in seen_by:
                track.add_element(element.image_id + images, element.point2D_idx)
            other.add_point3D_with_id(point_id, pycolmap.Point3D(xyz=point.xyz, color=point.color, track=track))
    return other


def _moved(sensor, by):
    return pycolmap.sensor_t(sensor.type, sensor.id + by)
