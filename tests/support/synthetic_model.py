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
    return synthetic_database(database, num_frames, num_points=120, num_cameras=num_cameras, seed=seed)


def synthetic_database(database, num_frames, num_points=150, num_rigs=1, num_cameras=1, inlier_ratio=1.0, seed=1):
    """Write what so many rigs saw, with noise of half a pixel, to a database; returns the true model."""
    pycolmap.set_random_seed(seed)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig = num_rigs, num_cameras
    options.num_frames_per_rig, options.num_points3D = num_frames, num_points
    options.inlier_match_ratio = inlier_ratio
    with pycolmap.Database.open(database) as colmap:
        truth = pycolmap.synthesize_dataset(options, colmap)
        pycolmap.synthesize_noise(pycolmap.SyntheticNoiseOptions(point2D_stddev=0.5), truth, colmap)
    return truth


def synthetic_places(folder, sizes):
    """Write the exact images of several scenes, which share nothing, to one database; names tell the place."""
    opened = []
    for number, images in enumerate(sizes):
        pycolmap.set_random_seed(number)
        options = pycolmap.SyntheticDatasetOptions()
        options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, 1, images
        options.num_points3D = 200
        opened.append(pycolmap.Database.open(folder / f"{number}.db"))
        pycolmap.synthesize_dataset(options, opened[-1])
        for image in opened[-1].read_all_images():
            image.name = f"{number}/{image.name}"
            opened[-1].update_image(image)
    with pycolmap.Database.open(folder / "all.db") as merged:
        pycolmap.Database.merge(*opened, merged)
    for each in opened:
        each.close()
    return folder / "all.db"


def renumbered(model, images, cameras, without=(), camera_of_each=False):
    """A copy with larger ids of images and cameras, without images of these names, and points that they see.

    camera_of_each: each image has a camera of its own, of its id, and no rig of several.
    """
    other = pycolmap.Reconstruction()
    kept = {image_id: image for image_id, image in model.images.items() if image.name not in without}
    camera_ids = {key: key if camera_of_each else image.camera_id + cameras for key, image in kept.items()}
    cameras_of = {camera_id: model.images[image_id].camera for image_id, camera_id in camera_ids.items()}
    cameras_of |= {} if camera_of_each else {key + cameras: camera for key, camera in model.cameras.items()}
    for camera_id, of_model in sorted(cameras_of.items()):
        camera = pycolmap.Camera(of_model.todict())
        camera.camera_id = camera_id
        other.add_camera(camera)
    for rig in [] if camera_of_each else model.rigs.values():
        _add_rig(other, rig.rig_id, rig.ref_sensor_id.id + cameras)
        for sensor, pose in rig.non_ref_sensors.items():
            other.rigs[rig.rig_id].add_sensor(_sensor(sensor.id + cameras), pose)
    for frame in model.frames.values():
        there = [data.id for data in frame.image_ids if data.id in kept]
        if there:
            if camera_of_each:
                _add_rig(other, there[0], camera_ids[there[0]])
            moved = pycolmap.Frame(frame_id=frame.frame_id, rig_id=there[0] if camera_of_each else frame.rig_id)
            for image_id in there:
                moved.add_data_id(pycolmap.data_t(_sensor(camera_ids[image_id]), image_id + images))
            if frame.has_pose():
                moved.rig_from_world = frame.rig_from_world
            other.add_frame(moved)
    for image_id, image in kept.items():
        xy = np.reshape([point.xy for point in image.points2D], (-1, 2))
        moved = pycolmap.Image(
            name=image.name, keypoints=xy, camera_id=camera_ids[image_id], image_id=image_id + images
        )
        moved.frame_id = image.frame_id
        other.add_image(moved)
    for point_id, point in model.points3D.items():
        track = pycolmap.Track()
        for element in point.track.elements:
            if element.image_id in kept:
                track.add_element(element.image_id + images, element.point2D_idx)
        if track.length() > 1:
            other.add_point3D_with_id(point_id, pycolmap.Point3D(xyz=point.xyz, color=point.color, track=track))
    return other


def _add_rig(model, rig_id, camera_id):
    rig = pycolmap.Rig(rig_id=rig_id)
    rig.add_ref_sensor(_sensor(camera_id))
    model.add_rig(rig)


def _sensor(camera_id):
    return pycolmap.sensor_t(pycolmap.SensorType.CAMERA, camera_id)
