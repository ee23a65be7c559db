import io
import struct
import zlib

import cv2
import numpy as np
import pycolmap
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from support.examples import examples

from d2sfm.photographs.masks import Masks, read_mask, visible

SIZE = (40, 24)  # width, height


@pytest.fixture
def values():
    """Grey values 0, 1 and 255 in blocks, [24, 40] uint8."""
    return np.repeat(np.repeat(np.random.default_rng(0).choice([0, 1, 255], (6, 10)), 4, 0), 4, 1).astype(np.uint8)


def palette_of_two_blacks(values):
    """Index 1 is black, too, so an index of a palette is not what decides."""
    picture = Image.fromarray(np.where(values > 0, 2, np.arange(values.shape[1]) % 2).astype(np.uint8), "P")
    picture.putpalette([0, 0, 0, 0, 0, 0, 9, 0, 0])
    return picture


KINDS = {
    "grey": Image.fromarray,
    "one bit": lambda values: Image.fromarray(values > 0),
    "16 bits, low bytes": lambda values: Image.fromarray(values.astype(np.uint16)),
    "16 bits, high bytes": lambda values: Image.fromarray(values.astype(np.uint16) << 8),
    "blue alone": lambda values: Image.fromarray(np.stack([0 * values, 0 * values, values], axis=2)),
    "palette": palette_of_two_blacks,
    "grey, transparent": lambda values: Image.fromarray(np.stack([values, 255 - values], axis=2)),
    "colours, transparent": lambda values: Image.fromarray(np.stack([values, values, values, 0 * values], axis=2)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_but_black_is_in_whatever_the_pixels_are(tmp_path, values, kind):
    KINDS[kind](values).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png")
    assert mask.dtype == bool
    assert np.array_equal(mask, values > 0)


@pytest.mark.parametrize("channels", [3, 4])
def test_low_bytes_of_16_bit_colours_count(tmp_path, values, channels):
    pixels = np.zeros((*values.shape, channels), np.uint16)
    pixels[..., 1] = values  # below 256 throughout
    pixels[..., 3:] = 65535
    cv2.imwrite(str(tmp_path / "mask.png"), pixels)
    assert np.array_equal(read_mask(tmp_path / "mask.png"), values > 0)


def test_grey_masks_are_those_of_colmap(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "mask.png")
    theirs = pycolmap.Bitmap.read(tmp_path / "mask.png", as_rgb=False).to_array()
    assert np.array_equal(read_mask(tmp_path / "mask.png"), np.squeeze(theirs) != 0)


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mask=arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_what_is_saved_is_read(tmp_path, mask):
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png"), mask)


def damaged(content, how):
    end = content.index(b"IDAT") + 4
    if how == "cut short":
        return content[: end + 5]
    if how == "pixels":
        return content[:end] + bytes([content[end] ^ 255]) + content[end + 1 :]
    if how == "checksum":  # Pillow passes over that of the pixels
        at = content.index(b"IEND") - 5
        return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]
    if how == "no end":  # which Pillow does not look for
        return content[: content.index(b"IEND") - 4]
    if how == "size":  # with a checksum that does not fit any more
        return content[:16] + struct.pack(">I", 999) + content[20:]
    return b"no picture"


@pytest.mark.parametrize("how", ["cut short", "pixels", "checksum", "no end", "size", "no picture"])
def test_damaged_masks_are_refused_with_the_reason(tmp_path, values, how):
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    (tmp_path / "mask.png").write_bytes(damaged(buffer.getvalue(), how))
    with pytest.raises(ValueError, match="is not a picture" if how in ("size", "no picture") else "cut short"):
        read_mask(tmp_path / "mask.png")
    (tmp_path / "a.jpg.png").write_bytes((tmp_path / "mask.png").read_bytes())
    with pytest.raises(ValueError, match=r"has a mask that can't be used: .*a\.jpg\.png "):
        Masks(tmp_path)("a.jpg", SIZE)
    with pytest.raises(ValueError, match=r"the mask .*mask\.png "):
        Masks(camera_mask=tmp_path / "mask.png")


def test_16_bit_colours_of_which_only_pillow_makes_a_picture_are_refused(tmp_path):
    """Bytes that follow the size in the header: the checksum fits."""
    content = cv2.imencode(".png", np.ones((24, 40, 3), np.uint16))[1].tobytes()
    header = content[12:29] + bytes(4)
    chunk = struct.pack(">I", len(header) - 4) + header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "mask.png").write_bytes(content[:8] + chunk + content[33:])
    assert Image.open(tmp_path / "mask.png").size == SIZE
    with pytest.raises(ValueError, match="is damaged: OpenCV can't read it"):
        read_mask(tmp_path / "mask.png")


def save(path, mask):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


def test_masks_are_found_as_colmap_finds_them(tmp_path):
    full, half, none = (np.zeros(SIZE[::-1], bool) for _ in range(3))
    full[:], half[:, :20] = True, True
    save(tmp_path / "sub/a.b.jpg.png", half)
    save(tmp_path / "sub/a.b.png", none)  # comes second
    save(tmp_path / "c.png", full)
    masks = Masks(tmp_path)
    assert np.array_equal(masks("sub/a.b.jpg", SIZE), half)
    assert np.array_equal(masks("c.JPG", SIZE), full)
    assert masks("d.jpg", SIZE) is None
    assert masks.without(["sub/a.b.jpg", "d.jpg", "c.JPG", "sub/c.jpg"]) == ["d.jpg", "sub/c.jpg"]
    assert Masks().without(["d.jpg"]) == []
    longest = "x" * 251 + ".jpg"  # whose mask no file system can hold
    assert masks.without([longest]) == [longest]


def test_both_kinds_of_masks_are_out_together(tmp_path):
    top, left = np.ones(SIZE[::-1], bool), np.ones(SIZE[::-1], bool)
    top[:5], left[:, :7] = False, False
    save(tmp_path / "masks/a.jpg.png", top)
    save(tmp_path / "left.png", left)
    masks = Masks(tmp_path / "masks", tmp_path / "left.png")
    assert np.array_equal(masks("a.jpg", SIZE), top & left)
    assert np.array_equal(masks("b.jpg", SIZE), left)


def test_masks_of_another_size_are_refused(tmp_path):
    save(tmp_path / "masks/a.jpg.png", np.ones((10, 30), bool))
    with pytest.raises(ValueError, match="is 40 x 24 px, its mask 30 x 10 px"):
        Masks(tmp_path / "masks")("a.jpg", SIZE)
    with pytest.raises(ValueError, match="is 40 x 24 px, the camera mask 30 x 10 px"):
        Masks(camera_mask=tmp_path / "masks/a.jpg.png")("b.jpg", SIZE)


def test_missing_folders_and_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder of masks"):
        Masks(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        Masks(camera_mask=tmp_path / "nowhere.png")


def test_a_folder_without_masks_of_the_photographs_and_one_among_them_are_refused(tmp_path):
    (tmp_path / "images").mkdir()
    save(tmp_path / "masks/a.jpg.png", np.ones(SIZE[::-1], bool))
    Masks(tmp_path / "masks").check(tmp_path / "images", ["a.jpg", "b.jpg"])
    Masks().check(tmp_path / "images", ["a.jpg"])
    with pytest.raises(ValueError, match=r"no mask of any photograph: expected b\.jpg\.png for b\.jpg"):
        Masks(tmp_path / "masks").check(tmp_path / "images", ["b.jpg"])
    save(tmp_path / "images/masks/a.jpg.png", np.ones(SIZE[::-1], bool))
    with pytest.raises(ValueError, match="lie among the photographs"):
        Masks(tmp_path / "images/masks").check(tmp_path / "images", ["a.jpg"])


def test_settings_tell_which_camera_mask_and_that_there_are_masks(tmp_path):
    save(tmp_path / "a.png", np.eye(8, dtype=bool))
    save(tmp_path / "b.png", ~np.eye(8, dtype=bool))
    Image.fromarray(np.eye(8, dtype=np.uint8) * 200).save(tmp_path / "as_a.png")
    assert Masks().settings == {}
    assert Masks(tmp_path).settings == {"masks": True}
    a, b, as_a = (Masks(camera_mask=tmp_path / f"{name}.png").settings for name in ("a", "b", "as_a"))
    assert a == as_a != b
    assert list(a) == ["camera_mask"]


@settings(max_examples=examples(100))
@given(
    mask=arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))),
    xy=arrays(np.float32, (20, 2), elements=st.floats(0, 11.75, width=32)),
    border=st.integers(0, 4),
)
def test_visible_is_what_a_loop_finds(mask, xy, border):
    height, width = mask.shape
    expected = [
        border <= int(x) < width - border and border <= int(y) < height - border and mask[int(y), int(x)] for x, y in xy
    ]
    assert visible(xy, (width, height), border, mask).tolist() == expected
    unmasked = [border <= int(x) < width - border and border <= int(y) < height - border for x, y in xy]
    assert visible(xy, (width, height), border, None).tolist() == unmasked


def test_no_keypoints_are_visible_as_none():
    assert visible(np.empty((0, 4), np.float32), (3, 3), 1, np.ones((3, 3), bool)).shape == (0,)


def test_masks_that_cannot_fit_are_not_decoded(tmp_path, monkeypatch):
    for name in ("a.jpg.png", "shared.png"):
        Image.new("L", (300, 200)).save(tmp_path / name)
    monkeypatch.setattr("d2sfm.photographs.masks.read_mask", None)
    with pytest.raises(ValueError, match="is 80 x 60 px, its mask 300 x 200 px"):
        Masks(tmp_path)("a.jpg", (80, 60))
    with pytest.raises(ValueError, match=r"shared\.png is .*, 0\.06 megapixels: --max-megapixels allows 0\.01"):
        Masks(camera_mask=tmp_path / "shared.png", max_megapixels=0.01)
