"""Keypoints of tracks moved to where the reference of their track is: one picture's maps at a time."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from d2sfm.network.early_maps import CELL_PX, COARSE, FINE, FeatureMaps
from d2sfm.network.trunk import CHANNELS
from d2sfm.refinement.collection import Collection
from d2sfm.refinement.patch_search import Search, search_patches
from d2sfm.refinement.patch_store import PatchStore
from d2sfm.refinement.patches import sample_patches
from d2sfm.refinement.schedule import Part
from d2sfm.refinement.tracks import Tracks, warps_from_reference

# Larger patches are more exact and find their place less surely, so they come last.
SEARCHES = (Search(COARSE, 5, 2), Search(FINE, 9, 2), Search(FINE, 13, 1), Search(FINE, 13, 1))
LARGEST_MOVE_PX = 12.0  # on an axis, at scale 1: two keypoints' errors add up
NODES_AT_ONCE = 64  # their windows stay in the processor's cache

MapsOf = Callable[[int], FeatureMaps]  # of the image of that number


class Adjustment:
    """Aligns the nodes of tracks with their references.

    maps_of: feature maps of an image, by its number in the collection, requested picture by picture. slots: those of
    the schedule for these parts. folder: where patches may be stored on disk, see ``PatchStore``.
    """

    def __init__(self, collection: Collection, tracks: Tracks, maps_of: MapsOf, slots: int, folder: Path | None = None):
        self._collection, self._maps_of = collection, maps_of
        warps = warps_from_reference(tracks, collection.edges, collection.warps)
        # A reference found on a coarser level is only known to its pixels: what is compared grows with them.
        stretch, inside = np.ones(len(tracks.of_node)), tracks.of_node >= 0
        stretch[inside] = np.maximum(collection.scale[tracks.reference[tracks.of_node[inside]]], 1.0)
        warps *= stretch[:, None, None].astype(warps.dtype)
        self._stretch, self._warps = stretch, warps
        shapes = {layer: (side**2, CHANNELS[layer]) for layer, side in _largest_sides().items()}
        self._patches = PatchStore(shapes, slots, folder)

    def move(self, part: Part, on_nodes: Callable[[int], object] = lambda count: None) -> np.ndarray:
        """Positions of the nodes of a part, [M, 2] in pixels of their inputs. Parts build on those before them.

        Nodes that would move more than 12 px (times the reference's scale) on an axis, or out of the picture, stay
        where they are. on_nodes is called after each visit of a picture with the number of aligned ones.
        """
        moved = [np.zeros((0, 2))]
        for visit in part.visits:
            maps = self._maps_of(visit.image)
            for nodes, slots in _in_chunks(visit.nodes, visit.slots):
                moved.append(self._align(maps, visit.image, nodes, slots))
            for references, slots in _in_chunks(visit.references, visit.reference_slots):
                self._take_in(maps, references, slots)
            on_nodes(len(visit.nodes))
        return np.concatenate(moved)

    def _take_in(self, maps: FeatureMaps, references: np.ndarray, slots: np.ndarray) -> None:
        """Keep the patches of references of one image."""
        bases = torch.eye(2) * torch.from_numpy(self._stretch[references])[:, None, None]
        for layer, side in _largest_sides().items():
            cells = maps.layer(layer)
            centres = _cells(self._collection.xy[references], layer)
            patches = sample_patches(cells, centres.to(cells.device), bases.to(cells.device), side)
            self._patches.put(layer, slots, patches)

    def _align(self, maps: FeatureMaps, image: int, nodes: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """As ``move``, of nodes of one image; slots: [M] where the patches of their references are."""
        start, warps = self._collection.xy[nodes], self._warps[nodes]
        moved = start.copy()
        patches = {layer: self._patches.get(layer, slots, maps.layer(layer).device) for layer in _largest_sides()}
        for search in SEARCHES:
            cells = maps.layer(search.layer)
            centres, bases = _cells(moved, search.layer).to(cells.device), torch.from_numpy(warps).to(cells.device)
            of_reference = _middle(patches[search.layer], search.side)
            steps = search_patches(cells, centres, bases, of_reference, search).cpu().double().numpy()
            moved += CELL_PX[search.layer] * np.einsum("nij,nj->ni", warps, steps)
        far = (np.abs(moved - start) > LARGEST_MOVE_PX * self._stretch[nodes, None]).any(axis=1)
        stays = far | ~self._collection.images[image].holds(moved)
        moved[stays] = start[stays]
        return moved


def _in_chunks(*arrays: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Arrays of one length, in pieces of a few rows."""
    pieces = -(-len(arrays[0]) // NODES_AT_ONCE)
    return list(zip(*(np.array_split(array, pieces) for array in arrays), strict=True)) if pieces else []


def _largest_sides() -> dict[str, int]:
    """The side of the largest patch of each layer; smaller ones are its middle."""
    layers = {search.layer for search in SEARCHES}
    return {layer: max(search.side for search in SEARCHES if search.layer == layer) for layer in sorted(layers)}


def _middle(patches: torch.Tensor, side: int) -> torch.Tensor:
    """The inner cells of square patches [N, S * S, C] with sides that differ by an even number: [N, side * side, C]."""
    edge = math.isqrt(patches.shape[1])
    margin = (edge - side) // 2
    square = patches.view(len(patches), edge, edge, -1)[:, margin : margin + side, margin : margin + side]
    return square.reshape(len(patches), side * side, -1)


def _cells(xy: np.ndarray, layer: str) -> torch.Tensor:
    """Positions (x, y) on a layer's map from pixels of the input."""
    return torch.from_numpy((xy - (CELL_PX[layer] - 1) / 2) / CELL_PX[layer])
