"""Keypoints of tracks moved to where the reference of their track is: few pictures' maps at a time."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from d2sfm.network import CHANNELS
from d2sfm.refinement.alignment import Stage, align
from d2sfm.refinement.collection import Collection
from d2sfm.refinement.maps import CELL_PX, COARSE, FINE, FeatureMaps
from d2sfm.refinement.patches import sample_patches
from d2sfm.refinement.tracks import Tracks, warps_from_reference

# Larger patches are more exact and find their place less surely, so they come last.
STAGES = (Stage(COARSE, 5, 2), Stage(FINE, 9, 2), Stage(FINE, 13, 1), Stage(FINE, 13, 1))
LARGEST_MOVE_PX = 12.0  # on an axis, at scale 1: two keypoints' errors add up
NODES_AT_ONCE = 64  # their windows stay in the processor's cache
PART_BYTES = 1 << 29  # of reference patches, which wait in memory for the other images of their tracks

MapsOf = Callable[[int], FeatureMaps]  # of the image of that number


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some tracks, those of neighbouring references, whose patches fit in memory together."""

    references: np.ndarray  # [T] nodes, ascending
    nodes: np.ndarray  # [M] nodes to be aligned, ascending
    reference_of: np.ndarray  # [M] index in references


def parts(tracks: Tracks, part_bytes: int = PART_BYTES) -> list[Part]:
    """All tracks, divided by memory in order of their references."""
    of_track = sum(2 * CHANNELS[layer] * side**2 for layer, side in _largest_sides().items())
    most = max(1, part_bytes // of_track)
    order = np.argsort(tracks.reference, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    part_of_track = rank // most
    nodes = tracks.observations()
    of_track_number = tracks.of_node[nodes]
    found = []
    for number in range(-(-len(order) // most)):
        mine = nodes[part_of_track[of_track_number] == number]
        references = tracks.reference[order[number * most : (number + 1) * most]]
        found.append(Part(references=references, nodes=mine, reference_of=rank[tracks.of_node[mine]] - number * most))
    return found


class Adjustment:
    """Aligns the nodes of tracks with their references.

    maps_of: feature maps of an image, by its number in the collection. They are asked for picture by picture.
    """

    def __init__(self, collection: Collection, tracks: Tracks, maps_of: MapsOf):
        self._collection, self._maps_of = collection, maps_of
        warps = warps_from_reference(tracks, collection.edges, collection.warps)
        # A reference found on a coarser level is only known to its pixels: what is compared grows with them.
        stretch, inside = np.ones(len(tracks.of_node)), tracks.of_node >= 0
        stretch[inside] = np.maximum(collection.scale[tracks.reference[tracks.of_node[inside]]], 1.0)
        self._stretch, self._warps = stretch, warps * stretch[:, None, None]

    def move(self, part: Part, on_image: Callable[[], None] = lambda: None) -> np.ndarray:
        """Positions of the nodes of a part, [M, 2] in pixels of their inputs.

        Nodes that would move more than 12 px (times the reference's scale) on an axis stay where they are. on_image is
        called for each visit of a picture; there are ``visits(part)``.
        """
        patches = self._reference_patches(part, on_image)
        moved = self._collection.xy[part.nodes].copy()
        # Downwards, since the maps of the last images are those that a cache still holds.
        for image, rows in reversed(list(self._by_image(part.nodes))):
            maps = self._maps_of(image)
            nodes, references = part.nodes[rows], part.reference_of[rows]
            moved[rows] = self._align(maps, nodes, patches, references)
            on_image()
        start = self._collection.xy[part.nodes]
        far = (np.abs(moved - start) > LARGEST_MOVE_PX * self._stretch[part.nodes, None]).any(axis=1)
        moved[far] = start[far]
        return moved

    def visits(self, part: Part) -> int:
        """How many times a picture's maps are asked for."""
        return sum(1 for nodes in (part.references, part.nodes) for _ in self._by_image(nodes))

    def _by_image(self, nodes: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Images of ascending nodes, with the rows of theirs."""
        images, begins = np.unique(self._collection.image_of_node[nodes], return_index=True)
        yield from zip(images.tolist(), np.split(np.arange(len(nodes)), begins[1:]), strict=True)

    def _reference_patches(self, part: Part, on_image: Callable[[], None]) -> dict[str, torch.Tensor]:
        patches: dict[str, torch.Tensor] = {}
        sides = _largest_sides()
        for image, rows in self._by_image(part.references):
            maps = self._maps_of(image)
            for layer, side in sides.items():
                cells = maps.layer(layer)
                if layer not in patches:
                    shape = len(part.references), side**2, CHANNELS[layer]
                    patches[layer] = torch.empty(shape, dtype=cells.dtype, device=cells.device)
                nodes = part.references[rows]
                bases = torch.eye(2).expand(len(nodes), 2, 2) * torch.from_numpy(self._stretch[nodes])[:, None, None]
                centres = _cells(self._collection.xy[nodes], layer)
                patches[layer][rows] = sample_patches(cells, centres.to(cells.device), bases.to(cells.device), side)
            on_image()
        return patches

    def _align(
        self, maps: FeatureMaps, nodes: np.ndarray, patches: dict[str, torch.Tensor], references: np.ndarray
    ) -> np.ndarray:
        """Positions of nodes of one image, [M, 2]; references: [M] rows of the patches."""
        moved = self._collection.xy[nodes].copy()
        for some in np.array_split(np.arange(len(nodes)), -(-len(nodes) // NODES_AT_ONCE)):
            warps = self._warps[nodes[some]]
            bases = torch.from_numpy(warps)
            for stage in STAGES:
                cells = maps.layer(stage.layer)
                centres = _cells(moved[some], stage.layer).to(cells.device)
                of_reference = _middle(patches[stage.layer][references[some]], stage.side)
                steps = align(cells, centres, bases.to(cells.device), of_reference, stage).cpu().double().numpy()
                moved[some] += CELL_PX[stage.layer] * np.einsum("nij,nj->ni", warps, steps)
        return moved


def _largest_sides() -> dict[str, int]:
    """The side of the largest patch of each layer; smaller ones are its middle."""
    layers = {stage.layer for stage in STAGES}
    return {layer: max(stage.side for stage in STAGES if stage.layer == layer) for layer in sorted(layers)}


def _middle(patches: torch.Tensor, side: int) -> torch.Tensor:
    """The inner cells of square patches [N, S * S, C] with sides that differ by an even number: [N, side * side, C]."""
    edge = math.isqrt(patches.shape[1])
    margin = (edge - side) // 2
    square = patches.view(len(patches), edge, edge, -1)[:, margin : margin + side, margin : margin + side]
    return square.reshape(len(patches), side * side, -1)


def _cells(xy: np.ndarray, layer: str) -> torch.Tensor:
    """Positions (x, y) on a layer's map from pixels of the input."""
    return torch.from_numpy((xy - (CELL_PX[layer] - 1) / 2) / CELL_PX[layer])
