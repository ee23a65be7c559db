"""The first part of a page: whether a reconstruction is good, and if not, why, in sentences of safe HTML."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from d2sfm.mapping.quality import MIN_SUPPORT
from d2sfm.report.cameras import Camera
from d2sfm.report.facts import MUCH_PLACED, Facts
from d2sfm.report.names import shown, shown_name
from d2sfm.report.pairs import Joint
from d2sfm.report.photographs import Photograph
from d2sfm.text import counted

MOST_NAMES = 3
LOOSE_SHARE, WEAK_SHARE = 0.3, 0.1  # of a group's matches that lead to the rest
SHORT_TRACKS = 2.6  # mean length, below which hardly anything checks the points
HALF = 0.5
MOST_OFF = 1.25  # a focal length over the one of EXIF


class Finding(NamedTuple):
    """A sentence; level: "good", "info", "warn" or "bad"."""

    level: str
    text: Markup
    section: str  # id of the part of the page that has more


def named(facts: Facts, row: int) -> Markup:
    """The name of a photograph as a button that selects it."""
    name = bdi(shown_name(facts.photographs[row].name))
    return Markup('<button class="name" data-choose="{}">{}</button>').format(row, name)


def bdi(text: str) -> Markup:
    """A name isolated from the text around it, in any direction of writing."""
    return Markup("<bdi>{}</bdi>").format(text)


def names(facts: Facts, photographs: Sequence[Photograph]) -> Markup:
    """The first few of them."""
    first = Markup(", ").join(named(facts, facts.rows[each.name]) for each in photographs[:MOST_NAMES])
    more = len(photographs) - MOST_NAMES
    return first + (f" and {more} more" if more > 0 else "")


def verdict(facts: Facts, found: Sequence[Finding]) -> tuple[str, str]:
    """Level and words."""
    if not facts.models:
        return "bad", "Nothing could be reconstructed"
    if facts.placed_share < HALF:
        return "bad", "Most photographs are missing"
    is_incomplete = facts.placed_share < MUCH_PLACED
    is_weak = sum(finding.level in ("warn", "bad") for finding in found) > bool(facts.missing)
    if is_incomplete or is_weak:
        return (
            "warn",
            "Incomplete" if not is_weak else f"{'Incomplete' if is_incomplete else 'Usable'}, with weak spots",
        )
    return "good", "Looks good"


def summary(facts: Facts) -> list[Markup]:
    """What was reconstructed, in at most three sentences."""
    total = len(facts.photographs)
    if not facts.models:
        verified = int(facts.pairs.is_verified.sum()) if facts.pairs is not None else 0
        matched = len(facts.pairs.a) if facts.pairs is not None else 0
        return [
            Markup("There is no model of the {}.").format(counted(total, "photograph")),
            Markup("A geometry was found for {} of {}.").format(verified, counted(matched, "matched pair")),
        ]
    first = facts.models[0].statistics
    sentences = [
        Markup("The model has {} of {}, and {}.").format(
            first.images, counted(total, "photograph"), counted(first.points, "point", ",")
        ),
        Markup("A point is seen by {:.1f} photographs, and lies {:.2f} px off in them, on average.").format(
            first.track_length, first.error_px
        ),
    ]
    if facts.beside:
        others = counted(len(facts.beside), "smaller model")
        rest = sum(model.statistics.images for model in facts.beside)
        sentences.append(Markup("Beside it: {}, of {}.").format(others, counted(rest, "photograph")))
    return sentences


def findings(facts: Facts) -> list[Finding]:
    """Findings, the worst first."""
    found = [*_missing(facts), *_causes(facts)]
    if facts.models:
        found += [*_weak(facts), *_joint(facts), *_lens(facts), *_focal(facts), *_tracks(facts), *_worst(facts)]
    order = {"bad": 0, "warn": 1, "good": 2, "info": 3}
    return sorted(found, key=lambda finding: order[finding.level])


def _missing(facts: Facts) -> list[Finding]:
    missing = facts.missing
    if not missing:
        return [Finding("good", Markup("All photographs have a place."), "photographs")]
    if not facts.models:
        return []
    level = "warn" if facts.placed_share >= HALF else "bad"
    text = Markup("{} without a place: {}. The table says why.").format(
        counted(len(missing), "photograph"), names(facts, missing)
    )
    return [Finding(level, text, "photographs")]


def _causes(facts: Facts) -> list[Finding]:
    level = "warn" if facts.models else "bad"
    return [Finding(level, Markup("Likely: {}.").format(bdi(shown(each))), "pairs") for each in facts.causes]


def _weak(facts: Facts) -> list[Finding]:
    label = facts.models[0].label
    weak = [each for each in facts.photographs if each.model == label and (each.points or 0) < MIN_SUPPORT]
    if not weak:
        return []
    text = Markup("{} with fewer than {} points, whose place is not to be relied on: {}.").format(
        counted(len(weak), "photograph"), MIN_SUPPORT, names(facts, weak)
    )
    return [Finding("warn", text, "photographs")]


def _joint(facts: Facts) -> list[Finding]:
    joint: Joint | None = facts.joint
    if joint is None or joint.share > LOOSE_SHARE:
        return []
    small, large, matches = joint.bridges[0]
    text = Markup(
        "{} and {} photographs are the two halves that hang together least. They are joined by {} with {} ({:.0%} of "
        "those of the smaller half). The strongest is that of {} and {}, with {:,}."
    ).format(
        len(joint.smaller), len(joint.larger), counted(joint.pairs, "pair"), counted(joint.matches, "match", ","),
        joint.share, named(facts, small), named(facts, large), matches,
    )  # fmt: skip
    return [Finding("warn" if joint.share < WEAK_SHARE else "info", text, "pairs")]


def _lens(facts: Facts) -> list[Finding]:
    cameras: list[Camera] = facts.cameras[0]
    judged = [camera for camera in cameras if camera.lens.verdict != "too few points"]
    bad = [camera for camera in judged if camera.lens.verdict == "not modelled"]
    if bad:
        worst = max(bad, key=lambda camera: camera.lens.share)
        which = "the camera" if len(judged) == 1 else f"{len(bad)} of {len(judged)} cameras"
        text = Markup(
            "The lens model is not good enough for {}: {} leaves {:.2f} px of camera {}'s {:.2f} px that point the "
            "same way in the same part of the picture. A model with more distortion may help (extract --camera-model "
            "OPENCV, and one camera for all photographs that it took)."
        ).format(which, worst.kind, worst.lens.systematic_px, worst.camera_id, worst.lens.rms_px)
        return [Finding("warn", text, "cameras")]
    if not judged:
        pooled = facts.pooled[0]
        if pooled is None or pooled.verdict == "too few points":
            return [Finding("info", Markup("Too few points of each camera to judge its lens."), "cameras")]
        level, word = ("good", "is") if pooled.verdict == "good" else ("warn", "is not")
        text = Markup("The lens model {} good enough, of all cameras together: {:.2f} px of {:.2f} px are systematic.")
        return [Finding(level, text.format(word, pooled.systematic_px, pooled.rms_px), "cameras")]
    worst = max(judged, key=lambda camera: camera.lens.share)
    text = Markup("The lens model is good enough: {:.2f} px of {:.2f} px are systematic{}.").format(
        worst.lens.systematic_px, worst.lens.rms_px, "" if len(judged) == 1 else " in the worst camera"
    )
    return [Finding("good", text, "cameras")]


def _focal(facts: Facts) -> list[Finding]:
    by_exif = [camera for camera in facts.cameras[0] if camera.began_by == "EXIF" and camera.focal_px]
    off = [each for each in by_exif if not 1 / MOST_OFF <= each.focal_px / each.began_px <= MOST_OFF]
    if not off:
        return []
    ratio = float(np.median([camera.focal_px / camera.began_px for camera in off]))
    text = Markup("{} far from what EXIF says, {:.2f} times as long{}: wrong EXIF, a crop, or a model that is bent.")
    several = f"{len(off)} of {len(by_exif)} focal lengths {'is' if len(off) == 1 else 'are'}"
    which = "The focal length is" if len(by_exif) == 1 else several
    text = text.format(which, ratio, " in the median" if len(off) > 1 else "")
    return [Finding("warn", text, "cameras")]


def _tracks(facts: Facts) -> list[Finding]:
    first = facts.models[0].statistics
    if not first.points:
        return [
            Finding("bad", Markup("The model has no points, which alone would show whether it is right."), "points")
        ]
    if first.track_length >= SHORT_TRACKS:
        return []
    text = Markup("{:.0%} of the points are seen by two photographs only, which nothing checks.")
    return [Finding("warn", text.format(1 - first.points_of_three / first.points), "points")]


def _worst(facts: Facts) -> list[Finding]:
    seen = [each for each in facts.photographs if each.worst is not None and each.model == facts.models[0].label]
    if not seen:
        return []
    most = max(seen, key=lambda each: each.worst.error_px)
    text = Markup("The largest residual is {:.2f} px, in {} at x {:.0f}, y {:.0f}.").format(
        most.worst.error_px, named(facts, facts.rows[most.name]), *most.worst.xy
    )
    return [Finding("info", text, "photographs")]
