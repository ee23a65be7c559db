"""Preparing MegaDepth, or a COLMAP workspace, for training."""

from pathlib import Path

import d2sfm  # noqa: F401 - first: it loads zlib, which must come before pycolmap

TRAIN_SCENES = Path(__file__).with_name("train_scenes.txt")  # the split of D2-Net's paper
VALID_SCENES = Path(__file__).with_name("valid_scenes.txt")
