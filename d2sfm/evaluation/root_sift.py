"""RootSIFT by OpenCV: what D2 is compared with."""

import cv2
import numpy as np

# Of which the best are taken: largest ratios of distances in matching, and errors of the geometry in pixels.
RATIOS, ERRORS_PX = (None, 0.8, 0.85, 0.9), (0.5, 1.0, 2.0, 3.0)


def root_sift(grey: np.ndarray, max_features: int = 8000) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints and descriptors of a picture, those of the strongest response first; N may be 0.

    grey: uint8 [H, W]. max_features: the most that are kept.
    Returns x, y in pixels with pixel centres at integers (OpenCV's frame), [N, 2] float32, and square roots of SIFT
    descriptors whose sum is 1, [N, 128] float32, of unit length: ``mutual_nearest_neighbours`` matches them.
    """
    keypoints, descriptors = cv2.SIFT_create(max_features).detectAndCompute(grey, None)
    if not keypoints:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    # OpenCV keeps all that are as strong as the last one.
    order = np.argsort([-each.response for each in keypoints], kind="stable")[:max_features]
    descriptors = descriptors[order]
    sums = np.maximum(descriptors.sum(1, keepdims=True), np.finfo(np.float32).tiny)
    return cv2.KeyPoint.convert(keypoints)[order], np.sqrt(descriptors / sums)
