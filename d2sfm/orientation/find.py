"""Turns of photographs, found from their pictures: ``d2sfm extract --orientation auto``.

Each picture is tried in its four turns, at a small size.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from d2sfm.options import ExtractionOptions
from d2sfm.orientation.relative import Turned, inliers_in_turns, likely_pairs
from d2sfm.orientation.solve import SURE_MARGIN, solve
from d2sfm.orientation.turned_features import TURNS, features_in_turns, small_extractor
from d2sfm.pairs.arrays import unique_pairs
from d2sfm.progress import Bar
from d2sfm.system import processors
from d2sfm.text import counted, first_of

NUM_NEIGHBOURS = 10  # of 18 aerial photographs, 5 give 46 pairs that count, 10 give 61, all others 70

Loader = Callable[[str], np.ndarray | None]


@dataclass(frozen=True, kw_only=True)
class Turns:
    """The orientations found, by name.

    orientation: 1, 6, 3 or 8, EXIF's number that turns the given picture upright; 1 if that is uncertain.
    margin: by how many matches a photograph's neighbours prefer it to the next best of the four.
    unsure: names of photographs whose neighbours do not agree clearly, or that have none.
    """

    orientation: dict[str, int]
    margin: dict[str, int]
    unsure: tuple[str, ...]

    def __str__(self) -> str:
        counts = Counter(self.orientation.values())
        text = (
            f"orientation: {len(self.orientation) - counts[1]} of {counted(len(self.orientation), 'photograph')} turned"
        )
        kinds = {6: "to the right", 8: "to the left", 3: "upside down"}
        turned = [f"{counts[number]} {kind}" for number, kind in kinds.items() if counts[number]]
        text += f" ({', '.join(turned)})" if turned else ""
        sure = [margin for margin in self.margin.values() if margin >= SURE_MARGIN]  # known ones may have less
        if sure:
            text += f", by {min(sure)} matches or more (median {np.median(sure):.0f})"
        if self.unsure:
            text += f"; not sure, so left as stored: {first_of(self.unsure, 'photograph')}"
        return text


def find_turns(
    names: Sequence[str],
    load: Loader,
    *,
    options: ExtractionOptions | None = None,
    known: Collection[str] = (),
    near: Iterable[tuple[str, str]] | None = None,
    progress: bool = False,
    num_threads: int | None = None,
) -> Turns:
    """The orientation of each photograph that makes all stand upright, or at least alike.

    load: gives a photograph as it is viewed now, uint8 [H, W, 3] RGB at any size, or None for one that can't be read
        and is thus unsure; called once for each name, in order.
    options: weights, arithmetic and device count. known: names that stay as they are; the others follow them.
    near: pairs of photographs that probably show the same (default: similar ones).
    num_threads: default one for each processor; the result does not depend on it.

    In a group of connected photographs without a known one, most stay as they are. Takes about a megabyte of memory for
    each. Raises what load raises, and ValueError for a picture of another shape or dtype, or a name in known or near
    that is not among the names.
    """
    names, num_threads = list(names), num_threads or processors()
    extractor = small_extractor(options or ExtractionOptions())
    features = [
        features_in_turns(extractor, load(name))
        for name in Bar(names, desc="orientation", unit="image", disable=not progress)
    ]
    return turns_of_features(names, features, known=known, near=near, progress=progress, num_threads=num_threads)


def turns_of_features(
    names: Sequence[str],
    features: Sequence[Turned],
    *,
    known: Collection[str] = (),
    near: Iterable[tuple[str, str]] | None = None,
    progress: bool = False,
    num_threads: int = 1,
) -> Turns:
    """The same from the features of each photograph in its four turns, in the order of names.

    A photograph that is turned by some quarters has the same features, in another order of turns.
    """
    index = {name: position for position, name in enumerate(names)}
    fixed = np.zeros(len(names), bool)
    fixed[_positions(index, known, "known")] = True
    if near is None:
        pairs = likely_pairs(features, NUM_NEIGHBOURS)
    else:
        pairs = unique_pairs(*_positions(index, (name for pair in near for name in pair), "near").reshape(-1, 2).T)
    pairs = pairs[~fixed[pairs].all(axis=1) & (pairs[:, 0] != pairs[:, 1])]
    solution = solve(pairs, inliers_in_turns(features, pairs, num_threads, progress), fixed)
    return Turns(
        orientation={name: TURNS[quarters] for name, quarters in zip(names, solution.quarters, strict=True)},
        margin=dict(zip(names, solution.margin.tolist(), strict=True)),
        unsure=tuple(name for name, sure in zip(names, solution.sure, strict=True) if not sure),
    )


def _positions(index: dict[str, int], names: Iterable[str], what: str) -> np.ndarray:
    """Where names are among all of them, [K] int64. Raises ValueError for one that is not."""
    names = list(names)
    for name in names:
        if name not in index:
            raise ValueError(f"{what} has {name}, which is not among the photographs")
    return np.array([index[name] for name in names], np.int64)
