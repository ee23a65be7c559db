"""The stages of refinement on a whole database, part by part: what a stopped run has finished is not done again."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from d2sfm.database import RefinementStore
from d2sfm.features.fingerprints import difference
from d2sfm.options import MapCacheOptions, RefinementOptions
from d2sfm.progress import Bar
from d2sfm.refinement.adjustment import LARGEST_MOVE_PX, SEARCHES, Adjustment
from d2sfm.refinement.collection import Collection
from d2sfm.refinement.continuation import NEAR_PX, Continued, Extended, as_rows, corrected, extend
from d2sfm.refinement.grey import ACCEPTANCE, COARSE, FINE, OF_PREDICTED, GreyAdjustment, photograph_warps
from d2sfm.refinement.grey_levels import GreyLevels
from d2sfm.refinement.map_source import MapSource, read_upright
from d2sfm.refinement.outliers import sure_nodes
from d2sfm.refinement.prediction import members, predict
from d2sfm.refinement.schedule import schedule
from d2sfm.refinement.standing import Standing
from d2sfm.refinement.tracks import Tracks

Parts = Iterable[tuple[np.ndarray, np.ndarray]]  # nodes [P], and what a stage found of them [P, columns]


FEATURES, GREY_VALUES, CONTINUATION = TITLES = "features", "grey values", "continuation"


class Stage(NamedTuple):
    """One stage of the alignment: which nodes are asked for, and what aligns them."""

    name: str
    title: str  # one of TITLES
    columns: int  # of what is found of a node: x, y in pixels of the input, and how sure that is
    collection: Collection
    tracks: Tracks
    asked: np.ndarray  # [M] nodes
    # [M] int64, ascending, by which shares know the nodes. They are the same whichever tracks are chosen. Numbers of
    # nodes are not, in the stage of continuation: those of predictions come behind all others of their image.
    labels: np.ndarray
    begin: Callable[[np.ndarray, int], Adjustment | GreyAdjustment]  # for these nodes, with this number of slots

    def nodes_of(self, labels: np.ndarray) -> np.ndarray:
        """The nodes that labels of this stage are of."""
        return self.asked[np.searchsorted(self.labels, labels)]

    def labels_of(self, nodes: np.ndarray) -> np.ndarray:
        """The labels of nodes that are asked for."""
        order = np.argsort(self.asked)
        return self.labels[order[np.searchsorted(self.asked, nodes, sorter=order)]]

    def parts(self, done: Sequence[np.ndarray], progress: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Nodes [P] and what is found of them [P, columns], part by part, of those that are asked for and not done.

        Nothing depends on how they are divided.
        """
        is_left_out = np.ones(len(self.tracks.of_node), bool)
        is_left_out[self.asked] = False
        for nodes in done:
            is_left_out[nodes] = True
        planned = schedule(self.collection, self.tracks, np.flatnonzero(is_left_out))
        if not planned.parts:
            return
        adjustment = self.begin(planned.nodes, planned.slots)
        with Bar(total=len(planned.nodes), desc=self.name, unit="keypoint", disable=not progress) as bar:
            for part in planned.parts:
                yield part.nodes, adjustment.move(part, bar.update)


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Positions of the nodes of tracks, stage by stage; see ``refine_database`` for the rest.

    ``features``, ``grey_values`` and ``continuation`` are the stages, each from what came of the one before; chosen:
    [T] bool, the tracks that are asked for (default: all).
    """

    database: Path
    folder: Path  # of the photographs
    collection: Collection
    tracks: Tracks
    options: RefinementOptions
    cache: MapCacheOptions
    progress: bool
    standing: Standing
    scratch: Path  # a folder where patches may wait

    def by_features(self) -> np.ndarray:
        """[N, 2] pixels of the inputs. Raises ValueError if a photograph can't be used."""
        return self.after_features(self._finished(self.features()))

    def by_grey_values(self, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[N, 2] pixels of the inputs, from where the stage before has left the nodes, and [N] how sure they are, as
        of ``RefinementStore.sigmas``. Raises as ``by_features``."""
        return self.after_grey_values(start, self._finished(self.grey_values(start)))

    def continued(self, xy: np.ndarray, sigmas: np.ndarray) -> tuple[np.ndarray, np.ndarray, Continued]:
        """Tracks continued into images that see their place without a sure node of theirs; see ``continuation``. Not
        into those that stay as they are.

        xy, sigmas: of all nodes, as of ``by_grey_values``; also returns them as they are then. Raises as that does.
        """
        stage, extended = self.continuation(xy, sigmas)
        found = np.full((len(extended.xy), 3), np.nan)
        for nodes, values in self._finished(stage):
            found[nodes] = values
        xy, sigmas, found = corrected(extended, self.collection.xy, xy, sigmas, found)
        return xy, sigmas, as_rows(extended, extended.old[self._anchors(sigmas)], found)

    def features(self, chosen: np.ndarray | None = None) -> Stage:
        """Where feature maps put the nodes."""
        tracks, asked = self._of(chosen)

        def begin(_, slots: int) -> Adjustment:
            maps = MapSource(self.collection, self.folder, self.options, self.cache)
            return Adjustment(self.collection, tracks, maps, slots, self.scratch)

        return Stage("refine", FEATURES, 2, self.collection, tracks, asked, asked, begin)

    def after_features(self, parts: Parts) -> np.ndarray:
        """Positions as of ``by_features``, from nodes and what was found of them."""
        positions = self.collection.xy.copy()
        for nodes, xy in parts:
            positions[nodes] = xy
        return positions

    def grey_values(self, start: np.ndarray, chosen: np.ndarray | None = None) -> Stage:
        """Where grey values put them from there."""
        tracks, asked = self._of(chosen)

        def begin(*work) -> GreyAdjustment:
            warps = photograph_warps(self.collection, tracks)
            return GreyAdjustment(self.collection, tracks, start, warps, self._levels_of, *work, self.scratch)

        return Stage("refine by grey values", GREY_VALUES, 3, self.collection, tracks, asked, asked, begin)

    def after_grey_values(self, start: np.ndarray, parts: Parts) -> tuple[np.ndarray, np.ndarray]:
        """Positions and how sure they are, as of ``by_grey_values``, from nodes and what was found of them."""
        positions, sigmas = start.copy(), self.standing.sigmas.copy()
        for nodes, found in parts:
            positions[nodes], sigmas[nodes] = found[:, :2], found[:, 2]
        exact = self.moving[np.isfinite(sigmas[self.moving])]
        references = self.tracks.reference[self.tracks.of_node[exact]]
        np.fmin.at(sigmas, references, sigmas[exact])
        return positions, sigmas

    def continuation(
        self, xy: np.ndarray, sigmas: np.ndarray, chosen: np.ndarray | None = None
    ) -> tuple[Stage, Extended]:
        """Where tracks continue, from positions and how sure they are, and what rows are made of."""
        collection, (tracks, _) = self.collection, self._of(chosen)
        nodes = self._anchors(sigmas), sure_nodes(self.tracks, sigmas)
        exact, sure = (members(self.tracks, collection, some) for some in nodes)
        of_images = zip(collection.images, np.split(xy, collection.first_node[1:-1]), strict=True)
        upright = np.concatenate([image.in_upright(each) for image, each in of_images])
        sizes = np.array([image.upright_size for image in collection.images])
        input_px = np.array([max(image.per_input_px) for image in collection.images])
        warps = photograph_warps(collection, tracks)
        into = np.flatnonzero(~self.standing.of_images)
        predicted = predict(exact, sure, upright, warps, sizes, input_px, into, chosen)
        extended = extend(collection, tracks, xy, warps, predicted)

        def begin(*work) -> GreyAdjustment:
            given = extended.collection, extended.tracks, extended.xy, extended.warps, self._levels_of
            return GreyAdjustment(*given, *work, self.scratch, are_predicted=True)

        labels = predicted.track * len(collection.images) + predicted.image
        work = extended.collection, extended.tracks, extended.new, labels
        return Stage("continue tracks", CONTINUATION, 3, *work, begin), extended

    def _anchors(self, sigmas: np.ndarray) -> np.ndarray:
        """The nodes that predictions are made from, ascending: those of smaller sigmas than exact ones need, and the
        references of their tracks."""
        exact = np.flatnonzero((sigmas < OF_PREDICTED.largest_sigma_px) & (self.tracks.of_node >= 0))
        return np.union1d(exact, self.tracks.reference[self.tracks.of_node[exact]])

    def _of(self, chosen: np.ndarray | None) -> tuple[Tracks, np.ndarray]:
        """The tracks that are chosen, and their nodes that are aligned."""
        if chosen is None:
            return self.tracks, self.moving
        return self.tracks.only(chosen), self.moving[chosen[self.tracks.of_node[self.moving]]]

    def _levels_of(self, number: int) -> GreyLevels:
        return GreyLevels(read_upright(self.folder, self.collection.images[number]))

    def _finished(self, stage: Stage) -> Parts:
        """Nodes of a stage and what is found of them; each part is kept in the database, those of a stopped run are
        not redone."""
        with RefinementStore(self.database) as store:
            done = store.parts(self.fingerprint, stage.name, stage.columns)
            yield from done
            for nodes, found in stage.parts([nodes for nodes, _ in done], self.progress):
                store.save_part(self.fingerprint, stage.name, nodes, found)
                yield nodes, found

    @cached_property
    def moving(self) -> np.ndarray:
        """The nodes that are aligned, ascending."""
        nodes = self.tracks.observations()
        return nodes[self.standing.of_nodes[nodes] == 0]

    @cached_property
    def fingerprint(self) -> str:
        """Of all that decides the positions."""
        by_features = of_alignment(asdict(self.options)), SEARCHES, LARGEST_MOVE_PX
        by_grey_values = COARSE, FINE, ACCEPTANCE, OF_PREDICTED, NEAR_PX
        digest = hashlib.sha256(json.dumps([by_features, by_grey_values]).encode())
        edges = self.collection.edges
        for array in (
            *(self.collection.xy, self.collection.scale, edges.a, edges.b, edges.weight),
            *(self.standing.of_nodes, self.standing.sigmas),
        ):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def of_alignment(options: Mapping[str, object]) -> dict[str, object]:
    """Of options of refinement, or what was noted of them, those that decide the positions."""
    noted = {name: options.get(name) for name in ("weights", "preprocessing", "precision")}
    grey = options.get("grey", False)  # earlier versions did without, and noted nothing
    return noted | {"grey": grey, "continue_": grey and options.get("continue_", False)}


def other_options(there: Mapping[str, object], options: RefinementOptions) -> str:
    """What of the alignment differs between options that were noted and those of this run, in words; "" if nothing."""
    both = (of_alignment(each) for each in (there, asdict(options)))
    noted, asked = (json.dumps({name.rstrip("_"): value for name, value in each.items()}) for each in both)
    if noted == asked:
        return ""
    return f"{difference(noted, asked)}, but this run asks for {difference(asked, noted)}"
