"""The stages of refinement on a whole database, part by part: what a stopped run has finished is not done again."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from d2sfm.database import RefinementStore
from d2sfm.options import MapCacheOptions, RefinementOptions
from d2sfm.progress import Bar
from d2sfm.refinement.adjustment import LARGEST_MOVE_PX, STAGES, Adjustment
from d2sfm.refinement.collection import Collection
from d2sfm.refinement.continuation import Continued, as_rows, extend, members, predict
from d2sfm.refinement.grey import ACCEPTANCE, COARSE, FINE, OF_PREDICTED, GreyAdjustment, photograph_warps
from d2sfm.refinement.grey_levels import GreyLevels
from d2sfm.refinement.map_source import MapSource, read_upright
from d2sfm.refinement.schedule import schedule
from d2sfm.refinement.standing import Standing
from d2sfm.refinement.tracks import Tracks


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Positions of the nodes of tracks, stage by stage; see ``refine_database`` for the rest."""

    database: Path
    folder: Path  # of the photographs
    collection: Collection
    tracks: Tracks
    options: RefinementOptions
    cache: MapCacheOptions
    progress: bool
    standing: Standing

    def by_features(self) -> np.ndarray:
        """[N, 2] pixels of the inputs. Raises ValueError where a photograph can't be used."""
        maps = MapSource(self.collection, self.folder, self.options, self.cache)
        positions = self.collection.xy.copy()
        given = self.collection, self.tracks, maps
        for nodes, xy in self._parts("refine", 2, lambda _, slots: Adjustment(*given, slots, self.database.parent)):
            positions[nodes] = xy
        return positions

    def by_grey_values(self, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[N, 2] pixels of the inputs, from where the stage before has left the nodes, and [N] how sure they are, as
        of ``RefinementStore.sigmas``. Raises as ``by_features``."""
        positions, sigmas = start.copy(), self.standing.sigmas.copy()
        warps = photograph_warps(self.collection, self.tracks)
        given = self.collection, self.tracks, start, warps, self._levels_of
        for nodes, found in self._parts(
            "refine by grey values", 3, lambda *work: GreyAdjustment(*given, *work, self.database.parent)
        ):
            positions[nodes], sigmas[nodes] = found[:, :2], found[:, 2]
        exact = self.moving[np.isfinite(sigmas[self.moving])]
        references = self.tracks.reference[self.tracks.of_node[exact]]
        np.fmin.at(sigmas, references, sigmas[exact])
        return positions, sigmas

    def continued(self, xy: np.ndarray, sigmas: np.ndarray) -> Continued:
        """Tracks continued into images that see their place without a node of theirs; see ``continuation``. Not into
        those that stay as they are.

        xy, sigmas: of all nodes, as of ``by_grey_values``. Raises as that does.
        """
        collection, tracks = self.collection, self.tracks
        exact = np.flatnonzero((sigmas < OF_PREDICTED.largest_sigma_px) & (tracks.of_node >= 0))
        exact = np.union1d(exact, tracks.reference[tracks.of_node[exact]])
        seen = members(tracks, collection, np.flatnonzero(tracks.of_node >= 0))
        of_images = zip(collection.images, np.split(xy, collection.first_node[1:-1]), strict=True)
        upright = np.concatenate([image.in_upright(each) for image, each in of_images])
        sizes = np.array([image.upright_size for image in collection.images])
        input_px = np.array([max(image.per_input_px) for image in collection.images])
        warps = photograph_warps(collection, tracks)
        into = np.flatnonzero(~self.standing.of_images)
        predicted = predict(members(tracks, collection, exact), seen, upright, warps, sizes, input_px, into)
        extended = extend(collection, tracks, xy, warps, predicted)

        def begin(*work) -> GreyAdjustment:
            given = extended.collection, extended.tracks, extended.xy, extended.warps, self._levels_of
            return GreyAdjustment(*given, *work, self.database.parent, are_predicted=True)

        found, done = np.full((len(extended.xy), 3), np.nan), extended.old[tracks.observations()]
        work = extended.collection, extended.tracks, done
        for nodes, values in self._parts("continue tracks", 3, begin, work):
            found[nodes] = values
        return as_rows(extended, extended.old[exact], found)

    def _levels_of(self, number: int) -> GreyLevels:
        return GreyLevels(read_upright(self.folder, self.collection.images[number]))

    def _parts(
        self,
        stage: str,
        columns: int,
        begin: Callable[[np.ndarray, int], Adjustment | GreyAdjustment],
        work: tuple[Collection, Tracks, np.ndarray] | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Nodes and what a stage found of them; each part is kept in the database, those of a stopped run are not
        redone.

        What is left to do is divided anew, so that nothing depends on how the stopped run was divided. begin: makes
        what does it for these nodes, with so many slots. work: the collection, its tracks, and nodes that are not asked
        for (default: those that stand).
        """
        collection, tracks, not_asked = work or (self.collection, self.tracks, np.flatnonzero(self.standing.of_nodes))
        with RefinementStore(self.database) as store:
            done = store.parts(self._fingerprint, stage, columns)
            yield from done
            left_out = np.concatenate([not_asked, *(nodes for nodes, _ in done)])
            planned = schedule(collection, tracks, left_out)
            adjustment = begin(planned.nodes, planned.slots)
            with Bar(total=len(planned.nodes), desc=stage, unit="keypoint", disable=not self.progress) as bar:
                for part in planned.parts:
                    found = adjustment.move(part, bar.update)
                    store.save_part(self._fingerprint, stage, part.nodes, found)
                    yield part.nodes, found

    @cached_property
    def moving(self) -> np.ndarray:
        """The nodes that are aligned, ascending."""
        nodes = self.tracks.observations()
        return nodes[self.standing.of_nodes[nodes] == 0]

    @cached_property
    def _fingerprint(self) -> str:
        """Of all that decides the positions."""
        by_features = of_alignment(asdict(self.options)), STAGES, LARGEST_MOVE_PX
        by_grey_values = COARSE, FINE, ACCEPTANCE, OF_PREDICTED
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
