"""Features of one photograph: keypoints that are detected on dense features, and their descriptors."""
