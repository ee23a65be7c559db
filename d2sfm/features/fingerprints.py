"""Fingerprints: the settings that features were made with, as a JSON object. Equal ones mean comparable features."""

import json
from functools import cache

from d2sfm.options import GreyRange, Stretch
from d2sfm.text import one_line

STRETCH = "stretch"  # the key; left out where nothing was stretched, as in what earlier versions wrote


def settings_of(fingerprint: str) -> dict:
    """The settings by name. ValueError if the text, as in a file of others, is not a JSON object."""
    try:
        settings = json.loads(fingerprint)
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(f"fingerprint {one_line(fingerprint, 40)} is not a JSON object")
    return settings


@cache
def clash(fingerprint: str, other: str) -> bool:
    """Whether features of both are not comparable.

    A stretch that only one of them has is not a difference: the photographs of the other did not need it.
    """
    if fingerprint == other:
        return False
    settings, others = settings_of(fingerprint), settings_of(other)
    if settings.get(STRETCH) is None or others.get(STRETCH) is None:
        settings, others = ({key: each[key] for key in each if key != STRETCH} for each in (settings, others))
    return settings != others


def with_stretch(fingerprint: str, stretch: Stretch, grey_range: GreyRange | None) -> str:
    """The fingerprint of features of a photograph stretched in this way; without stretching, the fingerprint itself."""
    if grey_range is None:
        return fingerprint
    told = str(stretch) if stretch is Stretch.IMAGE else list(grey_range)
    return json.dumps(settings_of(fingerprint) | {STRETCH: told})


def stretch_of(fingerprint: str) -> GreyRange | Stretch:
    """The range from which photographs were stretched together, or Stretch.IMAGE, or NONE. Raises as ``settings_of``,
    and if it is not a range."""
    told = settings_of(fingerprint).get(STRETCH, Stretch.NONE)
    if not isinstance(told, list):
        return Stretch(told)
    if len(told) != 2 or not all(type(value) is int for value in told) or not 0 <= told[0] < told[1] <= 65535:
        raise ValueError(f"fingerprint {one_line(fingerprint, 40)} has no range of grey values")
    return told[0], told[1]


def difference(fingerprint: str, other: str) -> str:
    """The settings of a fingerprint that the other does not share, as 'name value, name value'; None is not set."""
    settings, others = settings_of(fingerprint), settings_of(other)
    return ", ".join(f"{key} {settings.get(key)}" for key in settings | others if settings.get(key) != others.get(key))
