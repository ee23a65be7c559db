"""A model in the ids of a database, with the images that it lacks, so that mapping can continue it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pycolmap

from d2sfm.database import MatchStore
from d2sfm.mapping.transcribed_frames import add_frames, free_id, rigs_with
from d2sfm.matching.in_common import require_same_size
from d2sfm.text import first_of, printable

SAME_PX = 0.01  # text files of other programs round


class OtherKeypoints(RuntimeError):
    """The points of a model are not of the database's keypoints."""


class Transcription(NamedTuple):
    """A model with the posed images of another model and all usable images of a database.

    model: ids of images are the database's; images that only the model has follow these. Its cameras, rigs, frames and
        points keep their ids. Images that only the database has are without a pose, but in frames of known ones.
    old: ids of the images with the other model's poses.
    longer: of those with more keypoints in the database, as d2sfm bridge adds some behind the existing ones.
    only_in_model: sorted names of those that the database lacks.
    """

    model: pycolmap.Reconstruction
    old: frozenset[int]
    longer: frozenset[int]
    only_in_model: tuple[str, ...]


def transcribed(
    known: pycolmap.Reconstruction,
    store: MatchStore,
    keypoints: Mapping[int, np.ndarray],
    rigs: Mapping[int, pycolmap.Rig],
    frames: Sequence[Iterable[int]],
    called: Path,
    others: Mapping[str, pycolmap.Camera],
) -> Transcription:
    """A model with the images of ``known``, read from the folder ``called``, and those of the database, by its ids.

    keypoints: of the usable images of the database by image_id, [N, 2] pixels of the photograph; rigs, frames:
    of the database, frames as ids of their images. others: better cameras than the database's for images that the model
    lacks, by names of images. Raises OtherKeypoints if points of the model are not of these keypoints, RuntimeError if
    the sizes of a photograph differ, or the two have no image in common.
    """
    in_both = images_in_both(known, store, keypoints, called)
    posed = _posed(known)
    names = {image_id: name for image_id, name in store.image_names().items() if image_id in keypoints}
    ids = store.image_ids()
    only_in_model = sorted(posed.keys() - ids.keys())
    ids |= zip(only_in_model, count(max(ids.values()) + 1))
    image_ids = {image.image_id: ids[name] for name, image in posed.items()}
    lacking = sorted(names.keys() - in_both.keys())
    cameras = _Cameras(known, store, in_both, {image_id: others.get(names[image_id]) for image_id in lacking})
    camera_of = {image_id: cameras.ids[store.camera(image_id).camera_id] for image_id in lacking}
    grown = pycolmap.Reconstruction()
    for camera in cameras.all:
        grown.add_camera(camera)
    frame_of = add_frames(grown, known, image_ids, camera_of, rigs_with(rigs.values(), cameras.ids), frames)
    for name, image in posed.items():
        image_id = image_ids[image.image_id]
        xy = keypoints[image_id] if image_id in names else [point.xy for point in image.points2D]
        _add_image(grown, name, image_id, image.camera_id, image.frame_id, xy)
    for image_id in lacking:
        _add_image(grown, names[image_id], image_id, camera_of[image_id], frame_of[image_id], keypoints[image_id])
    _add_points(grown, known, image_ids)
    longer = {image_id for image_id, image in in_both.items() if len(keypoints[image_id]) > image.num_points2D()}
    return Transcription(grown, frozenset(image_ids.values()), frozenset(longer), tuple(only_in_model))


def images_in_both(
    known: pycolmap.Reconstruction, store: MatchStore, keypoints: Mapping[int, np.ndarray], called: Path
) -> dict[int, pycolmap.Image]:
    """Images of the model that have such keypoints, by their ids in the database. Raises as ``transcribed``."""
    posed, names = _posed(known), store.image_names()
    in_both = {image_id: posed[name] for image_id, name in names.items() if image_id in keypoints and name in posed}
    if not in_both:
        raise RuntimeError(
            f"{called} and {store.path} have no image in common: expected a model of some of the same photographs"
        )
    others = []
    for image_id, image in in_both.items():
        require_same_size(store, image_id, image, called)
        places = np.array(image.get_observation_point2D_idxs(), np.int64)
        if not len(places):
            continue
        xy, of_database = np.array([point.xy for point in image.get_observation_points2D()]), keypoints[image_id]
        if places.max() >= len(of_database) or np.abs(of_database[places] - xy).max() > SAME_PX:
            others.append(image.name)
    if others:
        raise OtherKeypoints(
            f"{called} has points of keypoints that differ from those of {store.path}, in {first_of(others, 'image')}: "
            f"run d2sfm triangulate --reference {printable(str(called))}, then extend the model that it writes"
        )
    return in_both


def _posed(known: pycolmap.Reconstruction) -> dict[str, pycolmap.Image]:
    """The images with a pose by their names."""
    return {image.name: image for image in known.images.values() if image.has_pose}


class _Cameras:
    """Cameras of the model, and cameras of the database for images that the model lacks.

    If all images of a camera of the database have the same or equal cameras in the model, that one is used. lacking:
    the other images, with better cameras where known.
    """

    def __init__(
        self,
        known: pycolmap.Reconstruction,
        store: MatchStore,
        in_both: Mapping[int, pycolmap.Image],
        lacking: Mapping[int, pycolmap.Camera | None],
    ):
        partners = defaultdict(set)
        for image_id, image in in_both.items():
            partners[store.camera(image_id).camera_id].add(image.camera_id)
        self.ids = {
            of_database: min(found)
            for of_database, found in partners.items()
            if len({(known.cameras[each].model, *known.cameras[each].params) for each in found}) == 1
        }
        posed = [image for image in known.images.values() if image.has_pose]
        used = {sensor.id for image in posed for sensor in known.rigs[image.frame.rig_id].sensor_ids()}
        self.all = [known.cameras[camera_id] for camera_id in sorted(used)]
        taken = set(known.cameras)
        for image_id, better in sorted(lacking.items(), key=lambda each: each[1] is None):
            camera_id = store.camera(image_id).camera_id
            if camera_id not in self.ids:
                camera = pycolmap.Camera((better or store.camera(image_id)).todict())
                camera.camera_id = self.ids[camera_id] = free_id(taken, camera_id)
                taken.add(camera.camera_id)
                self.all.append(camera)


def _add_image(
    grown: pycolmap.Reconstruction, name: str, image_id: int, camera_id: int, frame_id: int, xy: Sequence[np.ndarray]
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
