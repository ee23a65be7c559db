"""How photographs are turned for the network: by their EXIF orientation, or not at all.

D2 features are not rotation invariant: of a pair that is seen under 90 degrees a sixth of the inliers is left.
"""

import logging
from dataclasses import replace
from pathlib import Path

from d2sfm.database import FeatureStore
from d2sfm.options import Orientation
from d2sfm.photographs.photograph import Photograph
from d2sfm.text import first_of

logger = logging.getLogger(__name__)


def turned(photographs: list[Photograph], way: Orientation) -> list[Photograph]:
    """The photographs as they are to be turned. The log says how many are not upright as they are stored."""
    if way is Orientation.NONE:
        return [replace(photograph, orientation=1) for photograph in photographs]
    names = [photograph.name for photograph in photographs if photograph.orientation != 1]
    if names:
        logger.info("turned upright by EXIF: %s", first_of(names, "photograph"))
    return photographs


def warn_of_turned(database: Path, photographs: list[Photograph], way: Orientation) -> None:
    """Say which photographs have features that were made under another orientation than ``way`` asks for."""
    with FeatureStore(database) as store:
        found = store.orientations()
    asked = {photograph.name: 1 if way is Orientation.NONE else photograph.orientation for photograph in photographs}
    others = [name for name, orientation in asked.items() if found.get(name, orientation) != orientation]
    if others and way is Orientation.EXIF:
        logger.warning(
            "not turned by EXIF when extracted, so that they match upright ones badly: %s: --overwrite extracts again, "
            "--orientation none takes new ones as stored, too",
            first_of(others, "photograph"),
        )
    elif others and way is Orientation.NONE:
        logger.warning(
            "turned upright when extracted, so that they match ones as stored badly: %s: --overwrite extracts again",
            first_of(others, "photograph"),
        )
