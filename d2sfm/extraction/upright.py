"""How photographs are turned for the network: by their EXIF orientation, by what they show, or not at all.

D2 features are not rotation invariant: of a pair that is seen under 90 degrees a sixth of the inliers is left.
"""

import logging
from bisect import bisect_left
from dataclasses import replace
from pathlib import Path

import numpy as np

from d2sfm.coordinates import joined_orientation, upright_array
from d2sfm.database import FeatureStore
from d2sfm.options import ExtractionOptions, Orientation
from d2sfm.photographs.photograph import Photograph
from d2sfm.photographs.reading import load_photograph
from d2sfm.skipped import Skipped
from d2sfm.text import first_of

REFERENCES = 5  # on either side of a new photograph, in the order of names, of those whose turn is known

logger = logging.getLogger(__name__)


def turned(
    photographs: list[Photograph], options: ExtractionOptions, known: list[Photograph], progress: bool = False
) -> list[Photograph]:
    """The photographs with the orientation to turn them by. The log tells how many are not stored upright.

    known: others, in the orientation that they keep; those next to the photographs by name take part in ``auto``.
    """
    if options.orientation is Orientation.NONE:
        return [replace(photograph, orientation=1, tag=photograph.orientation) for photograph in photographs]
    names = [photograph.name for photograph in photographs if photograph.orientation != 1]
    if names:
        logger.info("turned upright by EXIF: %s", first_of(names, "photograph"))
    if options.orientation is Orientation.EXIF or not photographs:
        return photographs
    from d2sfm.orientation.find import find_turns  # and with it SciPy, which plain extraction does without

    references = _next_to(photographs, known)
    seen = {photograph.name: photograph for photograph in (*photographs, *references)}
    turns = find_turns(
        sorted(seen),
        lambda name: _as_looked_at(seen[name]),
        options=options,
        known=[photograph.name for photograph in references],
        progress=progress,
    )
    logger.info("%s", turns)
    return [
        replace(
            each, orientation=joined_orientation(each.orientation, turns.orientation[each.name]), tag=each.orientation
        )
        for each in photographs
    ]


def as_extracted(database: Path, photographs: list[Photograph]) -> list[Photograph]:
    """The photographs that have features, as the network saw them: orientation and range of grey values."""
    with FeatureStore(database) as store:
        found, greys = store.orientations(), store.grey_ranges()
    return [
        replace(each, orientation=found[each.name], grey_range=greys.get(each.name))
        for each in photographs
        if each.name in found
    ]


def _next_to(photographs: list[Photograph], known: list[Photograph]) -> list[Photograph]:
    """The known photographs that are next to one of the photographs in the order of names."""
    known = sorted(known, key=lambda photograph: photograph.name)
    places = [bisect_left(known, each.name, key=lambda photograph: photograph.name) for each in photographs]
    near = {place + step for place in places for step in range(-REFERENCES, REFERENCES)}
    return [photograph for place, photograph in enumerate(known) if place in near]


def _as_looked_at(photograph: Photograph) -> np.ndarray | None:
    """The upright picture; None if it can't be read, which is reported when it is extracted."""
    with Skipped().catching(photograph.name):
        pixels = load_photograph(photograph.path, photograph.size, photograph.grey_range)
        return upright_array(pixels, photograph.orientation)
    return None


def warn_of_turned(known: list[Photograph], there: list[Photograph], way: Orientation) -> None:
    """Warn of photographs whose features were made in another orientation than ``way`` asks for.

    known: of ``as_extracted``; there: the same photographs, with their EXIF orientations.
    """
    found = {photograph.name: photograph.orientation for photograph in known}
    asked = {photograph.name: 1 if way is Orientation.NONE else photograph.orientation for photograph in there}
    others = [name for name, orientation in asked.items() if found.get(name, orientation) != orientation]
    if others and way is Orientation.EXIF:
        logger.warning(
            "extracted without EXIF orientation, so they match upright ones badly: %s (--overwrite extracts again; "
            "--orientation none extracts new ones as stored)",
            first_of(others, "photograph"),
        )
    elif others and way is Orientation.NONE:
        logger.warning(
            "extracted upright, so they match ones as stored badly: %s (--overwrite extracts again)",
            first_of(others, "photograph"),
        )
