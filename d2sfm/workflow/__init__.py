"""What several stages make together: keypoints refined before they are mapped, and a folder that becomes a model."""
