"""Training on pairs of photographs with known cameras and depth (MegaDepth, or a COLMAP workspace)."""
