"""Photographs that a model lacks, placed in it.

d2sfm reconstruct --extend sparse/0 --database db.db --output extended
"""

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pycolmap

from d2sfm.colmap import posed_images, read_model
from d2sfm.database import MatchStore, exclusive, read_frames, read_rigs
from d2sfm.database.pair_ids import image_pairs
from d2sfm.mapping.growth import Growth
from d2sfm.mapping.joining import cameras_of, join_others
from d2sfm.mapping.model_files import (
    colour,
    finish_model,
    photographs_folder,
    replace_model,
    require_elsewhere,
    require_own_place,
    write_models,
)
from d2sfm.mapping.not_placed import why_not
from d2sfm.mapping.old_frame import align, put_back
from d2sfm.mapping.one_run import MappingInput
from d2sfm.mapping.quality import ModelStatistics, statistics, table
from d2sfm.mapping.reconstruct import read_input
from d2sfm.mapping.transcription import Transcription, images_in_both, transcribed
from d2sfm.matching.in_common import has_usable
from d2sfm.matching.unfinished import warn_of_unfinished
from d2sfm.notebook import Displayed
from d2sfm.options import Mapper, ReconstructionOptions
from d2sfm.progress import Bar
from d2sfm.text import counted, first_of, printable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ExtensionResult(Displayed):
    """The images placed in a model, and those that were not."""

    model: Path  # folder
    statistics: ModelStatistics
    added: tuple[str, ...]  # names of images, sorted
    new_points: int
    not_placed: Mapping[str, str]  # images of the database that the model lacks, with the reason
    not_joined: Mapping[str, str]  # folders of models that were to be joined, with the reason
    only_in_model: tuple[str, ...]  # images that the database lacks; they stay
    is_adjusted: bool  # whether old poses, cameras and points moved
    images: int  # of the database and the model
    unusable: int = 0  # verified pairs that were left out, as their rows can't be used
    seconds: float

    @property
    def is_whole(self) -> bool:
        """Whether anything was placed, if there was anything to place, and nothing was skipped."""
        return bool(self.added or not self.not_placed) and not self.unusable and not self.not_joined

    def __str__(self) -> str:
        lines = [table([self.statistics], self.images, [self.model.name])]
        lines += [f"not joined: {printable(folder)} {reason}" for folder, reason in self.not_joined.items()]
        lines += [f"not placed: {printable(name)} {reason}" for name, reason in self.not_placed.items()]
        done = f"{counted(self.new_points, 'point')} added" if self.new_points else "nothing to add"
        done = f"{counted(len(self.added), 'image')} added" if self.added or self.not_placed else done
        text = f"extend: {done}, {self.model} has {self.statistics.images} of {counted(self.images, 'image')}"
        return "\n".join([*lines, f"{text}, {self.seconds:.1f} s"])

    def _picture(self) -> bytes | None:
        from d2sfm.plots.reconstruction import model_png  # notebooks alone need it

        return model_png(self.model)


def extend_model(
    database: Path | str,
    model: Path | str,
    output: Path | str,
    *,
    adjust: bool = False,
    join: Sequence[Path | str] = (),
    only: Collection[str] | None = None,
    images: Path | str | None = None,
    options: ReconstructionOptions | None = None,
    progress: bool = False,
) -> ExtensionResult:
    """Place the images of the database that a model lacks in it, and write ``output``/0.

    model: folder of a COLMAP model whose points are of the database's keypoints; images are identified by name. Images
    that only the model has stay in it. Its poses, cameras and points stay to the last bit, except for quaternions that
    are not of unit length, as in text files; points may be seen by more images. adjust: they move with the new ones
    instead, but the world frame stays. join: folders of further models, of any points, which give poses to images that
    can't be placed otherwise, see ``Growth.join``, and cameras that the model lacks. only: names of images to be
    placed; others that the model lacks do not count (default: all). output: if it is the model's own folder, the result
    replaces it, unless nothing was added; other numbered models in it are replaced, see ``write_models``. images: the
    folder of the photographs, for the colours of new points only (default: the one that extraction recorded). options:
    mapper and those of starts do not matter.

    Raises FileNotFoundError if there is no database or model, OtherKeypoints (a RuntimeError) if the points are not of
    the database's keypoints, RuntimeError if something can't be read or written, there are no verified pairs, the two
    have no image in common, the sizes of a photograph differ, or ``output`` holds one of the models.
    """
    database, model, output, join = Path(database), Path(model), Path(output), [Path(folder) for folder in join]
    options, started = replace(options or ReconstructionOptions(), mapper=Mapper.INCREMENTAL), time.perf_counter()
    with exclusive(database):
        known, others = _read(model, output, join)
        warn_of_unfinished(database, "the model")
        given = read_input(database, options)
        grown = _Extension(known, model, others, given, options, adjust, only).grown(progress)
        _finish(grown, known, database, images)
        folder = _written(grown, model, output, options)
    return ExtensionResult(
        model=folder,
        statistics=statistics(grown.model, given.pixel_factor),
        added=tuple(sorted(grown.model.images[image_id].name for image_id in grown.placed)),
        new_points=grown.new_points,
        not_placed=grown.not_placed,
        only_in_model=grown.only_in_model,
        is_adjusted=grown.is_adjusted,
        not_joined=grown.not_joined,
        images=len(given.names) + len(grown.only_in_model),
        unusable=given.unusable,
        seconds=time.perf_counter() - started,
    )


def needs_keypoints(
    database: Path | str, model: Path | str, output: Path | str, *, join: Sequence[Path | str] = ()
) -> bool:
    """Whether a model has points, which then have to be of the database's keypoints, as they are, to be extended.

    Raises as ``extend_model`` if the models can't be read, the output can't be written, or the points are of others: so
    it is known before hours of other work.
    """
    database, model = Path(database), Path(model)
    with exclusive(database):
        known, _ = _read(model, Path(output), [Path(folder) for folder in join])
        there = {image.name for image in posed_images(known)}
        with MatchStore(database) as store:
            in_both = [image_id for image_id, name in store.image_names().items() if name in there]
            images_in_both(known, store, _usable_keypoints(store, in_both), model)
    return bool(known.points3D)


def _read(
    model: Path, output: Path, join: Sequence[Path]
) -> tuple[pycolmap.Reconstruction, dict[Path, pycolmap.Reconstruction]]:
    """A model and those to be joined, by folder, once it is sure that the result can be written to ``output``."""
    finish_model(model)
    if output.resolve() == model.resolve():
        require_own_place(model)
    else:
        for folder in [model, *join]:
            require_elsewhere(output, folder)
    return read_model(model), {folder: read_model(folder) for folder in join}


def _usable_keypoints(store: MatchStore, image_ids: Iterable[int]) -> dict[int, np.ndarray]:
    """By those of the ids whose images have some."""
    return {image_id: store.keypoints(image_id) for image_id in image_ids if has_usable(store, image_id)}


class _Grown(NamedTuple):
    """A model with the placed images, and their ids; the rest as in ``ExtensionResult``."""

    model: pycolmap.Reconstruction
    placed: list[int]
    new_points: int
    not_placed: Mapping[str, str]
    only_in_model: tuple[str, ...]
    is_adjusted: bool
    not_joined: Mapping[str, str]

    @property
    def is_changed(self) -> bool:
        """Whether anything was added."""
        return bool(self.placed or self.new_points)


@dataclass(frozen=True)
class _Extension:
    """A model, what it is extended by, and how."""

    known: pycolmap.Reconstruction
    folder: Path  # of this model
    others: Mapping[Path, pycolmap.Reconstruction]  # to be joined, by folder
    given: MappingInput
    options: ReconstructionOptions
    adjust: bool
    only: Collection[str] | None  # names of images to be placed

    def grown(self, progress: bool) -> _Grown:
        rigs, frames = read_rigs(self.given.database), read_frames(self.given.database)
        with MatchStore(self.given.database) as store:
            found = self._transcribed(store, rigs, frames)
            growth = self._growth(found, store)
            with Bar(total=len(self.given.names), desc="place", unit="image", disable=not progress, leave=False) as bar:
                growth.place(bar.update)
                not_joined = join_others(growth, self.others, bar.update)
            placed, reasons = growth.placed, why_not(store, self.given.left_out, growth, self.only)
        is_adjusted = self.adjust and bool(placed) and growth.adjust_all()
        if self.adjust and placed and not is_adjusted:
            logger.warning("the adjustment made images lose their points: poses, cameras and points stay as they were")
        model = growth.finish()
        new_points = len(set(model.points3D) - set(self.known.points3D))
        return _Grown(model, placed, new_points, reasons, found.only_in_model, is_adjusted, not_joined)

    def _transcribed(
        self, store: MatchStore, rigs: Mapping[int, pycolmap.Rig], frames: list[list[int]]
    ) -> Transcription:
        there = {image.name for image in posed_images(self.known)}
        names = self.given.names
        wanted = [id_ for id_ in names if self.only is None or names[id_] in self.only or names[id_] in there]
        keypoints, cameras = _usable_keypoints(store, wanted), cameras_of(self.others, store)
        found = transcribed(self.known, store, keypoints, rigs, frames, self.folder, cameras)
        if found.only_in_model:
            missing = first_of(found.only_in_model, "image")
            stay = "stay in the model" + ("" if self.adjust else " unchanged")
            logger.warning("%s of %s not in %s: these %s", missing, self.folder, store.path, stay)
        return found

    def _growth(self, found: Transcription, store: MatchStore) -> Growth:
        given = self.given
        there = [image_id for image_id in given.names if image_id in found.model.images]
        verified = image_pairs(np.setdiff1d(store.done_pairs(verified=True), given.left_out))
        verified = verified[np.isin(verified, there).all(axis=1)].tolist()
        pairs = {(a, b): store.inlier_matches(a, b) for a, b in verified}
        of_given = [image_id for image_id in there if store.camera(image_id).camera_id in given.constant_cameras]
        held = {found.model.images[image_id].camera_id for image_id in of_given}
        rigs = {
            rig_id: rig
            for rig_id, rig in found.model.rigs.items()
            if rig.num_sensors() > 1 and not (self.adjust and self.options.refine_rigs)
        }
        constant = frozenset(held if self.adjust else held | set(self.known.cameras))
        return Growth(
            found,
            pairs,
            replace(given, constant_cameras=constant, constant_rigs=rigs),
            seed=self.options.seed,
            refines_distortion=_has_distortion(self.known),
        )


def _finish(grown: _Grown, known: pycolmap.Reconstruction, database: Path, images: Path | str | None) -> None:
    """Give new points colours, the model the world frame of the known one, and its points their errors."""
    if grown.new_points:
        colour([grown.model], photographs_folder(database, images), kept=set(known.points3D))
    (align if grown.is_adjusted else put_back)(grown.model, known)
    grown.model.update_point_3d_errors()


def _written(grown: _Grown, model: Path, output: Path, options: ReconstructionOptions) -> Path:
    """The folder of the result: ``output``/0, or that of the model itself, which is replaced if anything was added."""
    if output.resolve() != model.resolve():
        [folder] = write_models([grown.model], output, text=options.text, ply=options.ply)
        return folder
    if grown.is_changed:
        replace_model(grown.model, model, text=options.text, ply=options.ply)
    return model


def _has_distortion(known: pycolmap.Reconstruction) -> bool:
    """Whether distortion of its cameras was refined: a wrong model bends less if it is fixed."""
    return any(np.any(camera.params[camera.extra_params_idxs()] != 0) for camera in known.cameras.values())
