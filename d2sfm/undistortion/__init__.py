"""Photographs and models without distortion, for programs after structure from motion."""
