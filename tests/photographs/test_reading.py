"""Pixels of all kinds of files are those that COLMAP's own reader gives."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
from PIL import Image
from support.pictures import (
    ALPHA,
    EIGHT_BIT,
    GREY,
    HEIGHT,
    PIXELS,
    RGB,
    RGBA,
    WIDTH,
    of_colmap,
    png_file,
    save,
    save_turned,
)

from d2sfm.photographs.reading import check_photograph, list_photographs, load_photograph

PIXELS_16 = PIXELS.astype(np.uint16) * 256 + np.random.default_rng(1).integers(0, 256, PIXELS.shape, dtype=np.uint16)


def checked(path: Path) -> np.ndarray:
    """What ``load_photograph`` reads, compared with what COLMAP's reader does."""
    image = load_photograph(path)
    assert np.array_equal(image, of_colmap(path))
    return image


@pytest.mark.parametrize("name", EIGHT_BIT)
def test_pixels_of_each_format(tmp_path, name):
    path = save(tmp_path, name)
    expected = EIGHT_BIT[name][2]
    if expected is None:
        expected = np.asarray(Image.open(path).convert("RGB"))
        assert np.abs(expected.astype(int) - PIXELS).mean() < 40  # the picture, not noise
    image = load_photograph(path)
    assert image.dtype == np.uint8
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert np.array_equal(image, expected)
    assert np.array_equal(of_colmap(path), image)
    assert check_photograph(path) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("channels", ["grey", "rgb", "rgba"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, suffix, channels):
    bgr = PIXELS_16[..., ::-1]
    alpha = np.asarray(ALPHA).astype(np.uint16) * 257
    stored = {"grey": PIXELS_16[..., 0], "rgb": bgr, "rgba": np.dstack([bgr, alpha])}[channels]
    path = tmp_path / f"sixteen{suffix}"
    assert cv2.imwrite(str(path), stored)
    expected = np.repeat(PIXELS_16[..., :1], 3, axis=2) if channels == "grey" else PIXELS_16
    assert np.abs(of_colmap(path) - expected / 257).max() <= 1
    assert np.array_equal(load_photograph(path), of_colmap(path))
    assert check_photograph(path) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_exif_orientation_does_not_turn_the_picture(tmp_path, suffix, orientation):
    upright = save_turned(tmp_path / f"upright{suffix}", 1)
    path = save_turned(tmp_path / f"turned{suffix}", orientation)
    assert pycolmap.Bitmap.read(path, as_rgb=True).exif_orientation() == orientation
    assert np.array_equal(of_colmap(path), of_colmap(upright))
    assert np.array_equal(load_photograph(path), of_colmap(upright))
    assert check_photograph(path) == (WIDTH, HEIGHT)


def test_the_grid_is_that_of_colmaps_import(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name in EIGHT_BIT:
        save(folder, name)
    for suffix in (".jpg", ".png", ".tif"):
        save_turned(folder / f"turned{suffix}", 6)
    database = tmp_path / "database.db"
    pycolmap.Database.open(database).close()
    pycolmap.import_images(database, folder)
    with pycolmap.Database.open(database) as opened:
        cameras = {image.name: opened.read_camera(image.camera_id) for image in opened.read_all_images()}
    assert sorted(cameras) == list_photographs(folder)
    for name, camera in cameras.items():
        assert check_photograph(folder / name) == (camera.width, camera.height), name
        assert of_colmap(folder / name).shape == (camera.height, camera.width, 3), name


JPEG_VARIANTS = {
    "quality 1": {"quality": 1},
    "quality 100": {"quality": 100, "subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "4:4:4 progressive": {"subsampling": 0, "progressive": True},
    "4:2:2 progressive": {"subsampling": 1, "progressive": True},
    "4:2:0 progressive": {"subsampling": 2, "progressive": True},
    "restarts by block": {"restart_marker_blocks": 1},
    "restarts by row": {"restart_marker_rows": 1, "subsampling": 2, "progressive": True},
    "RGB": {"keep_rgb": True},
    "RGB progressive": {"keep_rgb": True, "progressive": True},
    "optimised": {"optimize": True, "dpi": (300, 300), "comment": "a picture"},
    "profile": {"icc_profile": bytes(100_000)},
}


@pytest.mark.parametrize("size", [(61, 40), (1, 1), (7, 1), (1, 9), (8, 8), (16, 16), (17, 33), (130, 129)])
@pytest.mark.parametrize("variant", JPEG_VARIANTS)
def test_pillow_decodes_a_jpeg_bit_for_bit_as_colmap(tmp_path, variant, size):
    for picture in (RGB, GREY):
        if picture is RGB or "RGB" not in variant:
            picture.resize(size).save(tmp_path / "a.jpg", **JPEG_VARIANTS[variant])
            checked(tmp_path / "a.jpg")


@pytest.mark.parametrize("factor", ["411", "420", "422", "440", "444"])
@pytest.mark.parametrize("progressive", [0, 1])
def test_pillow_decodes_chroma_of_other_encoders_as_colmap(tmp_path, factor, progressive):
    sampling = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{factor}")
    options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
    for width in range(20, 40):
        cv2.imwrite(str(tmp_path / "a.jpg"), PIXELS[:, :width], options)
        checked(tmp_path / "a.jpg")


def test_of_a_file_of_several_pictures_both_read_the_first(tmp_path):
    RGB.save(tmp_path / "a.mpo", save_all=True, append_images=[GREY.convert("RGB").resize((20, 10))])
    with Image.open(tmp_path / "a.mpo") as picture:
        assert (picture.format, picture.n_frames) == ("MPO", 2)
    assert np.abs(checked(tmp_path / "a.mpo").astype(int) - PIXELS).mean() < 40


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("name", "colour_type", "chunks"),
    [
        ("grey", 0, {}),
        ("grey, one value transparent", 0, {b"tRNS": bytes([0, 7])}),
        ("RGB", 2, {}),
        ("RGB, one colour transparent", 2, {b"tRNS": bytes([0, 7, 0, 8, 0, 9])}),
        ("RGB with gamma", 2, {b"gAMA": struct.pack(">I", 100000), b"sRGB": bytes([0])}),
        ("RGB with ground", 2, {b"bKGD": bytes([0, 255, 0, 0, 0, 255]), b"sBIT": bytes([5, 6, 5])}),
        ("RGBA", 6, {}),
    ],
)
def test_pillow_decodes_a_png_bit_for_bit_as_colmap(tmp_path, name, colour_type, chunks, interlaced):
    channels = {0: [0], 2: [0, 1, 2], 6: [0, 1, 2, 3]}[colour_type]
    pixels = np.dstack([PIXELS, np.asarray(ALPHA)])[..., channels]
    path = tmp_path / "a.png"
    path.write_bytes(png_file(pixels, colour_type, chunks, interlaced))
    expected = np.repeat(pixels, 3, axis=2) if colour_type == 0 else pixels[..., :3]
    assert np.array_equal(checked(path), expected)


OTHER_KINDS = {  # mode, options
    "a.tga": ("RGB", {"compression": "tga_rle"}),
    "grey.tga": ("L", {}),
    "grey alpha.tga": ("LA", {}),
    "palette.tga": ("P", {}),
    "rgba.tga": ("RGBA", {}),
    "bits.bmp": ("1", {}),
    "grey.bmp": ("L", {}),
    "rgba.bmp": ("RGBA", {}),
    "bits.pbm": ("1", {}),
    "palette of 4.png": ("P", {"bits": 4}),
    "grey alpha.tif": ("LA", {}),
    "lzma.tif": ("RGB", {"compression": "lzma"}),
}


@pytest.mark.parametrize("name", OTHER_KINDS)
def test_other_kinds_are_read_bit_for_bit_as_by_colmap(tmp_path, name):
    mode, options = OTHER_KINDS[name]
    picture = RGB.quantize(16) if mode == "P" else RGBA.convert(mode)
    picture.save(tmp_path / name, **options)
    checked(tmp_path / name)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_all_inks_of_cmyk_are_mixed_as_by_colmap(tmp_path, suffix):
    inks = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
    Image.fromarray(inks, "CMYK").save(tmp_path / f"a{suffix}")
    checked(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("maximum", [15, 1023, 65535])
@pytest.mark.parametrize("magic", ["P5", "P6"])
def test_any_range_of_ppm_is_scaled(tmp_path, magic, maximum):
    shape = (HEIGHT, WIDTH, 3 if magic == "P6" else 1)
    values = np.random.default_rng(0).integers(0, maximum + 1, shape)
    content = (
        f"{magic} {WIDTH} {HEIGHT} {maximum}\n".encode() + values.astype(">u2" if maximum > 255 else "u1").tobytes()
    )
    (tmp_path / "a.ppm").write_bytes(content)
    image = load_photograph(tmp_path / "a.ppm").astype(int)
    assert np.abs(image - values * 255 / maximum).max() <= 1
    assert np.abs(image - of_colmap(tmp_path / "a.ppm")).max() <= (maximum > 255)


def test_pixels_may_be_written_to(tmp_path):
    for name in ("rgb.jpg", "grey.png", "rgba.png", "rgb.tif"):  # torch warns of arrays that are not
        image = load_photograph(save(tmp_path, name))
        assert image.flags.writeable
        assert image.flags.c_contiguous


def test_a_picture_is_read_in_strips_of_any_number_of_rows(tmp_path, monkeypatch):
    path = save(tmp_path, "rgb.jpg")
    expected = of_colmap(path)
    for rows in (1, 7, 40, 41):
        monkeypatch.setattr("d2sfm.photographs.reading._STRIP_ROWS", rows)
        assert np.array_equal(load_photograph(path), expected)


@pytest.mark.photographs
@pytest.mark.parametrize("folder", ["sacre_coeur", "fountain_p11", "brighton_beach"])
def test_real_photographs(shared_data, folder):
    root = shared_data / folder / "images"
    for name in list_photographs(root)[:2]:
        with Image.open(root / name) as picture:
            expected = np.asarray(picture.convert("RGB"))
        assert check_photograph(root / name) == (expected.shape[1], expected.shape[0])
        assert np.array_equal(of_colmap(root / name), expected), name
        assert np.array_equal(load_photograph(root / name), expected), name
