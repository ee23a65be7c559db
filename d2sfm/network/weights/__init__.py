"""Weights of the trunk: bundled ones, published ones to fetch, and checkpoints in files."""
