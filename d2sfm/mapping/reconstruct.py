"""Cameras and points from a matched database: several starts of pycolmap's mapping, the best model kept.

d2sfm reconstruct --database db.db --output sparse
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.database import FeatureStore, MatchStore, cameras_given, exclusive, read_rigs
from d2sfm.database.pair_ids import connected_groups, image_pairs
from d2sfm.database.unusable import unusable_geometries
from d2sfm.mapping.causes import likely_causes
from d2sfm.mapping.model_files import colour, numbered, photographs_folder, require_replaceable, write_models
from d2sfm.mapping.one_run import MappingInput
from d2sfm.mapping.outcome import Start
from d2sfm.mapping.quality import MIN_SUPPORT, ModelStatistics, detailed_table, statistics, table, uneven_focal_lengths
from d2sfm.mapping.starts import best_of_starts
from d2sfm.matching.chance import chance_pairs
from d2sfm.matching.settings import noted_thresholds, typical_factor
from d2sfm.matching.unfinished import warn_of_unfinished
from d2sfm.notebook import Displayed
from d2sfm.options import Mapper, ReconstructionOptions, RefineCameras
from d2sfm.text import aligned, counted

logger = logging.getLogger(__name__)

PAIRS_SHOWN = 20

WHAT_TO_TRY = """\
what to try: match again with a tighter threshold (match --max-error 4 --overwrite; of refined keypoints, refine
--max-error 1); extract again, into a new database, with --multiscale, with another --max-edge (1024 suits small
internet photographs) or with --camera-mode single; more photographs between those that share little"""

ONLY_DROPPED = f"""\
a model of {{images}} and {{points}} is left out: none of its images sees {MIN_SUPPORT} points"""

OF_DROPPED = """\
likely causes: the camera only rotated, which shows no depth (photographs from other places help); wrong matches"""


@dataclass(frozen=True, kw_only=True)
class ReconstructionResult(Displayed):
    """The results of a run. ``models`` are the folders of the kept start's models, best first; may be empty."""

    models: tuple[Path, ...]
    statistics: tuple[ModelStatistics, ...]  # of the models, in the same order
    starts: tuple[Start, ...]
    kept: Start | None
    images: int  # in the database
    pairs: tuple[tuple[str, str, int, int], ...]  # name, name, matches, inliers; most inliers first
    causes: tuple[str, ...] = ()  # likely ones of half of the images or more being left out, with what to try
    unusable: int = 0  # verified pairs that were left out, as their rows can't be used
    earlier: tuple[Path, ...] = ()  # models of another run that are still there, where this one found nothing

    @property
    def seconds(self) -> float:
        """Time of all starts."""
        return sum(start.seconds for start in self.starts)

    def __str__(self) -> str:
        if not self.models:
            return "\n".join(self._nothing())
        registered, more = self.statistics[0].images, len(self.models) - 1
        lines = [
            table(self.statistics, self.images, [folder.name for folder in self.models]),
            f"reconstruct: {registered} of {self.images} images in {self.models[0]}"
            + (f", {counted(more, 'more model')}" if more else "")
            + f", {self.seconds:.1f} s",
        ]
        return "\n".join([*lines, *(f"likely cause: {cause}" for cause in self.causes)])

    def _picture(self) -> bytes | None:
        from d2sfm.plots.reconstruction import model_png  # notebooks alone need it

        return model_png(self.models[0]) if self.models else None

    def _nothing(self) -> list[str]:
        lines = [
            f"reconstruct: nothing could be reconstructed from {counted(self.images, 'image')}, {self.seconds:.1f} s"
        ]
        dropped = [start.dropped for start in self.starts if start.dropped is not None]
        if dropped:
            most = max(dropped, key=lambda model: model.points)
            images, points = counted(most.images, "image"), counted(most.points, "point")
            lines += [ONLY_DROPPED.format(images=images, points=points)]
            lines += [] if self.causes else [OF_DROPPED]
        lines += [f"likely cause: {cause}" for cause in self.causes]
        lines += [f"{folder} is of an earlier run" for folder in self.earlier]
        return [*lines, *([] if self.causes else [WHAT_TO_TRY])]

    def details(self) -> str:
        """Details: the starts with everything that ranks them, and the pairs if nothing was found."""
        found = [start for start in self.starts if start.best is not None]
        labels = [start.label + (", kept" if start is self.kept else "") for start in found]
        lines = [f"best model of each of {counted(len(self.starts), 'start')}:"]
        lines += [detailed_table([start.best for start in found], self.images, labels) if found else "none"]
        if not self.models:
            shown = [(f"{a} - {b}", str(matches), str(inliers)) for a, b, matches, inliers in self.pairs]
            lines += [aligned([("pairs, most inliers first", "matches", "inliers"), *shown[:PAIRS_SHOWN]])]
            lines += [f"and {len(shown) - PAIRS_SHOWN} more"] if len(shown) > PAIRS_SHOWN else []
        return "\n".join(lines)


def reconstruct(
    database: Path | str,
    output: Path | str,
    *,
    images: Path | str | None = None,
    options: ReconstructionOptions | None = None,
    progress: bool = False,
) -> ReconstructionResult:
    """Map the database and write the models of the best start to ``output``/0, 1, ..., best first.

    images: the folder of the photographs, for point colours only (default: the one that extraction recorded); if it is
    missing, points are black, with a warning. For the starts see ``starts.best_of_starts``. Numbered model folders of
    an earlier run are replaced once the new ones are whole; other files stay.

    Raises FileNotFoundError if the database is missing, RuntimeError if the file is not a COLMAP database, is in use,
    holds no verified pairs, or rigs that the mapper can't take, and if ``output`` holds a numbered folder with files
    that are not of a model.
    """
    database, output, options = Path(database), Path(output), options or ReconstructionOptions()
    with exclusive(database):
        require_replaceable(output)
        warn_of_unfinished(database, "the model")
        given = replace(read_input(database, options), constant_rigs=_constant_rigs(options, database))
        outcome = best_of_starts(given, options, progress=progress)
        models = outcome.models
        if models:
            _warn_of_uneven_cameras(models[0])
            colour(models, photographs_folder(database, images))
        folders = write_models(models, output, text=options.text, ply=options.ply) if models else ()
        earlier = () if models else tuple(numbered(output))
        has_most = bool(models) and 2 * models[0].num_reg_images() > len(given.names)
        causes = () if has_most else likely_causes(given, models)
        pairs = _pairs(database)
    result = ReconstructionResult(
        models=folders,
        statistics=tuple(statistics(model, given.pixel_factor) for model in models),
        starts=tuple(outcome.starts),
        kept=outcome.kept,
        images=len(given.names),
        pairs=pairs,
        causes=causes,
        unusable=given.unusable,
        earlier=earlier,
    )
    for line in result.details().splitlines():
        logger.debug("%s", line)
    return result


def _warn_of_uneven_cameras(model: pycolmap.Reconstruction) -> None:
    for camera in uneven_focal_lengths(model):
        logger.warning(
            "camera %d (%s): focal lengths of %.0f px in x and %.0f px in y, but those of a lens differ by less than 1 "
            "%%: extract again, into a new database, with a camera model of one focal length (--camera-model "
            "SIMPLE_RADIAL), or give known --camera-params",
            camera.camera_id,
            camera.model_name,
            camera.focal_length_x,
            camera.focal_length_y,
        )


def read_input(database: Path, options: ReconstructionOptions) -> MappingInput:
    """What mapping needs of the database, but for its rigs. Raises RuntimeError as ``reconstruct``."""
    with FeatureStore(database) as features:
        thresholds, is_refined = noted_thresholds(features), bool(features.notes.refinement())
    factor = typical_factor(thresholds.factors.values())
    given_cameras, unusable = cameras_given(database), unusable_geometries(database)
    with MatchStore(database) as store:
        names = store.image_names()
        if not len(store.done_pairs(verified=True)):
            raise RuntimeError(f"{database} holds no verified pairs of images: run d2sfm match first")
        cameras = {camera.camera_id: camera for camera in map(store.camera, names)}
        left_out = np.union1d(chance_pairs(store, thresholds), np.array(list(unusable), np.int64))
        verified = image_pairs(store.verified_counts(left_out)["pair_id"])
    for reason in dict.fromkeys(unusable.values()):
        logger.warning("left out: %s", reason)
    constant, threshold = _constant_cameras(options, given_cameras, set(cameras)), thresholds.of_most(verified)
    return MappingInput(
        database=database,
        mapper=options.mapper,
        pixel_factor=threshold.pixel_factor(factor),
        max_error_px=threshold.in_photographs(factor),
        is_refined=is_refined,
        left_out=left_out,
        unusable=len(unusable),
        constant_cameras=frozenset(constant),
        all_constant=constant == set(cameras),
        names=names,
        connected=max(map(len, connected_groups(verified)), default=0),
        is_estimated=any(not cameras[id_].has_prior_focal_length for id_ in cameras.keys() - constant),
        num_threads=options.num_threads,
    )


def _pairs(database: Path) -> tuple[tuple[str, str, int, int], ...]:
    """Names, matches and inliers of all pairs, most inliers first."""
    with MatchStore(database) as store:
        return tuple(sorted(store.pairs_table(), key=lambda pair: (-pair[3], pair[:2])))


def _constant_cameras(options: ReconstructionOptions, given: set[int], cameras: set[int]) -> set[int]:
    """Ids of the cameras with fixed intrinsics. given: of those whose parameters the user gave."""
    held = {RefineCameras.AUTO: given & cameras, RefineCameras.YES: set(), RefineCameras.NO: cameras}
    constant = held[options.refine_cameras]
    if options.mapper is Mapper.GLOBAL and constant and constant != cameras:
        raise RuntimeError("the global mapper refines all cameras or none: give --refine-cameras yes or no")
    return constant


def _constant_rigs(options: ReconstructionOptions, database: Path) -> dict[int, pycolmap.Rig]:
    """The rigs with known poses of cameras, which stay fixed. RuntimeError if the mapper needs the unknown ones."""
    rigs = {rig_id: rig for rig_id, rig in read_rigs(database).items() if rig.non_ref_sensors}
    unknown = [rig_id for rig_id, rig in rigs.items() if None in rig.non_ref_sensors.values()]
    if unknown and options.mapper is not Mapper.GLOBAL:
        raise RuntimeError(
            f"the incremental mapper needs cam_from_rig of all cameras, which rig {min(unknown)} of {database} lacks: "
            "add it by d2sfm extract --rig-config, or give --mapper global, which estimates it"
        )
    known = {rig_id: rig for rig_id, rig in rigs.items() if any(rig.non_ref_sensors.values())}
    if options.refine_rigs or not known:
        return {}
    logger.info("the known poses of cameras in %d rigs stay fixed (--refine-rigs refines them)", len(known))
    return known
