"""Pictures of what is in databases and models: keypoints, matches, residuals, pairs and tracks, for files and
notebooks."""
