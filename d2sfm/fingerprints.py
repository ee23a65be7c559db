"""Fingerprints: the settings that features were made with, as a JSON object. Equal ones mean comparable features."""

import json


def difference(fingerprint: str, other: str) -> str:
    """The settings of a fingerprint that the other does not share, as 'name value, name value'; None is not set."""
    settings, others = json.loads(fingerprint), json.loads(other)
    return ", ".join(f"{key} {settings.get(key)}" for key in settings | others if settings.get(key) != others.get(key))
