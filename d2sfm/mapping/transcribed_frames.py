"""Rigs and frames of a model, and those of a database for images that the model lacks."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import pycolmap


def add_frames(
    grown: pycolmap.Reconstruction,
    known: pycolmap.Reconstruction,
    image_ids: Mapping[int, int],
    camera_of: Mapping[int, int],
    rigs: Iterable[pycolmap.Rig],
    frames: Sequence[Iterable[int]],
) -> dict[int, int]:
    """Add rigs and frames to a model that has cameras alone. Returns frame ids of the images that ``known`` lacks.

    Images share a frame if, by the database, a rig of several cameras took them at once, and ``known`` has that rig or
    none of its cameras. Rigs and frames of ``known`` keep their ids, and frames their poses.

    image_ids: in ``grown``, of the posed images of ``known`` by their ids there. camera_of: camera ids by image_id of
    the others. rigs, frames: of the database, with camera ids of ``grown``; frames as ids of their images.
    """
    posed = [known.frames[frame_id] for frame_id in sorted(known.reg_frame_ids())]
    for rig_id in sorted({frame.rig_id for frame in posed}):
        grown.add_rig(known.rigs[rig_id])
    rig_of = _add_rigs(grown, known, camera_of, rigs)
    rig_of_frame = {frame.frame_id: frame.rig_id for frame in posed}
    members: dict[int, dict[int, int]] = {frame_id: {} for frame_id in rig_of_frame}  # images by camera
    for image in known.images.values():
        if image.image_id in image_ids:
            members[image.frame_id][image.camera_id] = image_ids[image.image_id]
    taken_with = {image_id: number for number, group in enumerate(frames) for image_id in group}
    moments = {}  # frame ids by rig and number of the database's frame
    for frame_id, images in members.items():
        for image_id in images.values():
            moments[rig_of_frame[frame_id], taken_with.get(image_id)] = frame_id
    frame_of = {}
    for image_id, camera_id in camera_of.items():
        rig_id = rig_of[camera_id]
        moment = rig_id, taken_with.get(image_id)
        frame_id = moments.get(moment) if moment[1] is not None and grown.rigs[rig_id].num_sensors() > 1 else None
        if frame_id is None or camera_id in members[frame_id]:
            frame_id = moments[moment] = free_id({*known.frames, *members}, image_id)
            members[frame_id], rig_of_frame[frame_id] = {}, rig_id
        members[frame_id][camera_id] = image_id
        frame_of[image_id] = frame_id
    for frame_id, images in members.items():
        pose = known.frames[frame_id].rig_from_world if frame_id in known.frames else None
        grown.add_frame(_frame(frame_id, rig_of_frame[frame_id], images, pose))
    return frame_of


def _add_rigs(
    grown: pycolmap.Reconstruction,
    known: pycolmap.Reconstruction,
    camera_of: Mapping[int, int],
    rigs: Iterable[pycolmap.Rig],
) -> dict[int, int]:
    """Add rigs of cameras that have none. Returns rig ids by camera_id."""
    rig_of = {sensor.id: rig_id for rig_id, rig in grown.rigs.items() for sensor in rig.sensor_ids()}
    for rig in [*rigs, *(trivial_rig(camera_id) for camera_id in sorted(set(camera_of.values())))]:
        cameras = {sensor.id for sensor in rig.sensor_ids()}
        if cameras.isdisjoint(rig_of) and not cameras.isdisjoint(camera_of.values()):
            rig.rig_id = free_id({*known.rigs, *grown.rigs}, rig.rig_id)
            grown.add_rig(rig)
            rig_of |= dict.fromkeys(cameras, rig.rig_id)
    return rig_of


def rigs_with(rigs: Iterable[pycolmap.Rig], camera_ids: Mapping[int, int]) -> list[pycolmap.Rig]:
    """The rigs of several cameras with known poses that all have another id, with these."""
    found = []
    for rig in rigs:
        sensors = [rig.ref_sensor_id, *rig.non_ref_sensors]
        is_known = None not in rig.non_ref_sensors.values()
        if len(sensors) > 1 and is_known and all(sensor.id in camera_ids for sensor in sensors):
            other = trivial_rig(camera_ids[rig.ref_sensor_id.id], rig.rig_id)
            for sensor, pose in rig.non_ref_sensors.items():
                other.add_sensor(_sensor(camera_ids[sensor.id]), pose)
            found.append(other)
    return found


def free_id(taken: Collection[int], wanted: int) -> int:
    """The wanted id if it is free, else the one after the largest."""
    return max(taken) + 1 if wanted in taken else wanted


def trivial_rig(camera_id: int, rig_id: int | None = None) -> pycolmap.Rig:
    """A rig of one camera."""
    rig = pycolmap.Rig(rig_id=camera_id if rig_id is None else rig_id)
    rig.add_ref_sensor(_sensor(camera_id))
    return rig


def _frame(frame_id: int, rig_id: int, images: Mapping[int, int], pose: pycolmap.Rigid3d | None) -> pycolmap.Frame:
    frame = pycolmap.Frame(frame_id=frame_id, rig_id=rig_id)
    for camera_id, image_id in images.items():
        frame.add_data_id(pycolmap.data_t(_sensor(camera_id), image_id))
    if pose is not None:
        frame.rig_from_world = pose
    return frame


def _sensor(camera_id: int) -> pycolmap.sensor_t:
    return pycolmap.sensor_t(pycolmap.SensorType.CAMERA, camera_id)
