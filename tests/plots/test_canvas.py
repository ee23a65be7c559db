import cv2
import numpy as np
import pytest

from d2sfm.plots.canvas import save_image

BLACK = np.zeros((60, 90, 3), np.uint8)


def test_save_image_writes_what_it_was_given(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    save_image(tmp_path / "a.png", BLACK)
    save_image(tmp_path / "a.png", image)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], image)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_save_image_refuses_what_is_no_picture(tmp_path):
    with pytest.raises(ValueError, match="uint8"):
        save_image(tmp_path / "a.png", np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match=r"\.png"):
        save_image(tmp_path / "a.jpg", BLACK)
    with pytest.raises(FileNotFoundError):
        save_image(tmp_path / "missing" / "a.png", BLACK)
