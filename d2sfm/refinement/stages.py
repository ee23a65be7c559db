"""The stages of refinement on a whole database, part by part: what a stopped run has finished is not done again."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

from d2sfm.database import RefinementStore
from d2sfm.options import MapCacheOptions, RefinementOptions
from d2sfm.refinement.adjustment import LARGEST_MOVE_PX, STAGES, Adjustment
from d2sfm.refinement.collection import Collection
from d2sfm.refinement.grey import ACCEPTANCE, COARSE, FINE, GreyAdjustment, photograph_warps
from d2sfm.refinement.grey_levels import GreyLevels
from d2sfm.refinement.map_source import MapSource, read_upright
from d2sfm.refinement.schedule import schedule
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

    def by_features(self) -> np.ndarray:
        """[N, 2] pixels of the inputs. Raises ValueError where a photograph can't be used."""
        maps = MapSource(self.collection, self.folder, self.options, self.cache)
        positions = self.collection.xy.copy()
        given = self.collection, self.tracks, maps
        for nodes, xy in self._parts("refine", 2, lambda slots: Adjustment(*given, slots, self.database.parent)):
            positions[nodes] = xy
        return positions

    def by_grey_values(self, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[N, 2] pixels of the inputs, from where the stage before has left the nodes, and [N] how sure they are, as
        of ``RefinementStore.sigmas``. Raises as ``by_features``."""

        def levels_of(number: int) -> GreyLevels:
            return GreyLevels(read_upright(self.folder, self.collection.images[number]))

        positions, sigmas = start.copy(), np.full(len(start), np.nan)
        warps = photograph_warps(self.collection, self.tracks)
        given = self.collection, self.tracks, start, warps, levels_of
        for nodes, found in self._parts(
            "refine by grey values", 3, lambda slots: GreyAdjustment(*given, slots, self.database.parent)
        ):
            positions[nodes], sigmas[nodes] = found[:, :2], found[:, 2]
        exact = np.flatnonzero(np.isfinite(sigmas))
        references = self.tracks.reference[self.tracks.of_node[exact]]
        np.fmin.at(sigmas, references, sigmas[exact])
        return positions, sigmas

    def _parts(
        self, stage: str, columns: int, begin: Callable[[int], Adjustment | GreyAdjustment]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Nodes and what a stage found of them; each part is kept in the database, those of a stopped run are not
        redone.

        What is left to do is divided anew, so that nothing depends on how the stopped run was divided. begin: makes
        what does it, with so many slots.
        """
        with RefinementStore(self.database) as store:
            done = store.parts(self._fingerprint, stage, columns)
            yield from done
            nodes = np.concatenate([np.zeros(0, np.int64), *(nodes for nodes, _ in done)])
            work = schedule(self.collection, self.tracks, nodes)
            adjustment = begin(work.slots)
            with tqdm(total=work.nodes, desc=stage, unit="keypoint", disable=not self.progress) as bar:
                for part in work.parts:
                    found = adjustment.move(part, bar.update)
                    store.save_part(self._fingerprint, stage, part.nodes, found)
                    yield part.nodes, found

    @cached_property
    def _fingerprint(self) -> str:
        """Of all that decides the positions."""
        by_features = of_alignment(asdict(self.options)), STAGES, LARGEST_MOVE_PX
        by_grey_values = COARSE, FINE, ACCEPTANCE
        digest = hashlib.sha256(json.dumps([by_features, by_grey_values]).encode())
        edges = self.collection.edges
        for array in (self.collection.xy, self.collection.scale, edges.a, edges.b, edges.weight):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def of_alignment(options: Mapping[str, object]) -> dict[str, object]:
    """Of options of refinement, or what was noted of them, those that decide the positions."""
    noted = {name: options.get(name) for name in ("weights", "preprocessing", "precision")}
    return noted | {"grey": options.get("grey", False)}  # earlier versions did without, and noted nothing
