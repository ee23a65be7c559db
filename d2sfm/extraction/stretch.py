"""Photographs of 16 bits that use little of their range, as radiometric thermal ones do, are stretched for the network.

Others stay as they are, to the bit. With one range for the whole folder, a value gives the same grey in every
photograph.
"""

import logging
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from d2sfm.database import FeatureStore
from d2sfm.features.fingerprints import stretch_of
from d2sfm.options import GreyRange, Stretch
from d2sfm.photographs.greys import is_narrow, used_range
from d2sfm.photographs.headers import has_16_bits
from d2sfm.photographs.photograph import Photograph
from d2sfm.photographs.reading import count_greys
from d2sfm.skipped import Skipped
from d2sfm.system import processors
from d2sfm.text import first_of

MOST_THREADS = 4  # each holds a decoded photograph

logger = logging.getLogger(__name__)

Noted = GreyRange | Stretch


def stretched(
    photographs: list[Photograph], stretch: Stretch, noted: Noted = Stretch.NONE, known: list[Photograph] | None = None
) -> list[Photograph]:
    """The photographs with the range of grey values from which each is stretched. The log tells how many, and the
    range.

    noted: of ``noted_stretch``, whose range stays. known: photographs that have features, with their ranges; warns of
    those that should have been stretched. What can't be read is reported when it is extracted.
    """
    if stretch is Stretch.NONE:
        return photographs
    used, total = {}, np.zeros(1, np.int64)
    for name, counts in _counts(_deep(photographs)):
        used[name], total = used_range(counts), total + counts
    if not used:
        return photographs
    if stretch is Stretch.FOLDER:
        common = noted if isinstance(noted, tuple) else used_range(total)
        if common == noted:
            _warn_of_clipped(used, common)
        used = dict.fromkeys(used, common)
    low, high = np.array(list(used.values())).T
    logger.info(
        "grey values stretched from %d..%d%s to 0..255, as they span less than a quarter of 16 bits: %s",
        low.min(),
        high.max(),
        ", each from its own range," if stretch is Stretch.IMAGE else "",
        first_of(list(used), "photograph"),
    )
    as_stored = _deep([photograph for photograph in known or () if photograph.grey_range is None])
    if narrow := [name for name, _ in _counts(as_stored)]:
        logger.warning(
            "extracted without stretching, so they match stretched ones badly: %s (--overwrite extracts again)",
            first_of(narrow, "photograph"),
        )
    return [replace(photograph, grey_range=used.get(photograph.name)) for photograph in photographs]


def noted_stretch(database: Path, stretch: Stretch, replaced: Collection[str] = ()) -> Noted:
    """How photographs of a database that have features were stretched; NONE if none was.

    replaced: names of those whose features do not count, as they are to be written again. Raises RuntimeError if the
    others were stretched in another way than ``stretch``.
    """
    with FeatureStore(database) as store:
        fingerprints = {found for name, found in store.extracted().items() if name not in replaced}
    found = {stretch_of(fingerprint) for fingerprint in fingerprints} - {Stretch.NONE}
    noted = next(iter(found), Stretch.NONE)  # features of different ones are not mixed
    way = Stretch.FOLDER if isinstance(noted, tuple) else noted
    if way not in (Stretch.NONE, stretch):
        raise RuntimeError(
            f"{database} holds features with --stretch {way}, but this run asks for --stretch {stretch}: use the same "
            "settings, --overwrite to extract all again, or another database"
        )
    return noted


def _deep(photographs: list[Photograph]) -> list[Photograph]:
    """Those of 16 bits."""

    def is_deep(photograph: Photograph) -> bool:
        with Skipped().catching(photograph.name):
            return has_16_bits(photograph.path)
        return False

    with ThreadPoolExecutor() as pool:
        found = pool.map(is_deep, photographs)
        return [photograph for photograph, is_one in zip(photographs, found, strict=True) if is_one]


def _counts(photographs: list[Photograph]) -> Iterator[tuple[str, np.ndarray]]:
    """Names of photographs to stretch, and how often each has each value, see ``count_greys``."""

    def counts_of(photograph: Photograph) -> np.ndarray | None:
        with Skipped().catching(photograph.name):
            counts = count_greys(photograph.path, photograph.size)
            return counts if counts is not None and is_narrow(*used_range(counts)) else None
        return None

    with ThreadPoolExecutor(min(MOST_THREADS, processors())) as pool:
        for photograph, counts in zip(photographs, pool.map(counts_of, photographs), strict=True):
            if counts is not None:
                yield photograph.name, counts


def _warn_of_clipped(used: dict[str, GreyRange], common: GreyRange) -> None:
    """Warn of new photographs that lose more than the ends of their own range."""
    margin = (common[1] - common[0]) / 10
    beyond = [name for name, (low, high) in used.items() if low < common[0] - margin or high > common[1] + margin]
    if beyond:
        logger.warning(
            "clipped, as they exceed the range %d..%d from which photographs are stretched: %s (--overwrite computes "
            "the range again)",
            *common,
            first_of(beyond, "photograph"),
        )
