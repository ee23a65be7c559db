"""Poses of single photographs in a map that stays in memory.

localizer = Localizer("db.db", "sparse/0")
pose = localizer.localize("photo.jpg")          # Pose or NotPlaced
"""

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.features.extractor import Extractor
from d2sfm.features.fingerprints import settings_of
from d2sfm.localization.alignment import Aligner
from d2sfm.localization.camera import QueryCamera, camera_of
from d2sfm.localization.correspondences import Correspondences, find
from d2sfm.localization.estimation import Estimate, estimate
from d2sfm.localization.loaded_map import LoadedMap
from d2sfm.localization.outcome import NotPlaced, Pose, Reason, View
from d2sfm.localization.query import Query, read_query
from d2sfm.options import Convention, ExtractionOptions, LocalizationOptions, MapCacheOptions, Precision
from d2sfm.text import first_of

LOSS, REFINED_LOSS = 1.0, 0.25  # scales of the robust loss, in pixels of the network input
MOST_ALIGNED = 800  # matches: more take time and hardly make a pose more exact
CELL = 1 / 8  # of the longer edge: squares from which as many come
LEAST_SHARE = 0.5  # of the inliers that a query needs, before it is refined
WEAK, MOST_ROUNDS = 5, 4  # times the inliers that a query needs: with fewer it is refined again from the better pose


class Localizer:
    """A map in memory, and the network.

    database: with the features of the images of the reconstruction (or of the model in that folder); it is only read.
    images: the folder of their photographs (default: the one that extraction recorded). cache: where early feature maps
    of these are kept, as extract and refine fill it (default: the last 2 GB in memory).

    Raises FileNotFoundError if a file or folder is missing, ValueError if weights or a device can't be had,
    RuntimeError if the model has no points or is of other keypoints than the database, and if weights or precision
    differ from those of the map's features.
    """

    def __init__(
        self,
        database: Path | str,
        reconstruction: pycolmap.Reconstruction | Path | str,
        *,
        images: Path | str | None = None,
        options: LocalizationOptions | None = None,
        cache: MapCacheOptions | None = None,
    ):
        self.options = options or LocalizationOptions()
        self.map = LoadedMap(database, reconstruction)
        features = _as_in_map(self.map, self.options)
        self.extractor = Extractor(features)
        _require_alike(self.map, self.extractor)
        self.folder = Path(images) if images is not None else self.map.photographs
        self._aligner = None
        if self.options.refine:
            self.require_photographs("aligning queries", "--no-refine")
            self._aligner = Aligner(self.map, self.folder, features, cache or MapCacheOptions())

    def require_photographs(self, use: str, otherwise: str) -> None:
        """FileNotFoundError if photographs of the map are missing. use: what needs them; otherwise: what does not."""
        if self.folder is None or not self.folder.is_dir():
            what = f"no folder of the map's photographs{f' {self.folder}' if self.folder else ''}"
        elif missing := [name for name in self.map.names if not (self.folder / name).exists()]:
            what = f"not in {self.folder}: {first_of(missing, 'photograph')} of the map"
        else:
            return
        raise FileNotFoundError(f"{what}, which {use} needs: give --images, or {otherwise}")

    def localize(
        self,
        image: np.ndarray | str | PathLike,
        camera: pycolmap.Camera | None = None,
        *,
        candidates: Sequence[str] | None = None,
        mask: np.ndarray | None = None,
    ) -> Pose | NotPlaced:
        """The pose of a photograph.

        image: its path, or uint8 [H, W, 3] RGB. camera: its known intrinsics, which stay fixed (default: the focal
        length starts at EXIF's, or is estimated). candidates: names of images of the map to match it with (default: the
        most similar). mask: bool [H, W], the pixels to use.

        Raises ValueError if the photograph can't be used, the camera has another size, or a candidate is not in the
        map, FileNotFoundError if the file is missing.
        """
        if unknown := set(candidates or ()).difference(self.map.names):
            raise ValueError(
                f"{self.map.database} and its model have no points of {first_of(sorted(unknown), 'image')}"
            )
        path = None if isinstance(image, np.ndarray) else Path(image)
        query = read_query(self.extractor, image if path is None else path, self.map.fingerprint, mask)
        known = camera_of(path, query.features.image_size, camera)
        if candidates is None:
            candidates = self.map.alike(query.features.descriptors, self.options.num_candidates)
        return self._placed(query, known, tuple(candidates))

    def _placed(self, query: Query, known: QueryCamera, names: tuple[str, ...]) -> Pose | NotPlaced:
        if not names or not len(query.features):
            return NotPlaced(reason=Reason.NO_CANDIDATES)
        all_found = find(self.map, names, query.features.descriptors, str(self.extractor.device))
        needed, facts = self.options.min_inliers, {"candidates": names, "matches": len(all_found)}
        facts |= {"needed": needed}
        if all_found.distinct < needed:
            return NotPlaced(reason=Reason.FEW_MATCHES, **facts)
        of_query = query.features.keypoints[:, :2].astype(float)
        voted = all_found[all_found.voted()]
        first = self._estimate(query, known, of_query[voted.keypoint], voted, self.options.max_error, LOSS)
        if first is None:
            return NotPlaced(reason=Reason.NO_AGREEMENT, **facts)
        found, xy, last = voted, of_query[voted.keypoint], first
        if self._aligner is not None and voted[first.agree].distinct >= LEAST_SHARE * needed:
            found, xy, last = self._refined(query, known, names, all_found, first)
        agree = np.zeros(len(found), bool) if last is None else last.agree
        view = self._view(all_found, found[agree], of_query, names)
        inliers = found[agree].distinct
        if last is None or inliers < needed:
            return NotPlaced(reason=Reason.FEW_INLIERS, inliers=inliers, view=view, **facts)
        xy, seen = xy[agree], found[agree]
        return Pose(
            cam_from_world=last.cam_from_world,
            camera=last.camera,
            inliers=inliers,
            points=len(np.unique(seen.point)),
            error_px=float(last.errors_px(xy, self.map.xyz[seen.point]).mean()),
            candidates=names,
            covariance=last.covariance,
            xy=xy,
            point_ids=self.map.point_ids(seen.point),
            view=view,
        )

    def _refined(
        self, query: Query, known: QueryCamera, names: tuple[str, ...], all_found: Correspondences, first: Estimate
    ) -> tuple[Correspondences, np.ndarray, Estimate | None]:
        """The pose of all matches near the first one, aligned; these, and their positions in the query [N, 2].

        The pose of a query of which few keypoints agree can be so far off that half of its matches are not near it. So
        they are looked for again from the new pose, as long as more agree.
        """
        of_query, best, most = query.features.keypoints[:, :2].astype(float), None, -1
        pose = first
        for _ in range(MOST_ROUNDS):
            errors_px = pose.errors_px(of_query[all_found.keypoint], self.map.xyz[all_found.point])
            found = all_found[errors_px <= self.options.max_error * query.factor]
            found = found[found.spread(of_query[found.keypoint], CELL * max(query.features.image_size), MOST_ALIGNED)]
            xy = self._aligner.aligned(query, found, names)
            pose = self._estimate(query, known, xy, found, self.options.refined_error, REFINED_LOSS)
            agree = 0 if pose is None else found[pose.agree].distinct
            if agree <= most:
                break
            best, most = (found, xy, pose), agree
            if pose is None or agree >= WEAK * self.options.min_inliers:
                break
        return best

    def _estimate(
        self, query: Query, known: QueryCamera, xy: np.ndarray, found: Correspondences, max_error: float, loss: float
    ) -> Estimate | None:
        limits = {"max_error_px": max_error * query.factor, "loss_px": loss * query.factor}
        return estimate(xy, self.map.xyz[found.point], known, **limits, seed=self.options.seed)

    def _view(
        self, found: Correspondences, agreeing: Correspondences, of_query: np.ndarray, names: Sequence[str]
    ) -> View:
        """The image with most agreeing matches; the first of equal ones."""
        number = int(np.bincount(agreeing.image, minlength=len(names)).argmax())
        here, good = found[found.image == number], agreeing[agreeing.image == number]
        in_map = self.map[names[number]].xy[here.place]
        return View(names[number], of_query[here.keypoint], in_map, np.isin(here.place, good.place))


def _as_in_map(loaded: LoadedMap, options: LocalizationOptions) -> ExtractionOptions:
    """How the map's features were made, with the given options."""
    made = settings_of(loaded.fingerprint)
    if made.get("convention") != Convention.COLMAP:
        raise RuntimeError(
            f"{loaded.database} holds features in the frame {made.get('convention')}: extract again with --overwrite, "
            f"without --convention {made.get('convention')}"
        )
    shared = ("scales", "max_edge", "max_sum_edges", "max_keypoints", "preprocessing", "relu", "border")
    precision = made["precision"] if options.precision is Precision.AUTO else options.precision
    return ExtractionOptions(
        **{name: made[name] for name in shared if name in made},
        precision=precision,
        weights=options.weights,
        mirror=options.mirror,
        device=options.device,
    )


def _require_alike(loaded: LoadedMap, extractor: Extractor) -> None:
    """RuntimeError if the query's features would not be comparable with the map's."""
    made, own = settings_of(loaded.fingerprint), json.loads(extractor.fingerprint)
    others = [name for name in ("weights", "precision") if made.get(name) != own[name]]
    if others:
        there, here = (", ".join(f"{name} {each.get(name)}" for name in others) for each in (made, own))
        raise RuntimeError(
            f"the features of {loaded.database} were made with {there}, but those of queries would be made with {here} "
            f"(--weights {extractor.options.weights}): give the weights of the map"
        )
