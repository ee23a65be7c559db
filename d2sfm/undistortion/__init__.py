"""Photographs and models without distortion, for what comes after structure from motion."""
