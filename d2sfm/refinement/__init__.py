"""Refinement of keypoints to a fraction of a pixel, from the trunk's early layers; ``refine`` is the driver."""
