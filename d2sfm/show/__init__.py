"""Pictures of databases and models: keypoints, matches, residuals, pairs and tracks, for files and notebooks."""
