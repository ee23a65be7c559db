"""Matches and two-view geometries of image pairs, into COLMAP's database.

d2sfm match --database db.db [--pairs pairs.txt]
"""

import json
import logging
import os
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pycolmap
import torch
from tqdm import tqdm

from d2sfm.database import FeatureStore, PairStore, exclusive, require_database
from d2sfm.device import resolve_device
from d2sfm.neighbours import mutual_nearest_neighbours
from d2sfm.options import MatchingOptions, VerificationOptions
from d2sfm.pairs import Pair, exhaustive, in_tiles, read_pairs
from d2sfm.verification import verify

CACHE_BYTES = 1 << 30  # of descriptors in float32: 50 images of 10 000 keypoints
TILE_IMAGES = 16  # pairs are taken in tiles of 16 x 16 images, whose descriptors the cache holds as a rule
PAIRS_IN_FLIGHT = 4  # for each thread: a slow pair does not hold up the others, and memory stays bounded

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MatchSummary:
    """What a run of ``match_database`` did. Verification runs beside matching, and its seconds add up over threads."""

    pairs: int  # asked for
    already_there: int  # of these, passed over
    matches: int  # of the pairs of this run
    verified: int | None  # pairs of this run with min_num_inliers or more; None where verification was off
    matching_s: float
    verification_s: float

    def __str__(self) -> str:
        text = f"match: {self.pairs - self.already_there} pairs, {self.matches} matches in {self.matching_s:.1f} s"
        if self.verified is not None:
            text += f", {self.verified} pairs verified in {self.verification_s:.1f} s (all threads)"
        return text + (f", {self.already_there} pairs were there already" if self.already_there else "")


def match_database(
    database: Path | str,
    *,
    options: MatchingOptions | None = None,
    verification: VerificationOptions | None,
    pairs_file: Path | str | None = None,
    overwrite: bool = False,
    progress: bool = False,
    num_threads: int | None = None,
) -> MatchSummary:
    """Match the images of a database in pairs, verify the matches, and write both.

    verification: None leaves two-view geometries out.
    pairs_file: text file with two image names a line, see ``pairs.read_pairs``; None stands for all pairs.
    num_threads: threads of verification (default: one for each processor); the results do not depend on it.

    Pairs that are there already are passed over, with a warning where other options made them; ``overwrite`` makes
    them anew. A pair that has matches but no geometry keeps its matches and is only verified. Each pair is written
    whole, so a stopped run goes on where it was. Images that have no features yet are left out with a warning.
    A pair's max_error is multiplied by the larger resize factor of its images, where d2sfm extracted them.

    Raises FileNotFoundError for a missing file, ValueError for a bad pairs file or device, and RuntimeError where the
    database is none or in use, has fewer than two images with features, or has descriptors that are not D2-Net's.
    """
    database, options = Path(database), options or MatchingOptions()
    device = resolve_device(options.device)
    require_database(database)
    with exclusive(database):
        with FeatureStore(database) as features:
            factors = features.resize_factors()
            differing = _note_settings(features, options, verification, overwrite)
        with PairStore(database) as store:
            asked = _with_features(store, _asked_pairs(store, pairs_file))
            done = set() if overwrite else store.done_pairs(verified=verification is not None)
            todo = [pair for pair in asked if pair not in done]
            if differing and len(todo) < len(asked):
                logger.warning("pairs that are there already were made with %s: --overwrite makes them anew", differing)
            matched = set() if overwrite else store.done_pairs(verified=False)
            results = _match(store, todo, matched, options, device)
            if verification is not None:
                _warn_of_missing_factors(store, todo, factors)
                results = _verify(results, store, verification, factors, num_threads or _processors())
            with (
                closing(results),  # stops the threads when an exception or Ctrl-C ends the loop
                tqdm(total=len(todo), desc="match", unit="pair", disable=not progress) as bar,
            ):
                totals = _write(store, results, verification, bar)
            return MatchSummary(pairs=len(asked), already_there=len(asked) - len(todo), **totals)


@dataclass(frozen=True, kw_only=True)
class _Result:
    """One pair on its way through the stages."""

    pair: Pair
    matches: np.ndarray
    matching_s: float
    geometry: pycolmap.TwoViewGeometry | None = None
    verification_s: float = 0.0


def _asked_pairs(store: PairStore, pairs_file: Path | str | None) -> list[Pair]:
    names = store.image_names()
    if len(names) < 2:
        raise RuntimeError(f"{store.path} has {len(names)} images, matching needs 2 or more: run d2sfm extract first")
    if pairs_file is None:
        return exhaustive(names)
    pairs = read_pairs(pairs_file, {name: image_id for image_id, name in names.items()})
    if not pairs:
        raise RuntimeError(f"{pairs_file} names no pair of images")
    return pairs


def _warn_of_missing_factors(store: PairStore, pairs: list[Pair], factors: dict[int, float]) -> None:
    missing = sorted({image_id for pair in pairs for image_id in pair} - factors.keys())
    if missing:
        logger.warning(
            "%s holds no resize factor of %d images, %s the first: for them, max_error is in pixels of the photograph",
            store.path,
            len(missing),
            store.image_names()[missing[0]],
        )


def _match(
    store: PairStore, pairs: list[Pair], matched: set[Pair], options: MatchingOptions, device: torch.device
) -> Iterator[_Result]:
    """Matches of each pair: those that the database has for the ``matched`` ones, else new ones."""
    descriptors = LruCache(lambda image_id: _descriptors(store, image_id, device), CACHE_BYTES)
    for a, b in in_tiles(pairs, TILE_IMAGES):
        started = time.perf_counter()
        if (a, b) in matched:
            matches = store.matches(a, b)
        else:
            matches = mutual_nearest_neighbours(descriptors[a], descriptors[b], options)
        yield _Result(pair=(a, b), matches=matches, matching_s=time.perf_counter() - started)


def _with_features(store: PairStore, pairs: list[Pair]) -> list[Pair]:
    """The pairs whose images both have features. RuntimeError where none has."""
    images = sorted({image_id for pair in pairs for image_id in pair})
    missing = {image_id for image_id in images if not store.has_features(image_id)}
    usable = [pair for pair in pairs if missing.isdisjoint(pair)]
    if not usable:
        raise RuntimeError(
            f"{store.path} has no features of {len(missing)} of {len(images)} images: "
            f"run d2sfm extract --database {store.path} --images FOLDER first"
        )
    if missing:
        first = store.image_names()[min(missing)]
        logger.warning("%d images have no features and are left out, %s the first", len(missing), first)
    return usable


def _note_settings(
    features: FeatureStore, options: MatchingOptions, verification: VerificationOptions | None, overwrite: bool
) -> str:
    """Keep the settings of the first run with the pairs, and say in words how this run's differ from them."""
    settings = asdict(options) | (asdict(verification) if verification else {})
    del settings["device"]  # it does not change the result
    noted = json.loads(features.setting("match") or "{}")
    if overwrite or settings.keys() - noted.keys():
        features.set_setting("match", json.dumps(settings if overwrite else settings | noted))
    changed = {name: value for name, value in settings.items() if noted.get(name, value) != value}
    return ", ".join(f"{name} {noted[name]} (now {value})" for name, value in changed.items())


def _descriptors(store: PairStore, image_id: int, device: torch.device) -> torch.Tensor:
    descriptors, keypoints = store.descriptors(image_id), store.keypoints(image_id)
    if len(descriptors) != len(keypoints):
        raise RuntimeError(
            f"{store.image_names()[image_id]} has {len(keypoints)} keypoints and {len(descriptors)} descriptors in "
            f"{store.path}: run d2sfm extract into a new database"
        )
    return torch.from_numpy(descriptors).to(device, torch.float32)


def _verify(
    results: Iterable[_Result],
    store: PairStore,
    options: VerificationOptions,
    factors: dict[int, float],
    num_threads: int,
) -> Iterator[_Result]:
    """The results with their geometries, in the same order; threads verify while this one matches the next pairs."""
    names = store.image_names()
    pool = ThreadPoolExecutor(num_threads)
    waiting = deque()
    try:
        for result in results:
            a, b = result.pair
            factor = max(factors.get(a, 1.0), factors.get(b, 1.0))
            views = (store.camera(a), store.keypoints(a), store.camera(b), store.keypoints(b))
            waiting.append(pool.submit(_with_geometry, result, views, options, factor, (names[a], names[b])))
            if len(waiting) >= PAIRS_IN_FLIGHT * num_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _with_geometry(
    result: _Result, views: tuple, options: VerificationOptions, factor: float, names: tuple[str, str]
) -> _Result:
    started = time.perf_counter()
    geometry = verify(*views, result.matches, options, factor, names)
    return replace(result, geometry=geometry, verification_s=time.perf_counter() - started)


def _write(
    store: PairStore, results: Iterable[_Result], verification: VerificationOptions | None, bar: tqdm
) -> dict[str, int | float | None]:
    """Write each pair as it comes. Returns totals for the summary."""
    matches, verified, matching_s, verification_s = 0, 0, 0.0, 0.0
    for result in results:
        store.write(*result.pair, result.matches, result.geometry)
        matches += len(result.matches)
        matching_s += result.matching_s
        verification_s += result.verification_s
        if verification is not None:
            verified += len(result.geometry.inlier_matches) >= verification.min_num_inliers
        bar.update()
    return {
        "matches": matches,
        "verified": None if verification is None else verified,
        "matching_s": matching_s,
        "verification_s": verification_s,
    }


class LruCache:
    """Tensors by key, loaded when they are first asked for; the longest unused go when they exceed the capacity."""

    def __init__(self, load: Callable[[int], torch.Tensor], capacity_bytes: int):
        self._load = load
        self._capacity = capacity_bytes
        self._held: OrderedDict[int, torch.Tensor] = OrderedDict()

    def __getitem__(self, key: int) -> torch.Tensor:
        if key not in self._held:
            self._held[key] = self._load(key)
        self._held.move_to_end(key)
        while len(self._held) > 1 and sum(tensor.nbytes for tensor in self._held.values()) > self._capacity:
            self._held.popitem(last=False)
        return self._held[key]


def _processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
