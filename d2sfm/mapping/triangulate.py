"""Points for cameras that are known: the standard way to build a map for localisation.

d2sfm triangulate --reference model --database db.db --output triangulated
"""

import logging
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import pycolmap
from tqdm import tqdm

from d2sfm.colmap import quiet_pycolmap, read_model
from d2sfm.database import FeatureStore, MatchStore, exclusive
from d2sfm.database.connection import open_pycolmap
from d2sfm.database.pair_ids import image_pairs
from d2sfm.database.rows import UnusableRow, warn_once
from d2sfm.mapping.model_files import colour, numbered, photographs_folder, require_replaceable, write_models
from d2sfm.mapping.one_run import MappingInput, Trial, incremental_options
from d2sfm.mapping.quality import ModelStatistics, statistics, table
from d2sfm.matching.epipolar import agreeing
from d2sfm.matching.settings import allowed_error, pair_threshold_px
from d2sfm.matching.unfinished import warn_of_unfinished
from d2sfm.options import Mapper, TriangulationOptions

logger = logging.getLogger(__name__)

NAMES_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class TriangulationResult:
    """What a run wrote and saw."""

    model: Path | None  # folder, None where no point was found
    statistics: ModelStatistics
    images: int  # in the database and with a pose in the reference
    without_pose: tuple[str, ...]  # only in the database
    without_features: tuple[str, ...]  # only in the reference, or without keypoints in the database
    pairs: int  # verified
    matches: int  # verified
    agreeing: int  # of these, matches that the poses agree with
    unusable: int = 0  # pairs that were left out, as their rows can't be used
    seconds: float

    def __str__(self) -> str:
        text = f"triangulate: {self.agreeing} of {self.matches} verified matches of {self.pairs} pairs agree "
        text += f"with the poses, {self.seconds:.1f} s"
        if self.model is None:
            return f"{text}\nno point could be triangulated from {self.images} images"
        return f"{table([self.statistics], self.images, [str(self.model)])}\n{text}"


def triangulate(
    database: Path | str,
    reference: Path | str,
    output: Path | str,
    *,
    images: Path | str | None = None,
    options: TriangulationOptions | None = None,
    progress: bool = False,
) -> TriangulationResult:
    """Triangulate the matches of a database with the poses and intrinsics of a model, and write ``output``/0.

    reference: folder of a COLMAP model. Its images are those of the database by name; what only one of the two has is
    left out and named. Each camera becomes a rig of its own. Of the verified matches those take part that the poses
    agree with. Poses, intrinsics and the database stay as they are, to the last bit but for quaternions that are not
    of unit length, as in text files, and a database of an older COLMAP, which is brought to the newest schema. images:
    the folder of the photographs, for point colours only (default: the one that extraction recorded). Numbered model
    folders of an earlier run are replaced.

    Raises FileNotFoundError where there is no database or model, RuntimeError where one can't be read, there are no
    verified pairs, they have fewer than two images in common, or the sizes of a photograph differ, and where ``output``
    holds the reference or files that are no model.
    """
    database, reference, output = Path(database), Path(reference), Path(output)
    options, started = options or TriangulationOptions(), time.perf_counter()
    with exclusive(database):
        _require_output(output, reference)
        poses, limits = read_model(reference), _limits(database, options)
        warn_of_unfinished(database, "the model")
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder) / "work.db"
            with MatchStore(database) as store, open_pycolmap(work) as copy:
                common = _in_common(store, poses, reference)
                _write_images(copy, common.model, store)
                counts = _write_pairs(copy, common.model, store, limits, progress)
            model = _triangulated(work, common.model, options, limits)
        folders = ()
        if model.num_points3D():
            colour([model], photographs_folder(database, images))
            folders = write_models([model], output, text=options.text, ply=options.ply)
    return TriangulationResult(
        model=folders[0] if folders else None,
        statistics=statistics(model, limits.pixel_factor(common.model)),
        images=len(common.model.images),
        without_pose=common.without_pose,
        without_features=common.without_features,
        **counts,
        seconds=time.perf_counter() - started,
    )


class _Common(NamedTuple):
    """A model of the images that both have, with ids of the database and without points; names that only one has."""

    model: pycolmap.Reconstruction
    without_pose: tuple[str, ...]
    without_features: tuple[str, ...]


class _Limits(NamedTuple):
    """The largest error in pixels of the network input, and resize factors by image id."""

    max_error: float
    factors: Mapping[int, float]

    def pixel_factor(self, model: pycolmap.Reconstruction) -> float:
        """Pixels of the photographs for one of the network input, as in mapping."""
        found = [self.factors[image_id] for image_id in model.images if image_id in self.factors]
        return median(found) if found else 1.0


def _require_output(output: Path, reference: Path) -> None:
    """RuntimeError where models can't be written there, or the reference would be replaced."""
    require_replaceable(output)
    if any(reference.resolve().is_relative_to(folder.resolve()) for folder in numbered(output)):
        raise RuntimeError(f"{output} holds the reference, which would be replaced: give another --output")


def _limits(database: Path, options: TriangulationOptions) -> _Limits:
    with FeatureStore(database) as features:
        max_error = allowed_error(features) if options.max_error is None else options.max_error
        return _Limits(max_error, features.resize_factors())


def _in_common(store: MatchStore, poses: pycolmap.Reconstruction, reference: Path) -> _Common:
    """What the database and the reference, of these poses, have in common. RuntimeError where that is too little."""
    database = store.path
    posed = {image.name: image for image in poses.images.values() if image.has_pose}
    ids = {name: image_id for name, image_id in store.image_ids().items() if _has_usable(store, image_id)}
    if not len(store.done_pairs(verified=True)):
        raise RuntimeError(f"{database} holds no verified pairs of images: run d2sfm match first")
    names = sorted(posed.keys() & ids.keys())
    without_pose = tuple(sorted(ids.keys() - posed.keys()))
    without_features = tuple(sorted(posed.keys() - ids.keys()))
    for missing, what in (
        (without_pose, f"of {database} have no pose in {reference}"),
        (without_features, f"of {reference} have no features in {database}"),
    ):
        if missing:
            shown = ", ".join(missing[:NAMES_SHOWN])
            more = f" and {len(missing) - NAMES_SHOWN} more" if len(missing) > NAMES_SHOWN else ""
            logger.warning("%d images %s: %s%s", len(missing), what, shown, more)
    if len(names) < 2:
        raise RuntimeError(f"{reference} and {database} have {len(names)} images in common, triangulation needs two")
    model = _posed_model({ids[name]: posed[name] for name in names}, store, reference)
    return _Common(model, without_pose, without_features)


def _has_usable(store: MatchStore, image_id: int) -> bool:
    """Whether an image has keypoints that can be used; a warning where it has others."""
    try:
        return store.has_keypoints(image_id) and store.keypoints(image_id) is not None
    except UnusableRow as error:
        warn_once(f"left out: {error}")
        return False


def _posed_model(posed: Mapping[int, pycolmap.Image], store: MatchStore, reference: Path) -> pycolmap.Reconstruction:
    """A model of images of the reference by their ids in the database. RuntimeError where sizes differ."""
    known = pycolmap.Reconstruction()
    for image_id, of_reference in posed.items():
        name, camera = of_reference.name, of_reference.camera
        size, of_database = (camera.width, camera.height), store.camera(image_id)
        if size != (of_database.width, of_database.height):
            raise RuntimeError(
                f"{name} is {size[0]} x {size[1]} px in {reference}, "
                f"{of_database.width} x {of_database.height} px in {store.path}: they are of other photographs"
            )
        if not known.exists_camera(camera.camera_id):
            known.add_camera_with_trivial_rig(camera)
        image = pycolmap.Image(name=name, camera_id=camera.camera_id, image_id=image_id)
        known.add_image_with_trivial_frame(image, of_reference.cam_from_world())
    return known


def _write_images(copy: pycolmap.Database, known: pycolmap.Reconstruction, store: MatchStore) -> None:
    """Cameras of the reference, images and keypoints. COLMAP does without rigs and frames in a database."""
    for camera in known.cameras.values():
        copy.write_camera(camera, use_camera_id=True)
    for image_id, image in known.images.items():
        row = pycolmap.Image(name=image.name, camera_id=image.camera_id, image_id=image_id)
        copy.write_image(row, use_image_id=True)
        copy.write_keypoints(image_id, store.keypoints(image_id))


def _write_pairs(
    copy: pycolmap.Database, known: pycolmap.Reconstruction, store: MatchStore, limits: _Limits, progress: bool
) -> dict[str, int]:
    """The verified matches that the poses agree with. Returns the numbers of pairs, of their matches, and of those, as
    ``TriangulationResult`` names them.

    All matches instead of the verified ones gave more points of two images, which nothing checks, and fewer of three:
    7241 and 7288 on fountain_p11, 738 and 754 on sacre_coeur.
    """
    pairs = image_pairs(store.done_pairs(verified=True))
    pairs = pairs[np.isin(pairs, list(known.images)).all(axis=1)].tolist()
    used = matched = kept = 0
    for pair in tqdm(pairs, desc="check", unit="pair", disable=not progress, leave=False):
        try:
            matches = store.inlier_matches(*pair)
        except UnusableRow as error:
            warn_once(f"left out: {error}")
            continue
        a, b = (known.images[image_id] for image_id in pair)
        b_from_a = b.cam_from_world() * a.cam_from_world().inverse()
        xy_a, xy_b = (store.keypoints(image_id)[column] for image_id, column in zip(pair, matches.T, strict=True))
        limit = pair_threshold_px(*limits, pair)
        inliers = matches[agreeing(a.camera, xy_a, b.camera, xy_b, b_from_a, limit)]
        geometry = pycolmap.TwoViewGeometry()
        geometry.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
        geometry.cam2_from_cam1 = b_from_a
        geometry.inlier_matches = inliers
        copy.write_two_view_geometry(*pair, geometry)
        used, matched, kept = used + 1, matched + len(matches), kept + len(inliers)
    return {"pairs": used, "matches": matched, "agreeing": kept, "unusable": len(pairs) - used}


def _triangulated(
    work: Path, known: pycolmap.Reconstruction, options: TriangulationOptions, limits: _Limits
) -> pycolmap.Reconstruction:
    given = MappingInput(
        database=work,
        mapper=Mapper.INCREMENTAL,
        pixel_factor=limits.pixel_factor(known),
        max_error=limits.max_error,
        all_constant=True,
        num_threads=options.num_threads,
    )
    settings = incremental_options(given, Trial(seed=options.seed))
    with quiet_pycolmap():
        # Neither photographs nor its output are used: colours are added to the result, which is then written.
        return pycolmap.triangulate_points(known, work, work.parent, work.parent, options=settings)
