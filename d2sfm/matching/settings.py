"""Settings of matching and verification that later runs and stages go by."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace

from d2sfm.database import FeatureStore
from d2sfm.options import VerificationOptions
from d2sfm.text import first_of

logger = logging.getLogger(__name__)


def pair_threshold_px(max_error: float, factors: Mapping[int, float], pair: Iterable[int]) -> float:
    """Largest epipolar error of a pair's inliers, in pixels of the photographs.

    max_error: in pixels of the network input; factors: pixels of the photograph for one of these by image id, 1 where
    missing. The larger factor of both images counts.
    """
    return max_error * max(factors.get(image_id, 1.0) for image_id in pair)


def allowed_error(features: FeatureStore) -> float:
    """The error in network pixels that the last verification allowed; refinement verifies again, with its own."""
    noted = features.notes.match_settings() | features.notes.refinement()
    return noted.get("max_error", VerificationOptions.max_error)


def of_refined(features: FeatureStore, verification: VerificationOptions | None) -> VerificationOptions | None:
    """The options of verification with refinement's threshold, where the keypoints are refined.

    Raises RuntimeError where some are not: they are pixels off, so no threshold fits both.
    """
    refinement = features.notes.refinement()
    if not refinement or verification is None:
        return verification
    new = features.unrefined()
    if new:
        raise RuntimeError(
            f"{features.path} has {first_of(new, 'image')} that came after refinement: "
            "run d2sfm refine --restore, then match, then refine"
        )
    allowed = refinement.get("max_error", verification.max_error)
    is_default = verification.max_error == VerificationOptions().max_error
    logger.log(
        logging.INFO if is_default else logging.WARNING,
        "keypoints are refined: pairs are verified within %g px, as d2sfm refine does",
        allowed,
    )
    return replace(verification, max_error=allowed)


def note_settings(features: FeatureStore, settings: dict[str, object]) -> str:
    """Keep the settings of the first run with the pairs, and say in words how this run's differ from them.

    The words are empty where nothing differs, or there are no pairs yet.
    """
    noted = features.notes.match_settings() if features.has_pairs() else {}
    if settings.keys() - noted.keys():
        features.notes.note_match_settings(settings | noted)
    changed = {name: value for name, value in settings.items() if noted.get(name, value) != value}
    return ", ".join(f"{name} {noted[name]} (now {value})" for name, value in changed.items())
