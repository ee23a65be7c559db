"""Points for cameras that are known: the standard way to build a map for localization.

d2sfm triangulate --reference model --database db.db --output triangulated
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.colmap import quiet_pycolmap, read_model
from d2sfm.database import FeatureStore, MatchStore, exclusive
from d2sfm.database.connection import OPENING_BYTES, open_pycolmap
from d2sfm.database.pair_ids import image_pairs
from d2sfm.database.patience import named_errors
from d2sfm.database.rows import UnusableRow, warn_once
from d2sfm.mapping.model_files import colour, photographs_folder, require_elsewhere, write_models
from d2sfm.mapping.one_run import MappingInput, Trial, incremental_options
from d2sfm.mapping.quality import ModelStatistics, statistics, table
from d2sfm.matching.epipolar import geometry_of_poses
from d2sfm.matching.in_common import InCommon, in_common
from d2sfm.matching.settings import Threshold, Thresholds, noted_thresholds, typical_factor
from d2sfm.matching.unfinished import warn_of_unfinished
from d2sfm.matching.view import View
from d2sfm.notebook import Displayed
from d2sfm.options import Mapper, TriangulationOptions
from d2sfm.parts import scratch_folder
from d2sfm.progress import Bar
from d2sfm.system import require_room
from d2sfm.text import counted

_NamedErrors = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class TriangulationResult(Displayed):
    """The results of a run."""

    model: Path | None  # folder, None if no point was found
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
        text = f"triangulate: {self.agreeing} of {counted(self.matches, 'verified match')} of "
        text += f"{counted(self.pairs, 'pair')} agree with the poses, {self.seconds:.1f} s"
        if self.model is None:
            return f"{text}\nno point could be triangulated from {counted(self.images, 'image')}"
        return f"{table([self.statistics], self.images, [self.model.name])}\n{text}, in {self.model}"

    def _picture(self) -> bytes | None:
        from d2sfm.plots.reconstruction import model_png  # notebooks alone need it

        return self.model and model_png(self.model)


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
    left out and named. Each camera becomes a rig of its own. Verified matches that contradict the poses are left out.
    Poses, intrinsics and the database stay to the last bit, except for quaternions that are not of unit length, as in
    text files, and for a database of an older COLMAP, which is brought to the newest schema. images: the folder of the
    photographs, for point colours only (default: the one that extraction recorded). Numbered model folders of an
    earlier run are replaced.

    Raises FileNotFoundError if there is no database or model, RuntimeError if one can't be read, there are no verified
    pairs, they have fewer than two images in common, or the sizes of a photograph differ, and if ``output`` holds the
    reference or files that are not of a model.
    """
    database, reference, output = Path(database), Path(reference), Path(output)
    options, started = options or TriangulationOptions(), time.perf_counter()
    with exclusive(database):
        require_elsewhere(output, reference)
        poses, thresholds = read_model(reference), _thresholds(database, options)
        warn_of_unfinished(database, "the model")
        with scratch_folder() as folder:
            work = folder / "work.db"
            require_room(folder.parent, OPENING_BYTES, folder=folder)
            with MatchStore(database) as store, open_pycolmap(work) as copy:
                if not len(store.done_pairs(verified=True)):
                    raise RuntimeError(f"{database} holds no verified pairs of images: run d2sfm match first")
                common = in_common(store, poses, reference)
                pixel_factor = _pixel_factor(common.model, store, thresholds)
                writes = partial(named_errors, folder.parent, RuntimeError, ValueError)
                _write_images(copy, common, store, writes)
                counts = _write_pairs(copy, common, store, writes, thresholds, progress)
            model = _triangulated(work, common.model, options, pixel_factor)
        folders = ()
        if model.num_points3D():
            colour([model], photographs_folder(database, images))
            folders = write_models([model], output, text=options.text, ply=options.ply)
    return TriangulationResult(
        model=folders[0] if folders else None,
        statistics=statistics(model, pixel_factor),
        images=len(common.model.images),
        without_pose=common.without_pose,
        without_features=common.without_features,
        **counts,
        seconds=time.perf_counter() - started,
    )


def _thresholds(database: Path, options: TriangulationOptions) -> Thresholds:
    """The largest errors of matches."""
    with FeatureStore(database) as features:
        noted = noted_thresholds(features)
    if options.max_error is None:
        return noted
    given = Threshold(options.max_error)
    return noted._replace(common=given, of_new=given)


def _pixel_factor(model: pycolmap.Reconstruction, store: MatchStore, thresholds: Thresholds) -> float:
    """Pixels of the photographs for one of the network input, see ``MappingInput``."""
    pairs, factors = image_pairs(store.verified_counts()["pair_id"]), thresholds.factors
    threshold = thresholds.of_most(pairs[np.isin(pairs, list(model.images)).all(axis=1)])
    return threshold.pixel_factor(typical_factor(factors[each] for each in model.images if each in factors))


def _write_images(copy: pycolmap.Database, common: InCommon, store: MatchStore, writes: _NamedErrors) -> None:
    """Cameras of the reference, images and keypoints. COLMAP does without rigs and frames in a database."""
    for camera in common.model.cameras.values():
        with writes():
            copy.write_camera(camera, use_camera_id=True)
    for image_id, image in common.model.images.items():
        keypoints = store.keypoints(image_id)
        row = pycolmap.Image(name=image.name, camera_id=image.camera_id, image_id=image_id)
        with writes():
            copy.write_image(row, use_image_id=True)
            copy.write_keypoints(image_id, keypoints)


def _write_pairs(
    copy: pycolmap.Database,
    common: InCommon,
    store: MatchStore,
    writes: _NamedErrors,
    thresholds: Thresholds,
    progress: bool,
) -> dict[str, int]:
    """The verified matches that agree with the poses. Returns the numbers of pairs, of their matches, and of agreeing
    ones, as ``TriangulationResult`` names them.

    All matches instead of the verified ones gave more points of two images, which nothing checks, and fewer of three:
    7241 and 7288 on fountain_p11, 738 and 754 on sacre_coeur.
    """
    known = common.model
    pairs = image_pairs(store.done_pairs(verified=True))
    pairs = pairs[np.isin(pairs, list(known.images)).all(axis=1)].tolist()
    used = matched = kept = 0
    for pair in Bar(pairs, desc="check", unit="pair", disable=not progress, leave=False):
        try:
            matches = store.inlier_matches(*pair)
        except UnusableRow as error:
            warn_once(f"left out: {error}")
            continue
        a, b = (known.images[image_id] for image_id in pair)
        views = [View(image.camera, store.keypoints(image.image_id)) for image in (a, b)]
        b_from_a = b.cam_from_world() * a.cam_from_world().inverse()
        geometry = geometry_of_poses(*views, b_from_a, matches, thresholds.of_pair_px(pair))
        with writes():
            copy.write_two_view_geometry(*pair, geometry)
        used, matched, kept = used + 1, matched + len(matches), kept + len(geometry.inlier_matches)
    return {"pairs": used, "matches": matched, "agreeing": kept, "unusable": len(pairs) - used}


def _triangulated(
    work: Path, known: pycolmap.Reconstruction, options: TriangulationOptions, pixel_factor: float
) -> pycolmap.Reconstruction:
    given = MappingInput(
        database=work,
        mapper=Mapper.INCREMENTAL,
        pixel_factor=pixel_factor,
        all_constant=True,
        num_threads=options.num_threads,
    )
    settings = incremental_options(given, Trial(seed=options.seed))
    with quiet_pycolmap():
        # Neither photographs nor its output are used: colours are added to the result, which is then written.
        return pycolmap.triangulate_points(known, work, work.parent, work.parent, options=settings)
