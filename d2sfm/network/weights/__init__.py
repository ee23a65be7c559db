"""Weights of the trunk: the bundled ones, published ones that are fetched, and checkpoints in files."""
