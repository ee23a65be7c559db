"""Features made by hand, with what D2-Net's always have: unit descriptors, keypoints inside of the picture."""

from pathlib import Path

import h5py
import numpy as np

from d2sfm.features.record import Features
from d2sfm.options import Convention


def random_features(seed: int, count: int = 6, dtype: str = "float16", **fields) -> Features:
    """Features of a picture of 160 x 120 px whose network input has half of that; ``fields`` replace the record's."""
    generator = np.random.default_rng(seed)
    sizes = {"image_size": (160, 120), "input_size": (80, 60)} | fields
    descriptors = generator.normal(size=(count, 512))
    xy = generator.uniform(0, 1, (count, 2)) * sizes["image_size"]
    scores = np.sort(generator.uniform(size=count))[::-1]
    return Features(
        keypoints=np.column_stack([xy, np.full(count, 2.0), scores]).astype(np.float32),
        descriptors=(descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)).astype(dtype),
        **{"convention": Convention.COLMAP, "scales": (1.0,), **sizes},
    )


def write_as_hloc(path: Path, name: str, keypoints_in_input: np.ndarray, sizes, as_half: bool = False, **changes):
    """Add features of an image as hloc's extract_features writes what its D2-Net found at these pixels of the input.

    sizes: of the network's input and of the photograph; as_half: hloc's default; ``changes`` replace datasets, None
    leaves one out. Returns the path.
    """
    input_size, image_size = sizes
    scales = (np.array(image_size) / np.array(input_size)).astype(np.float32)
    count = len(keypoints_in_input)
    found = {
        "keypoints": ((keypoints_in_input.astype(np.float32) + 0.5) * scales[None] - 0.5).astype(np.float32),
        "scores": np.linspace(1, 0.5, count, dtype=np.float32),
        "descriptors": np.eye(512, count, dtype=np.float32),
        "image_size": np.array(image_size),
    } | changes
    with h5py.File(path, "a") as file:
        group = file.create_group(name)
        for key, values in found.items():
            if values is not None:
                is_half = as_half and values.dtype == np.float32
                group.create_dataset(key, data=values.astype(np.float16) if is_half else values)
        if found["keypoints"] is not None:
            group["keypoints"].attrs["uncertainty"] = 1 * scales.mean()
    return path


def assert_equal_to_rounding(found: Features, expected: Features) -> None:
    """The network's answers to a picture, computed in other parts."""
    assert len(found) == len(expected) > 10
    np.testing.assert_allclose(found.keypoints, expected.keypoints, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.descriptors, expected.descriptors, atol=1e-5)
