"""Fingerprints: the settings that features were made with, as a JSON object. Equal ones mean comparable features."""

import json

from d2sfm.text import one_line


def settings_of(fingerprint: str) -> dict:
    """The settings by name. ValueError where the text, as of a file that others wrote, is no JSON object."""
    try:
        settings = json.loads(fingerprint)
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(f"fingerprint {one_line(fingerprint, 40)} is no JSON object")
    return settings


def difference(fingerprint: str, other: str) -> str:
    """The settings of a fingerprint that the other does not share, as 'name value, name value'; None is not set."""
    settings, others = settings_of(fingerprint), settings_of(other)
    return ", ".join(f"{key} {settings.get(key)}" for key in settings | others if settings.get(key) != others.get(key))
