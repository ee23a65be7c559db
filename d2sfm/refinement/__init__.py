"""Refinement of keypoints to a fraction of a pixel, from the trunk's early layers."""

from d2sfm.refinement.run import RefinementSummary, refine_database, restore_database

__all__ = ["RefinementSummary", "refine_database", "restore_database"]
