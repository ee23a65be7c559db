"""Matches in hloc's HDF5 layout (cvg/Hierarchical-Localization, hloc/match_features.py, hloc/utils/parsers.py).

A group <name>/<name> for each pair, the '/' in names made '-'; older files have it called <name>_<name>. In it

    matches0          [N] for each keypoint of the first image that of the second one, -1 for none
    matching_scores0  [N] (1 + cosine similarity) / 2; of other matchers what they have, higher is better

A dense matcher's pair has its own positions beside them, ``keypoints0``, and ``matches0`` ends at the last match.
deep-image-matching (3DOM-FBK) has a dataset in place of the inner group: matches [M, 2]; images are called by the names
of their files without folders.

hloc asks for a pair in both orders. It writes 16-bit integers, of which keypoints beyond 32767 come out negative.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import h5py
import numpy as np

from d2sfm.formats.hdf5 import FLOATS, GROUP_BYTES, INTEGERS, LETTER_BYTES, Reader, array, declared_shape, links, member
from d2sfm.formats.hloc_keypoints import MAX_KEYPOINTS

OLD_SEPARATOR = "_"


class HlocMatches(Reader):
    """A file of matches to read, of images of these names.

    Raises FileNotFoundError if it is missing, ValueError if it is not an HDF5 file or the layout can't tell two of the
    names apart.

    unknown: number of pairs in the file that are not of these names.
    """

    def __init__(self, path: Path | str, names: Iterable[str]):
        by_key = require_distinct(names)
        super().__init__(path)
        with self._stack as stack:  # closed if the file is not one of matches
            self._keys, self.unknown = self._find(by_key)
            self._stack = stack.pop_all()

    def pairs(self) -> list[tuple[str, str]]:
        """Pairs of names, each once and sorted."""
        return sorted(self._keys)

    def read(self, pair: tuple[str, str], counts: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Matches of one of ``pairs``, [M, 2] uint32, indices of keypoints of both images; counts: how many they have.

        And their scores, [M] float16, higher is better; None if the file has none, or the same for all.

        Raises ValueError if the file has others for them, or is damaged.
        """
        key, is_reversed = self._keys[pair]
        of_first, of_second = counts[::-1] if is_reversed else counts
        found, scores = member(self._file, key), None
        if isinstance(found, h5py.Group):
            length = of_first if declared_shape(found, "keypoints0") is None else None
            partners = array(found, "matches0", (length,), INTEGERS, MAX_KEYPOINTS).astype(np.int64)
            first = np.flatnonzero(partners != -1)
            second = partners[first]
            scores = _scores(found, first, len(partners))
        else:
            first, second = array(found.parent, PurePosixPath(key).name, (None, 2), INTEGERS, MAX_KEYPOINTS).T
        self._require_within(key, first, of_first)
        self._require_within(key, second, of_second)
        matches = np.stack([first, second], axis=1).astype(np.uint32)
        return matches[:, ::-1] if is_reversed else matches, scores

    def _require_within(self, key: str, indices: np.ndarray, count: int) -> None:
        if len(indices) and not 0 <= indices.min() <= indices.max() < count:
            raise ValueError(
                f"{self.path}: {key} names keypoints {indices.min()} to {indices.max()} of {count}"
                + (" (more than 16 bits hold)" if indices.min() < -1 else "")
            )

    def _find(self, by_key: Mapping[str, str]) -> tuple[dict[tuple[str, str], tuple[str, bool]], int]:
        """The place of each pair and whether its images are in the other order; and the number of unknown pairs.

        Of several entries of a pair the newer layout counts, then the order of ``pairs``, as in hloc.
        """
        found, unknown = {}, 0
        for is_old, key_a, key_b, key in self._named_pairs(by_key):
            if key_a not in by_key or key_b not in by_key or key_a == key_b:
                unknown += 1
                continue
            a, b = by_key[key_a], by_key[key_b]
            pair, is_reversed = (min(a, b), max(a, b)), a > b
            others = [found[pair]] if pair in found else []
            found[pair] = min([*others, (is_old, is_reversed, key)])
        return {pair: (key, is_reversed) for pair, (_, is_reversed, key) in found.items()}, unknown

    def _named_pairs(self, by_key: Mapping[str, str]) -> Iterable[tuple[bool, str, str, str]]:
        """(whether its name is an old one, key of a, key of b, name of the group) of each pair in the file."""
        for first in links(self._file):
            group = member(self._file, first)
            if not isinstance(group, h5py.Group):
                yield True, first, "", first
                continue
            inside = links(group)
            if "matches0" not in inside:
                yield from ((False, first, second, f"{first}/{second}") for second in inside)
                continue
            places = (place for place, letter in enumerate(first) if letter == OLD_SEPARATOR)
            halves = ((first[:place], first[place + 1 :]) for place in places)
            known = [(a, b) for a, b in halves if a in by_key and b in by_key]
            if len(known) > 1:
                raise ValueError(f"{self.path}: the name {first} fits {len(known)} pairs of images, expected one")
            yield True, *(known[0] if known else (first, "")), first


def write_hloc_matches(
    file: h5py.File, pair: tuple[str, str], matches: np.ndarray, count: int, scores: np.ndarray
) -> None:
    """Add the matches of a pair to a file.

    matches: [M, 2], indices of keypoints of both images; count: of keypoints of the first; scores: [M], 0 to 1.
    Raises ValueError if a keypoint of the first image has two matches, which the layout can't hold.
    """
    first, second = np.asarray(matches).reshape(-1, 2).T.astype(np.int64)
    if len(np.unique(first)) != len(first):
        raise ValueError(
            f"a keypoint of {pair[0]} has several matches in {pair[1]}, but hloc's layout holds one for each keypoint"
        )
    partners, of_partners = np.full(count, -1, np.int32), np.zeros(count, np.float16)
    partners[first], of_partners[first] = second, scores
    group = file.create_group("/".join(map(_key, pair)))
    group["matches0"], group["matching_scores0"] = partners, of_partners


def _scores(group: h5py.Group, keypoints: np.ndarray, count: int) -> np.ndarray | None:
    """Scores of the matches of these keypoints of the first image, which has ``count``, see ``HlocMatches.read``."""
    if declared_shape(group, "matching_scores0") != (count,):
        return None
    scores = array(group, "matching_scores0", (count,), FLOATS + INTEGERS, MAX_KEYPOINTS)[keypoints]
    with np.errstate(over="ignore"):
        scores = scores.astype(np.float16)
    return scores if np.isfinite(scores).all() and len(np.unique(scores)) > 1 else None


def hloc_matches_size(pair: tuple[str, str], count: int) -> int:
    """Bytes that ``write_hloc_matches`` adds at the most."""
    return 2 * GROUP_BYTES + len("".join(pair).encode()) * LETTER_BYTES + 6 * count


def require_distinct(names: Iterable[str]) -> dict[str, str]:
    """Names by their form in the layout. ValueError if two have the same."""
    by_key: dict[str, str] = {}
    for name in names:
        other = by_key.setdefault(_key(name), name)
        if other != name:
            raise ValueError(f"{other} and {name} are both called {_key(name)} in hloc's files of matches")
    return by_key


def _key(name: str) -> str:
    return name.replace("/", "-")
