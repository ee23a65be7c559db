"""Settings of matching and verification for later runs and stages."""

import json
import logging
from collections.abc import Iterable, Mapping
from math import inf
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from d2sfm.database import FeatureStore, Note
from d2sfm.database.rows import json_object
from d2sfm.options import MatchingOptions, VerificationOptions
from d2sfm.options.fields import deciding
from d2sfm.text import first_of

logger = logging.getLogger(__name__)

EXTRACTORS_PX = 4.0  # largest epipolar error of inliers that COLMAP has verified, in pixels of photographs: its default
UNREFINED = "unrefined image"  # which came later than the others were refined, or whose photograph was missing
LIMIT = "max_error_px"  # in the note of refinement, where it was found
IS_EXACT = "is_exact"  # there, false where it was looked for and keypoints are not so exact
EARLIER = {"guided": False}  # settings of matching of which earlier versions noted nothing
LATER_STAGES = ("grey", "continue_")  # of refinement, of which earlier versions noted nothing


class Threshold(NamedTuple):
    """Largest epipolar error of inliers: in pixels of the network input, and of the photographs; the smaller one
    counts. The second is infinite unless refined keypoints are that exact, see ``refinement.exactness``."""

    max_error: float
    max_error_px: float = inf

    def in_photographs(self, factor: float) -> float:
        """In pixels of photographs that are ``factor`` times as large as the network's input."""
        return min(self.max_error * factor, self.max_error_px)

    def pixel_factor(self, factor: float) -> float:
        """Pixels of such photographs for one that COLMAP's thresholds count, which are for features exact to a pixel:
        D2's keypoints are exact to pixels of the network's input; refined ones are within a pixel of the photograph.
        """
        return min(factor, self.max_error_px)

    def __str__(self) -> str:
        text = f"{self.max_error:g} px of the network input"
        return text if self.max_error_px == inf else f"{text} and {self.max_error_px:g} px of the photograph"


class Thresholds(NamedTuple):
    """Thresholds of verification if only some images have refined keypoints: those of later images are pixels off."""

    common: Threshold
    of_new: Threshold  # of pairs with an image of these, by image id
    new: frozenset[int]
    factors: Mapping[int, float]  # pixels of the photograph for one of the network's input by image id; else 1

    def of_pair(self, pair: Iterable[int]) -> Threshold:
        """The threshold for both images: the smaller one of refined keypoints if both are refined."""
        return self.common if self.new.isdisjoint(pair) else self.of_new

    def of_pair_px(self, pair: Iterable[int]) -> float:
        """The same in pixels of the photographs; the larger factor of both images counts."""
        return self.of_pair(pair).in_photographs(max(self.factors.get(image_id, 1.0) for image_id in pair))

    def of_most(self, pairs: np.ndarray) -> Threshold:
        """One threshold for a model of the images in these pairs, [P, 2]: that of refined keypoints if more than half
        of the images are refined, as a few that are not would loosen it for all."""
        images = np.unique(pairs)
        new = np.count_nonzero(np.isin(images, list(self.new)))
        return self.of_new if new and 2 * new >= len(images) else self.common


def typical_factor(factors: Iterable[float]) -> float:
    """Pixels of the photographs for one of the network input, the median of these; 1 without any."""
    return median([*factors] or [1.0])


def noted_thresholds(features: FeatureStore) -> Thresholds:
    """The thresholds that pairs were last verified within; refinement verifies again, with its own.

    That of COLMAP where it was COLMAP's, of keypoints of others; what d2sfm bridge adds is within its own, which is
    about that, as it is refined.
    """
    matching, factors = features.notes.match_settings(), features.resize_factors()
    if not matching and not features.extracted():
        return Thresholds(Threshold(EXTRACTORS_PX), Threshold(EXTRACTORS_PX), frozenset(), factors)
    later = frozenset(features.later_in_pairs().values())
    return Thresholds(_noted(matching | features.notes.refinement()), _noted(matching), later, factors)


def thresholds_of(features: FeatureStore, verification: VerificationOptions) -> Thresholds:
    """The threshold of verification: refinement's if the keypoints of both images are refined, else that of the
    options."""
    given, note = {"max_error": verification.max_error}, features.notes.refinement()
    later = frozenset(features.later().values())
    return Thresholds(_noted(given | note), _noted(given), later, features.resize_factors())


def _noted(note: Mapping) -> Threshold:
    """Earlier versions noted no pixels of the photographs."""
    return Threshold(note.get("max_error", VerificationOptions.max_error), note.get(LIMIT, inf))


def thresholds_told(features: FeatureStore, verification: VerificationOptions | None) -> Thresholds | None:
    """``thresholds_of``, with a line in the log if keypoints are refined; None without verification."""
    if verification is None:
        return None
    thresholds = thresholds_of(features, verification)
    if features.notes.refinement():
        later, is_default = features.later(), verification.max_error == VerificationOptions().max_error
        logger.log(
            logging.INFO if is_default else logging.WARNING,
            "keypoints are refined: pairs are verified within %s, as d2sfm refine does%s",
            thresholds.common,
            of_unrefined(thresholds.of_new, first_of([*later], UNREFINED)) if later else "",
        )
    return thresholds


def of_unrefined(threshold: Threshold, images: str) -> str:
    """What is said behind the threshold of refined keypoints: that of pairs with other images, and how many these are,
    in words."""
    return f", and within {threshold} for pairs with {images}"


def note_refinement_alike(notes: Mapping[Path, dict[str, str]]) -> None:
    """Make notes of refinement of databases to be merged equal if they mean the same.

    Those of earlier versions say nothing of stages that were not there, and were left out. Where databases were found
    exact to different pixels of their photographs, that is forgotten: ``d2sfm refine`` finds it for the whole, where
    none is exact, too.

    notes: by key, of each database. RuntimeError if d2sfm did not write a note.
    """
    refined = [(path, of_one) for path, of_one in notes.items() if Note.REFINEMENT in of_one]
    found = [json_object(path, Note.REFINEMENT, of_one[Note.REFINEMENT]) for path, of_one in refined]
    left_out = {name: False for name in LATER_STAGES if any(name in note for note in found)}
    forgotten = {IS_EXACT} if len({note.get(LIMIT) for note in found}) == 1 else {LIMIT, IS_EXACT}
    for (_, of_one), note in zip(refined, found, strict=True):
        alike = {name: value for name, value in (left_out | note).items() if name not in forgotten}
        of_one[Note.REFINEMENT] = json.dumps(alike, sort_keys=True)


def note_matching_alike(notes: Mapping[Path, dict[str, str]]) -> None:
    """The same for notes of matching: those of earlier versions lack later settings."""
    noted = {
        path: json_object(path, Note.MATCH, each[Note.MATCH]) for path, each in notes.items() if Note.MATCH in each
    }
    if any(EARLIER.keys() & settings.keys() for settings in noted.values()):
        for path, settings in noted.items():
            notes[path][Note.MATCH] = json.dumps(EARLIER | settings, sort_keys=True)


def settings_of(options: MatchingOptions, verification: VerificationOptions | None) -> dict[str, object]:
    """What is noted of a run: the options that decide the result."""
    return deciding(options) | (deciding(verification) if verification else {})


def note_settings(features: FeatureStore, settings: dict[str, object]) -> str:
    """Keep the settings of the first run with the pairs, and return in words how this run's differ.

    Empty if nothing differs, or without pairs.
    """
    noted = features.notes.match_settings() if features.has_pairs() else {}
    noted = noted and EARLIER | noted
    if settings.keys() - noted.keys():
        features.notes.note_match_settings(settings | noted)
    changed = {name: value for name, value in settings.items() if noted.get(name, value) != value}
    return ", ".join(f"{name} {noted[name]} (now {value})" for name, value in changed.items())
