"""Extraction with masks: nothing of what is out enters."""

import numpy as np
import pytest
from PIL import Image
from support.photograph_folder import SMALL, read_all

from d2sfm.extraction.extract import extract_to_database
from d2sfm.options import ExtractionOptions, MaskOptions

pytestmark = pytest.mark.usefixtures("narrow_network")


def save_mask(folder, name, mask):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(folder / name)


@pytest.fixture
def masks(tmp_path):
    """Masks of a.jpg (left half out), sub/a.jpg (as sub/a.png: lower half out), none of b c.png."""
    left, lower = np.ones((80, 96), bool), np.ones((80, 128), bool)
    left[:, :48], lower[40:] = False, False
    save_mask(tmp_path / "masks", "a.jpg.png", left)
    save_mask(tmp_path / "masks", "sub/a.png", lower)
    return tmp_path / "masks"


def test_masked_keypoints_never_enter(tmp_path, photographs, masks, caplog):
    extract_to_database(tmp_path / "plain.db", photographs, options=SMALL)
    summary = extract_to_database(tmp_path / "db.db", photographs, options=SMALL, masks=MaskOptions(masks=masks))
    assert not summary.skipped
    assert "no mask, so all pixels are used: 1 photograph (b c.png)" in caplog.text
    plain, found = read_all(tmp_path / "plain.db"), read_all(tmp_path / "db.db")
    inside = {name: np.ones(len(features), bool) for name, features in plain.items()}
    inside["a.jpg"] = plain["a.jpg"].keypoints[:, 0] >= 48
    inside["sub/a.jpg"] = plain["sub/a.jpg"].keypoints[:, 1] < 40
    for name, features in plain.items():
        assert np.array_equal(found[name].keypoints, features.keypoints[inside[name]])
    assert 0 < len(found["a.jpg"]) < len(plain["a.jpg"])
    assert 0 < len(found["sub/a.jpg"]) < len(plain["sub/a.jpg"])


def test_bad_masks_skip_their_photographs(tmp_path, photographs, masks):
    save_mask(masks, "b c.png.png", np.ones((10, 10), bool))
    (masks / "a.jpg.png").write_bytes(b"no mask")
    summary = extract_to_database(tmp_path / "db.db", photographs, options=SMALL, masks=MaskOptions(masks=masks))
    assert list(summary.skipped) == ["a.jpg", "b c.png"]
    assert "mask that can't be used" in summary.skipped["a.jpg"]
    assert summary.skipped["b c.png"] == "is 112 x 80 px, its mask 10 x 10 px"
    assert list(read_all(tmp_path / "db.db")) == ["sub/a.jpg"]


def test_masked_features_other_masks_and_borders_are_not_mixed(tmp_path, photographs, masks):
    database = tmp_path / "db.db"
    save_mask(tmp_path, "one.png", np.ones((80, 96), bool))
    (photographs / "b c.png").unlink()
    (photographs / "sub/a.jpg").unlink()
    one = MaskOptions(camera_mask=tmp_path / "one.png")
    extract_to_database(database, photographs, options=SMALL, masks=MaskOptions(masks=masks))
    assert extract_to_database(database, photographs, options=SMALL, masks=MaskOptions(masks=masks)).already_there == 1
    with pytest.raises(RuntimeError, match="features with masks True, but this run asks for masks None:"):
        extract_to_database(database, photographs, options=SMALL)
    with pytest.raises(
        RuntimeError, match=r"with masks True, camera_mask None, but this run asks for camera_mask \w+, masks None:"
    ):
        extract_to_database(database, photographs, options=SMALL, masks=one)
    bordered = ExtractionOptions(max_edge=96, border=3)
    with pytest.raises(RuntimeError, match="features with border None, but this run asks for border 3:"):
        extract_to_database(database, photographs, options=bordered, masks=MaskOptions(masks=masks))


def test_a_folder_without_any_fitting_mask_is_refused_before_the_database_is_made(tmp_path, photographs, masks):
    (masks / "a.jpg.png").rename(masks / "other.png")
    (masks / "sub/a.png").rename(masks / "a.png.png")
    with pytest.raises(ValueError, match="no mask of any photograph"):
        extract_to_database(tmp_path / "db.db", photographs, options=SMALL, masks=MaskOptions(masks=masks))
    assert not (tmp_path / "db.db").exists()


def test_transparent_pixels_are_out_beside_masks(tmp_path, photographs, masks, caplog):
    caplog.set_level("INFO")
    alpha = np.full((80, 96), 255, np.uint8)
    alpha[:40] = 0
    (photographs / "a.jpg").rename(photographs / "a.was.jpg")
    with Image.open(photographs / "a.was.jpg") as picture:
        picture.putalpha(Image.fromarray(alpha))
        picture.save(photographs / "a.png")
    (masks / "a.jpg.png").rename(masks / "a.png.png")
    extract_to_database(tmp_path / "db.db", photographs, options=SMALL, masks=MaskOptions(masks=masks))
    assert "transparent pixels (alpha 0) get no keypoints: 1 photograph (a.png)" in caplog.text
    found = read_all(tmp_path / "db.db")
    whole = found["a.was.jpg"].keypoints
    assert np.array_equal(found["a.png"].keypoints, whole[(whole[:, 0] >= 48) & (whole[:, 1] >= 40)])
    assert len(found["a.png"]) > 0
