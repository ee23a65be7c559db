"""A model told in the ids of a database, with the images that it lacks, so that mapping can go on with it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pycolmap

from d2sfm.database import MatchStore
from d2sfm.text import first_of, printable

SAME_PX = 0.01  # text files of other programs round


class OtherKeypoints(RuntimeError):
    """The points of a model are not of the database's keypoints."""


class Transcription(NamedTuple):
    """A model with the posed images of another one and all usable ones of a database.

    model: ids of images are the database's; images that only the model has follow these. Its cameras, rigs, frames and
        points keep their ids. Images that only the database has are without a pose, but in frames of known ones.
    old: ids of the images with the other model's poses.
    only_in_model: their names, of those that the database lacks, sorted.
    camera_ids: ids in the model by the database's.
    """

    model: pycolmap.Reconstruction
    old: frozenset[int]
    only_in_model: tuple[str, ...]
    camera_ids: Mapping[int, int]


def transcribed(
    known: pycolmap.Reconstruction,
    store: MatchStore,
    keypoints: Mapping[int, np.ndarray],
    rigs: Mapping[int, pycolmap.Rig],
    frames: Sequence[Iterable[int]],
    called: Path,
) -> Transcription:
    """The model that ``known``, read from the folder ``called``, becomes.

    keypoints: of the usable images of the database by image_id, [N, 2 or more] pixels of the photograph; rigs, frames:
    of the database, frames as ids of their images. Raises OtherKeypoints where points of the model are not of these
    keypoints, RuntimeError where the sizes of a photograph differ, or the two have no image in common.
    """
    posed = {image.name: image for image in known.images.values() if image.has_pose}
    names = {image_id: name for image_id, name in store.image_names().items() if image_id in keypoints}
    in_both = {image_id: posed[name] for image_id, name in names.items() if name in posed}
    if not in_both:
        raise RuntimeError(f"{called} and {store.path} have no image in common: a model is extended that shares some")
    _require_same_keypoints(in_both, keypoints, store, called)
    only_in_model = sorted(posed.keys() - names.values())
    image_ids = {posed[name].image_id: new for new, name in zip(_free(store.image_names()), only_in_model)}  # noqa: B905
    image_ids |= {image.image_id: image_id for image_id, image in in_both.items()}
    cameras = _Cameras(known, store, in_both, names.keys() - in_both.keys())
    grown = pycolmap.Reconstruction()
    for camera in cameras.all:
        grown.add_camera(camera)
    frame_of = _add_frames(grown, known, image_ids, cameras.ids, names.keys() - in_both.keys(), rigs, frames, store)
    for name, image in posed.items():
        image_id = image_ids[image.image_id]
        xy = keypoints[image_id][:, :2] if image_id in names else np.array([point.xy for point in image.points2D])
        _add_image(grown, name, image_id, image.camera_id, image.frame_id, xy)
    for image_id in names.keys() - in_both.keys():
        camera_id = cameras.ids[store.camera(image_id).camera_id]
        _add_image(grown, names[image_id], image_id, camera_id, frame_of[image_id], keypoints[image_id][:, :2])
    _add_points(grown, known, image_ids)
    return Transcription(grown, frozenset(image_ids.values()), tuple(only_in_model), cameras.ids)


def _require_same_keypoints(
    in_both: Mapping[int, pycolmap.Image], keypoints: Mapping[int, np.ndarray], store: MatchStore, called: Path
) -> None:
    others = []
    for image_id, image in in_both.items():
        camera, size = image.camera, store.camera(image_id)
        if (camera.width, camera.height) != (size.width, size.height):
            raise RuntimeError(
                f"{image.name} is {camera.width} x {camera.height} px in {called}, {size.width} x {size.height} px in "
                f"{store.path}: they are of other photographs"
            )
        places = np.array(image.get_observation_point2D_idxs(), np.int64)
        if not len(places):
            continue
        xy, of_database = np.array([point.xy for point in image.get_observation_points2D()]), keypoints[image_id]
        if places.max() >= len(of_database) or np.abs(of_database[places, :2] - xy).max() > SAME_PX:
            others.append(image.name)
    if others:
        raise OtherKeypoints(
            f"{called} has points of other keypoints than those of {store.path}, in {first_of(others, 'image')}: run "
            f"d2sfm triangulate --reference {printable(str(called))}, and extend the model that it writes"
        )


def _free(taken: Iterable[int]) -> Iterable[int]:
    return count(max(taken, default=0) + 1)


class _Cameras:
    """Those of the model, and those of the database for images that the model lacks.

    Where all images of a camera of the database have one camera in the model, that is it.
    """

    def __init__(
        self,
        known: pycolmap.Reconstruction,
        store: MatchStore,
        in_both: Mapping[int, pycolmap.Image],
        lacking: Iterable[int],
    ):
        partners = defaultdict(set)
        for image_id, image in in_both.items():
            partners[store.camera(image_id).camera_id].add(image.camera_id)
        self.ids = {of_database: min(found) for of_database, found in partners.items() if len(found) == 1}
        self.all = [known.cameras[camera_id] for camera_id in sorted({image.camera_id for image in posed_of(known)})]
        taken = set(known.cameras)
        for image_id in sorted(lacking):
            camera = store.camera(image_id)
            if camera.camera_id not in self.ids:
                free = camera.camera_id not in taken
                self.ids[camera.camera_id] = camera.camera_id if free else next(iter(_free(taken)))
                camera.camera_id = self.ids[camera.camera_id]
                self.all.append(camera)
                taken.add(camera.camera_id)


def posed_of(model: pycolmap.Reconstruction) -> list[pycolmap.Image]:
    """The images with a pose."""
    return [image for image in model.images.values() if image.has_pose]


def _add_frames(
    grown: pycolmap.Reconstruction,
    known: pycolmap.Reconstruction,
    image_ids: Mapping[int, int],
    camera_ids: Mapping[int, int],
    lacking: Iterable[int],
    rigs: Mapping[int, pycolmap.Rig],
    frames: Sequence[Iterable[int]],
    store: MatchStore,
) -> dict[int, int]:
    """Add rigs and frames. Returns the frames of the images that the model lacks.

    Those share a frame where a rig of several cameras took them at once, by the database, and the model has that rig or
    none of its cameras.
    """
    posed = [known.frames[frame_id] for frame_id in sorted({image.frame_id for image in posed_of(known)})]
    for rig_id in sorted({frame.rig_id for frame in posed}):
        grown.add_rig(known.rigs[rig_id])
    rig_of = {sensor.id: rig_id for rig_id, rig in grown.rigs.items() for sensor in rig.sensor_ids()}
    camera_of = {image_id: camera_ids[store.camera(image_id).camera_id] for image_id in sorted(lacking)}
    for rig in [*_with_ids(rigs.values(), camera_ids), *(_trivial(camera_id) for camera_id in camera_of.values())]:
        cameras = {sensor.id for sensor in rig.sensor_ids()}
        if cameras.isdisjoint(rig_of) and not cameras.isdisjoint(camera_of.values()):
            if rig.rig_id in known.rigs or rig.rig_id in grown.rigs:
                rig.rig_id = next(iter(_free([*known.rigs, *grown.rigs])))
            grown.add_rig(rig)
            rig_of |= dict.fromkeys(cameras, rig.rig_id)
    members = {frame.frame_id: [] for frame in posed}
    for image in posed_of(known):
        members[image.frame_id].append((image_ids[image.image_id], image.camera_id))
    taken_with = {image_id: number for number, group in enumerate(frames) for image_id in group}
    known_as = {
        (taken_with[image_id], frame.rig_id): frame.frame_id
        for frame in posed
        for image_id, _ in members[frame.frame_id]
        if image_id in taken_with and grown.rigs[frame.rig_id].num_sensors() > 1
    }
    free, frame_of, rig_of_frame = _free(known.frames), {}, {frame.frame_id: frame.rig_id for frame in posed}
    for image_id, camera_id in camera_of.items():
        rig_id = rig_of[camera_id]
        shared = image_id in taken_with and grown.rigs[rig_id].num_sensors() > 1
        key = (taken_with[image_id], rig_id) if shared else (-image_id, rig_id)
        frame_id = known_as.setdefault(key, None) or next(free)
        known_as[key], rig_of_frame[frame_id], frame_of[image_id] = frame_id, rig_id, frame_id
        members.setdefault(frame_id, []).append((image_id, camera_id))
    for frame_id, found in members.items():
        frame = pycolmap.Frame(frame_id=frame_id, rig_id=rig_of_frame[frame_id])
        for image_id, camera_id in found:
            frame.add_data_id(pycolmap.data_t(pycolmap.sensor_t(pycolmap.SensorType.CAMERA, camera_id), image_id))
        if frame_id in known.frames:
            frame.rig_from_world = known.frames[frame_id].rig_from_world
        grown.add_frame(frame)
    return frame_of


def _with_ids(rigs: Iterable[pycolmap.Rig], camera_ids: Mapping[int, int]) -> list[pycolmap.Rig]:
    """The rigs of several cameras that all have an id in the model, with these."""
    found = []
    for rig in rigs:
        sensors = [rig.ref_sensor_id, *rig.non_ref_sensors]
        if len(sensors) < 2 or not all(sensor.id in camera_ids for sensor in sensors):
            continue
        other = _trivial(camera_ids[rig.ref_sensor_id.id], rig.rig_id)
        for sensor, pose in rig.non_ref_sensors.items():
            other.add_sensor(pycolmap.sensor_t(pycolmap.SensorType.CAMERA, camera_ids[sensor.id]), pose)
        found.append(other)
    return found


def _trivial(camera_id: int, rig_id: int | None = None) -> pycolmap.Rig:
    rig = pycolmap.Rig(rig_id=camera_id if rig_id is None else rig_id)
    rig.add_ref_sensor(pycolmap.sensor_t(pycolmap.SensorType.CAMERA, camera_id))
    return rig


def _add_image(
    grown: pycolmap.Reconstruction, name: str, image_id: int, camera_id: int, frame_id: int, xy: np.ndarray
) -> None:
    image = pycolmap.Image(
        name=name, keypoints=np.asarray(xy, float).reshape(-1, 2), camera_id=camera_id, image_id=image_id
    )
    image.frame_id = frame_id
    grown.add_image(image)


def _add_points(grown: pycolmap.Reconstruction, known: pycolmap.Reconstruction, image_ids: Mapping[int, int]) -> None:
    for point_id, point in known.points3D.items():
        track = pycolmap.Track()
        for element in point.track.elements:
            track.add_element(image_ids[element.image_id], element.point2D_idx)
        found = pycolmap.Point3D(xyz=point.xyz, color=point.color, error=point.error, track=track)
        grown.add_point3D_with_id(point_id, found)
