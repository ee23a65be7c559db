import gc
import weakref

import numpy as np
import pycolmap
import pytest
import torch

from d2sfm.database import MatchStore
from d2sfm.database.connection import open_pycolmap
from d2sfm.matching.inputs import MatchingInputs

CPU = torch.device("cpu")


@pytest.fixture
def store(tmp_path):
    """Images 1 and 2 with 3 and 5 features in float16 and float32; image 3 has more keypoints than descriptors."""
    generator = np.random.default_rng(0)
    with open_pycolmap(tmp_path / "db.db") as colmap:
        for count, dtype, surplus in ((3, np.float16, 0), (5, np.float32, 0), (4, np.float16, 2)):
            camera = pycolmap.Camera(model="PINHOLE", width=64, height=48, params=[count, count, 32, 24])
            camera_id = colmap.write_camera(camera)
            image_id = colmap.write_image(pycolmap.Image(name=f"{count}.jpg", camera_id=camera_id))
            colmap.write_keypoints(image_id, generator.uniform(0, 48, (count + surplus, 4)).astype(np.float32))
            rows = generator.normal(size=(count, 512)).astype(dtype).view(np.uint8)
            colmap.write_descriptors(
                image_id, pycolmap.FeatureDescriptors(pycolmap.FeatureExtractorType.UNDEFINED, rows)
            )
    with MatchStore(tmp_path / "db.db") as opened:
        yield opened


@pytest.mark.parametrize(("image_id", "dtype"), [(1, torch.float16), (2, torch.float32)])
def test_what_is_stored_comes_back(store, image_id, dtype):
    cache = MatchingInputs(store, CPU, 1 << 20)
    for _ in range(2):
        descriptors, (camera, keypoints, pose) = cache.descriptors(image_id), cache.view(image_id)
        assert descriptors.dtype == dtype
        np.testing.assert_array_equal(descriptors.numpy(), store.descriptors(image_id))
        np.testing.assert_array_equal(keypoints, store.keypoints(image_id))
        assert pose is None
        assert camera.params.tolist() == [2 * image_id + 1, 2 * image_id + 1, 32, 24]


def test_each_is_read_once(store, monkeypatch):
    reads = []
    for name in ("descriptors", "camera"):
        method = getattr(MatchStore, name)
        monkeypatch.setattr(
            MatchStore, name, lambda self, image_id, method=method: reads.append(image_id) or method(self, image_id)
        )
    cache = MatchingInputs(store, CPU, 1 << 20)
    for _ in range(3):
        for image_id in (1, 2):
            cache.descriptors(image_id), cache.view(image_id)
    assert reads == [1, 1, 2, 2]


def test_descriptors_that_do_not_fit_the_keypoints(store):
    cache = MatchingInputs(store, CPU, 1 << 20)
    with pytest.raises(RuntimeError, match=r"^4\.jpg has 6 keypoints and 4 descriptors in .*db\.db: run d2sfm extract"):
        cache.descriptors(3)
    assert len(cache.view(3).keypoints) == 6


def test_what_is_kept_goes_with_the_last_reference(store):
    gc.disable()
    try:
        cache = MatchingInputs(store, CPU)
        kept = weakref.ref(cache.descriptors(1))
        del cache
        assert kept() is None
    finally:
        gc.enable()
