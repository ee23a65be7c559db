import logging
import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
from PIL import Image, ImageFile
from support.pictures import (
    ALPHA,
    EIGHT_BIT,
    GREY,
    GREY_RGB,
    HEIGHT,
    PIXELS,
    RGB,
    RGBA,
    WIDTH,
    png_of_size,
    save,
    save_turned,
    shorten,
)

from d2sfm.photographs.reading import check_photograph, list_photographs, load_photograph

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


PIXELS_16 = PIXELS.astype(np.uint16) * 256 + np.random.default_rng(1).integers(0, 256, PIXELS.shape, dtype=np.uint16)


def png_file(pixels: np.ndarray, colour_type: int, chunks: dict[bytes, bytes], interlaced: bool) -> bytes:
    """A PNG file of 8 bits, from [H, W, C], with chunks that stand before its pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, interlaced)
    passes = [(0, 0, 1, 1)]  # first row and column, steps down and across
    if interlaced:
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = [row.tobytes() for top, left, down, across in passes for row in pixels[top::down, left::across]]
    lines = b"".join(b"\x00" + row for row in rows if row)
    head = b"".join(chunk(kind, content) for kind, content in chunks.items())
    return PNG_MAGIC + chunk(b"IHDR", header) + head + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def of_colmap(path: Path) -> np.ndarray:
    """Pixels as COLMAP's own reader gives them."""
    return pycolmap.Bitmap.read(path, as_rgb=True).to_array()


def checked(path: Path) -> np.ndarray:
    """What ``load_photograph`` reads, compared with what COLMAP's reader does."""
    image = load_photograph(path)
    assert np.array_equal(image, of_colmap(path))
    return image


# ---- listing ----


def test_photographs_are_told_by_suffix_below_the_folder(tmp_path):
    for name in ["b.jpg", "a.PNG", "sub/deep er/ü.Tiff", "sub-2/x.webp", "sub/m.heic", "z.NEF"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ["notes.txt", "b.jpg.d2-net", "x.db", "jpg", "Thumbs.db", ".hidden.jpg", "sub/._b.jpg", ".trash/c.jpg"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    assert list_photographs(tmp_path) == ["a.PNG", "b.jpg", "sub-2/x.webp", "sub/deep er/ü.Tiff", "sub/m.heic", "z.NEF"]


def test_a_hidden_folder_may_itself_be_the_folder_of_photographs(tmp_path):
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "a.jpg").touch()
    assert list_photographs(tmp_path / ".cache") == ["a.jpg"]


def test_links_to_files_are_photographs_and_links_to_folders_are_not_followed(tmp_path):
    photographs, elsewhere = tmp_path / "photographs", tmp_path / "elsewhere"
    photographs.mkdir()
    elsewhere.mkdir()
    (elsewhere / "a.jpg").touch()
    (photographs / "link.jpg").symlink_to(elsewhere / "a.jpg")
    (photographs / "folder").symlink_to(elsewhere)
    assert list_photographs(photographs) == ["link.jpg"]


def test_a_folder_without_photographs_gives_an_empty_list(tmp_path):
    assert list_photographs(tmp_path) == []


def test_what_is_no_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list_photographs(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="found a file"):
        list_photographs(tmp_path / "file")


def test_a_subfolder_that_cannot_be_read_is_logged(tmp_path, monkeypatch, caplog):
    (tmp_path / "locked").mkdir()
    (tmp_path / "a.jpg").touch()
    real_scandir = os.scandir

    def scandir(folder):
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied", str(folder))
        return real_scandir(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with caplog.at_level(logging.WARNING):
        assert list_photographs(tmp_path) == ["a.jpg"]
    assert "Permission denied" in caplog.text
    assert "locked" in caplog.text


# ---- pixels and grid ----


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


# ---- files that cannot be used ----


@pytest.mark.parametrize("name", ["rgb.jpg", "progressive.jpg", "rgb.png", "rgb.tif", "rgb.bmp", "rgb.ppm"])
@pytest.mark.parametrize("kept", [0.5, 0.95])
def test_a_file_that_is_cut_short_is_refused(tmp_path, name, kept, capfd):
    path = shorten(save(tmp_path, name), kept)
    with pytest.raises(ValueError, match="damaged or cut short"):
        check_photograph(path)
    assert capfd.readouterr().err == ""  # libpng of COLMAP would write a line


def test_colmap_and_opencv_do_not_notice_a_truncated_jpeg(tmp_path):
    """Why the check needs Pillow: should this fail one day, the check can be simpler."""
    path = shorten(save(tmp_path, "rgb.jpg"), 0.8)
    assert pycolmap.Bitmap.read(path, as_rgb=True) is not None
    assert cv2.imread(str(path)) is not None


@pytest.mark.parametrize(
    ("name", "content"),
    [("text.jpg", b"no picture at all"), ("text.png", b"\x00" * 500), ("pages.tif", b"II*\x00")],
)
def test_what_is_no_picture_is_refused(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a picture"):
        check_photograph(path)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(ValueError, match="empty"):
        check_photograph(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.webp", "WebP"), ("a.gif", "GIF"), ("a.jp2", "JPEG2000")],
)
def test_formats_that_colmap_does_not_read_are_named(tmp_path, name, kind):
    RGB.save(tmp_path / name)
    reason = f"^{kind} is not read by COLMAP, convert it to JPEG or PNG$"
    with pytest.raises(ValueError, match=reason):
        check_photograph(tmp_path / name)
    (tmp_path / name).rename(tmp_path / "disguised.jpg")
    with pytest.raises(ValueError, match=reason):
        check_photograph(tmp_path / "disguised.jpg")
    assert pycolmap.Bitmap.read(tmp_path / "disguised.jpg", as_rgb=True) is None


@pytest.mark.parametrize(("name", "kind"), [("a.heic", "HEIC"), ("a.JXL", "JXL"), ("a.webp", "WebP")])
def test_formats_that_pillow_does_not_read_either_are_named_by_suffix(tmp_path, name, kind):
    (tmp_path / name).write_bytes(b"something that only a newer reader would understand")
    with pytest.raises(ValueError, match=f"^{kind} is not read by COLMAP, convert it"):
        check_photograph(tmp_path / name)


def test_camera_raw_is_refused_although_its_thumbnail_can_be_read(tmp_path):
    RGB.save(tmp_path / "a.tif")
    (tmp_path / "a.tif").rename(tmp_path / "a.DNG")
    with pytest.raises(ValueError, match="camera raw is not read by COLMAP"):
        check_photograph(tmp_path / "a.DNG")


def test_pixels_of_32_bits_outside_of_colmaps_range_are_refused(tmp_path):
    grey = np.asarray(GREY)
    Image.fromarray(grey.astype(np.float32)).save(tmp_path / "bytes_as_floats.tif")
    with pytest.raises(ValueError, match=r"floating-point pixels from .* expected 0 to 1"):
        check_photograph(tmp_path / "bytes_as_floats.tif")
    Image.fromarray(grey.astype(np.int32) * 100).save(tmp_path / "integers.tif")
    with pytest.raises(ValueError, match="32-bit"):
        check_photograph(tmp_path / "integers.tif")
    Image.fromarray(grey / np.float32(255)).save(tmp_path / "floats.tif")
    assert check_photograph(tmp_path / "floats.tif") == (WIDTH, HEIGHT)
    assert np.array_equal(of_colmap(tmp_path / "floats.tif"), GREY_RGB)


def test_a_png_of_which_colmap_reads_only_black_is_refused(tmp_path):
    path = save(tmp_path, "rgb.png")
    content = bytearray(path.read_bytes())
    start = content.index(b"IDAT")
    content[start - 4 : start] = struct.pack(">I", 0x3FFFFFFF)  # length of the chunk: Pillow forgives it
    path.write_bytes(content)
    assert np.array_equal(np.asarray(Image.open(path)), PIXELS)
    assert not of_colmap(path).any()
    with pytest.raises(ValueError, match="is damaged or cut short"):
        check_photograph(path)


def test_a_black_photograph_is_a_photograph(tmp_path):
    Image.new("RGBA", (30, 20), (0, 0, 0, 255)).save(tmp_path / "lens_cap.png")
    assert check_photograph(tmp_path / "lens_cap.png") == (30, 20)


def test_a_size_beyond_colmaps_integers_is_refused_before_it_is_read(tmp_path):
    (tmp_path / "huge.png").write_bytes(png_of_size(40_000, 40_000))
    with pytest.raises(ValueError, match="40000 x 40000 pixels"):
        check_photograph(tmp_path / "huge.png")


def test_a_picture_for_which_memory_does_not_suffice_is_refused(tmp_path, monkeypatch):
    def refuse(*arguments, **keywords):
        raise MemoryError

    def check(name):
        with pytest.raises(ValueError, match=r"^takes more memory than there is$"):
            check_photograph(save(tmp_path, name))

    with monkeypatch.context() as patch:
        patch.setattr(ImageFile.ImageFile, "load", refuse)  # where pixels are decoded, and where they are copied
        check("rgb.jpg")
    with monkeypatch.context() as patch:
        patch.setattr(np, "empty", refuse)
        check("rgb.jpg")


def test_a_header_without_pixels_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(png_file(PIXELS, 2, {b"PLTE": bytes(3), b"IEND": b""}, interlaced=False))
    with pytest.raises(ValueError, match="cut short: it has no pixels"):
        check_photograph(tmp_path / "a.png")


def test_what_cannot_be_opened_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        check_photograph(tmp_path / "nowhere.jpg")
    (tmp_path / "broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with pytest.raises(ValueError, match="link to a file that does not exist"):
        check_photograph(tmp_path / "broken.jpg")
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(ValueError, match="cannot be opened"):
        check_photograph(tmp_path / "folder.jpg")


@pytest.mark.skipif(os.name == "nt", reason="names are UTF-16 there")
def test_a_name_that_is_not_utf8_is_refused(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    RGB.save(path)
    assert [tmp_path / name for name in list_photographs(tmp_path)] == [path]
    with pytest.raises(ValueError, match="not UTF-8"):
        check_photograph(path)


# ---- Pillow's settings ----


@pytest.mark.parametrize("name", ["rgb.png", "rgb.tif", "lzw.tif", "rgb.jpg"])
def test_pillows_limit_of_size_does_not_apply_and_stays(tmp_path, monkeypatch, name):
    path = save(tmp_path, name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT // 4)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path).load()
    assert check_photograph(path) == (WIDTH, HEIGHT)
    assert Image.MAX_IMAGE_PIXELS == WIDTH * HEIGHT // 4


@pytest.mark.parametrize("name", ["palette_alpha.png", "palette_one_transparent.png"])
def test_pillows_warnings_of_transparency_are_not_shown(tmp_path, recwarn, name):
    check_photograph(save(tmp_path, name))
    assert not recwarn.list


def test_pillows_warnings_are_not_shown(tmp_path):
    path = tmp_path / "resolution.tif"
    RGB.save(path, dpi=(72, 72))
    content = bytearray(path.read_bytes())
    entry = content.index(struct.pack("<HH", 296, 3))  # ResolutionUnit, now with two values
    content[entry : entry + 12] = struct.pack("<HHIHH", 296, 3, 2, 2, 2)
    path.write_bytes(content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Image.open(path).load()
        assert caught
        caught.clear()
        check_photograph(path)
        assert not caught


def test_threads_give_what_one_gives(tmp_path):
    names = [*EIGHT_BIT, "cut.jpg", "cut.tif", "a.webp"]
    paths = [save(tmp_path, name) for name in EIGHT_BIT]
    for name in ("cut.jpg", "cut.tif", "a.webp"):
        RGB.save(tmp_path / name)
        paths.append(shorten(tmp_path / name, 0.7))

    def outcome(path):
        try:
            return check_photograph(path)
        except ValueError as error:
            return str(error)

    filters, limit = list(warnings.filters), Image.MAX_IMAGE_PIXELS
    alone = [outcome(path) for path in paths]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(outcome, paths * 5))
    assert together == alone * 5
    assert sum(isinstance(result, str) for result in alone) == len(names) - len(EIGHT_BIT)
    assert warnings.filters == filters
    assert limit == Image.MAX_IMAGE_PIXELS


# ---- real photographs ----


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
