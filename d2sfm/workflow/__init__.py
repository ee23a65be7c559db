"""Several stages together: keypoints refined before mapping, and a model from a folder."""
