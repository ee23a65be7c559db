"""Cameras and points from verified pairs; ``reconstruct`` and ``triangulate`` are the drivers."""
