"""Files that can't be used as photographs are told with the reason."""

import os
import struct

import cv2
import numpy as np
import pycolmap
import pytest
from PIL import Image, ImageFile
from support.pictures import GREY, GREY_RGB, HEIGHT, PIXELS, RGB, WIDTH, of_colmap, png_file, png_of_size, save, shorten

from d2sfm.photographs.reading import check_photograph, list_photographs


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
    ("name", "content"), [("text.jpg", b"no picture at all"), ("text.png", b"\x00" * 500), ("pages.tif", b"II*\x00")]
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


@pytest.mark.parametrize(("name", "kind"), [("a.webp", "WebP"), ("a.gif", "GIF"), ("a.jp2", "JPEG2000")])
def test_formats_that_colmap_does_not_read_are_named(tmp_path, name, kind):
    RGB.save(tmp_path / name)
    reason = rf"^{kind} is a format that COLMAP can't read: convert it with d2sfm prepare$"
    with pytest.raises(ValueError, match=reason):
        check_photograph(tmp_path / name)
    (tmp_path / name).rename(tmp_path / "disguised.jpg")
    with pytest.raises(ValueError, match=reason):
        check_photograph(tmp_path / "disguised.jpg")
    assert pycolmap.Bitmap.read(tmp_path / "disguised.jpg", as_rgb=True) is None


@pytest.mark.parametrize(("name", "kind"), [("a.heic", "HEIC"), ("a.JXL", "JXL"), ("a.webp", "WebP")])
def test_formats_that_pillow_does_not_read_either_are_named_by_suffix(tmp_path, name, kind):
    (tmp_path / name).write_bytes(b"something that only a newer reader would understand")
    with pytest.raises(ValueError, match=f"^{kind} is a format that COLMAP can't read: convert it"):
        check_photograph(tmp_path / name)


def test_camera_raw_is_refused_although_its_thumbnail_can_be_read(tmp_path):
    RGB.save(tmp_path / "a.tif")
    (tmp_path / "a.tif").rename(tmp_path / "a.DNG")
    with pytest.raises(ValueError, match="camera raw is a format that COLMAP can't read"):
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
        with pytest.raises(ValueError, match=r"^needs more memory than this machine has$"):
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
