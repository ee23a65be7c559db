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

import numpy as np
import pycolmap
from tqdm import tqdm

from d2sfm.colmap import quiet_pycolmap, read_model
from d2sfm.database import FeatureStore, MatchStore, exclusive
from d2sfm.database.connection import open_pycolmap
from d2sfm.mapping.model_files import colour, numbered, photographs_folder, require_replaceable, write_models
from d2sfm.mapping.one_run import MappingInput, Trial, incremental_options
from d2sfm.mapping.quality import ModelStatistics, statistics, table
from d2sfm.mapping.reconstruct import allowed_error
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
    seconds: float

    def __str__(self) -> str:
        text = (
            f"triangulate: {self.agreeing} of {self.matches} verified matches of {self.pairs} pairs agree with the "
            f"poses, {self.seconds:.1f} s"
        )
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
        require_replaceable(output)
        if any(reference.resolve().is_relative_to(folder.resolve()) for folder in numbered(output)):
            raise RuntimeError(f"{output} holds the reference, which would be replaced: give another --output")
        poses = read_model(reference)
        with FeatureStore(database) as features:
            factors = features.resize_factors()
            max_error = allowed_error(features) if options.max_error is None else options.max_error
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder) / "work.db"
            with MatchStore(database) as store, open_pycolmap(work) as copy:
                known, without_pose, without_features = _in_common(store, poses, database, reference)
                _write_images(copy, known, store)
                counts = _write_pairs(copy, known, store, factors, max_error, progress)
            model = _triangulated(work, known, options, max_error, _pixel_factor(factors, known))
        folders = ()
        if model.num_points3D():
            colour([model], photographs_folder(database, images))
            folders = write_models([model], output, text=options.text, ply=options.ply)
    return TriangulationResult(
        model=folders[0] if folders else None,
        statistics=statistics(model, _pixel_factor(factors, known)),
        images=len(known.images),
        without_pose=without_pose,
        without_features=without_features,
        pairs=counts[0],
        matches=counts[1],
        agreeing=counts[2],
        seconds=time.perf_counter() - started,
    )


def agreeing(
    camera_a: pycolmap.Camera,
    xy_a: np.ndarray,
    camera_b: pycolmap.Camera,
    xy_b: np.ndarray,
    b_from_a: pycolmap.Rigid3d,
    max_error_px: float,
) -> np.ndarray:
    """Which pairs of points the relative pose agrees with: [M] bool.

    xy_a, xy_b: [M, 2] in pixels of the photographs. The error is Sampson's, on the plane z = 1 of the cameras, and its
    limit the mean over both cameras of max_error_px over the focal length, as in COLMAP's verification. Points that a
    camera can't see and pairs of one place agree with nothing.
    """
    a, b = (
        np.column_stack([camera.cam_from_img(np.asarray(xy, np.float64).reshape(-1, 2)), np.ones(len(xy))])
        for camera, xy in ((camera_a, xy_a), (camera_b, xy_b))
    )
    x, y, z = b_from_a.translation
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ b_from_a.rotation.matrix()
    line_in_b, line_in_a = a @ essential.T, b @ essential
    product = np.sum(b * line_in_b, axis=1)
    squares = np.sum(line_in_b[:, :2] ** 2, axis=1) + np.sum(line_in_a[:, :2] ** 2, axis=1)
    limit = max_error_px * (1 / camera_a.mean_focal_length() + 1 / camera_b.mean_focal_length()) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return product**2 / squares <= limit**2


def _in_common(
    store: MatchStore, poses: pycolmap.Reconstruction, database: Path, reference: Path
) -> tuple[pycolmap.Reconstruction, tuple[str, ...], tuple[str, ...]]:
    """A model of the images that both have, with ids of the database and without points; names that only one has."""
    posed = {image.name: image for image in poses.images.values() if image.has_pose}
    ids = {name: image_id for name, image_id in store.image_ids().items() if store.has_keypoints(image_id)}
    if not store.done_pairs(verified=True):
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
    known = pycolmap.Reconstruction()
    for name in names:
        camera = posed[name].camera
        size, of_database = (camera.width, camera.height), store.camera(ids[name])
        if size != (of_database.width, of_database.height):
            raise RuntimeError(
                f"{name} is {size[0]} x {size[1]} px in {reference}, "
                f"{of_database.width} x {of_database.height} px in {database}: they are of other photographs"
            )
        if not known.exists_camera(camera.camera_id):
            known.add_camera_with_trivial_rig(camera)
        image = pycolmap.Image(name=name, camera_id=camera.camera_id, image_id=ids[name])
        known.add_image_with_trivial_frame(image, posed[name].cam_from_world())
    return known, without_pose, without_features


def _write_images(copy: pycolmap.Database, known: pycolmap.Reconstruction, store: MatchStore) -> None:
    """Cameras of the reference, images and keypoints. COLMAP does without rigs and frames in a database."""
    for camera in known.cameras.values():
        copy.write_camera(camera, use_camera_id=True)
    for image_id, image in known.images.items():
        copy.write_image(
            pycolmap.Image(name=image.name, camera_id=image.camera_id, image_id=image_id), use_image_id=True
        )
        copy.write_keypoints(image_id, store.keypoints(image_id))


def _write_pairs(
    copy: pycolmap.Database,
    known: pycolmap.Reconstruction,
    store: MatchStore,
    factors: Mapping[int, float],
    max_error: float,
    progress: bool,
) -> tuple[int, int, int]:
    """The verified matches that the poses agree with. Returns the numbers of pairs, of their matches, and of those.

    All matches instead of the verified ones gave more points of two images, which nothing checks, and fewer of three:
    7241 and 7288 on fountain_p11, 738 and 754 on sacre_coeur.
    """
    pairs = sorted(pair for pair in store.done_pairs(verified=True) if all(map(known.exists_image, pair)))
    matched = kept = 0
    for pair in tqdm(pairs, desc="check", unit="pair", disable=not progress, leave=False):
        matches = store.inlier_matches(*pair)
        a, b = (known.images[image_id] for image_id in pair)
        b_from_a = b.cam_from_world() * a.cam_from_world().inverse()
        xy_a, xy_b = (store.keypoints(image_id)[column] for image_id, column in zip(pair, matches.T, strict=True))
        limit = max_error * max(factors.get(image_id, 1.0) for image_id in pair)
        inliers = matches[agreeing(a.camera, xy_a, b.camera, xy_b, b_from_a, limit)]
        geometry = pycolmap.TwoViewGeometry()
        geometry.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
        geometry.cam2_from_cam1 = b_from_a
        geometry.inlier_matches = inliers
        copy.write_two_view_geometry(*pair, geometry)
        matched, kept = matched + len(matches), kept + len(inliers)
    return len(pairs), matched, kept


def _triangulated(
    work: Path, known: pycolmap.Reconstruction, options: TriangulationOptions, max_error: float, factor: float
) -> pycolmap.Reconstruction:
    given = MappingInput(
        database=work,
        mapper=Mapper.INCREMENTAL,
        pixel_factor=factor,
        max_error=max_error,
        all_constant=True,
        num_threads=options.num_threads,
    )
    settings = incremental_options(given, Trial(seed=options.seed))
    with quiet_pycolmap():
        # Neither photographs nor its output are used: colours are added to the result, which is then written.
        return pycolmap.triangulate_points(known, work, work.parent, work.parent, options=settings)


def _pixel_factor(factors: Mapping[int, float], known: pycolmap.Reconstruction) -> float:
    """Pixels of the photographs for one of the network input, as in mapping."""
    found = [factors[image_id] for image_id in known.images if image_id in factors]
    return median(found) if found else 1.0
