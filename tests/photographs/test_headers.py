"""What name and header tell, against what decoding tells."""

import os
import struct
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from PIL.PngImagePlugin import PngInfo
from support.image_reading import check_header
from support.pictures import EIGHT_BIT, HEIGHT, RGB, WIDTH, png_of_size, save, save_turned, shorten

from d2sfm.photographs.headers import opened, pillow_settings, read_header
from d2sfm.photographs.reading import check_photograph


@pytest.mark.parametrize("name", EIGHT_BIT)
def test_the_size_is_that_of_the_decoded_picture(tmp_path, name):
    path = save(tmp_path, name)
    assert check_header(path) == check_photograph(path) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_orientation_does_not_turn_the_size(tmp_path, suffix):
    assert check_header(save_turned(tmp_path / f"turned{suffix}", 6)) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("value", [1, 3, 6])
def test_the_orientation_is_told(tmp_path, value):
    _, orientation = read_header(save_turned(tmp_path / "turned.jpg", value))
    assert orientation == value


@pytest.mark.parametrize(("kind", "value"), [(5, struct.pack("<II", 6, 1)), (12, struct.pack("<d", 6))])
def test_an_orientation_that_is_a_fraction_is_a_whole_number(tmp_path, kind, value):
    """EXIF's RATIONAL and DOUBLE, which a database can't hold."""
    entry = struct.pack("<HHII", 274, kind, 1, 26)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4) + value
    RGB.save(tmp_path / "odd.jpg", exif=exif)
    _, orientation = read_header(tmp_path / "odd.jpg")
    assert (orientation, type(orientation)) == (6, int)


def test_no_orientation_and_one_that_is_none(tmp_path):
    assert read_header(save(tmp_path, "rgb.png"))[1] == 1
    assert read_header(save_turned(tmp_path / "turned.jpg", 77))[1] == 1


@pytest.mark.parametrize("name", ["rgb.jpg", "rgb.png", "rgb.bmp", "rgb.ppm"])
def test_pixels_are_not_looked_at(tmp_path, name):
    path = shorten(save(tmp_path, name), 0.9)
    assert check_header(path) == (WIDTH, HEIGHT)
    with pytest.raises(ValueError, match="damaged or cut short"):
        check_photograph(path)


def test_what_a_header_tells_is_refused_in_the_words_of_decoding(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "new.heic").write_bytes(b"something that only a newer reader would understand")
    (tmp_path / "huge.png").write_bytes(png_of_size(40_000, 40_000))
    for name in ("a.webp", "a.gif", "a.jp2"):
        RGB.save(tmp_path / name)
    (tmp_path / "a.webp").rename(tmp_path / "disguised.jpg")
    RGB.save(tmp_path / "a.tif")
    (tmp_path / "a.tif").rename(tmp_path / "raw.DNG")
    RGB.save(tmp_path / os.fsdecode(b"caf\xe9.png"))
    reasons = {}
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(ValueError, match=r".") as decoding:
            check_photograph(path)
        with pytest.raises(ValueError, match=r".") as header:
            check_header(path)
        assert str(header.value) == str(decoding.value)
        reasons[path.name] = str(header.value)
    assert len(reasons) == 11
    assert reasons["disguised.jpg"] == "WebP is a format that COLMAP can't read: convert it with d2sfm prepare"
    with pytest.raises(FileNotFoundError):
        check_header(tmp_path / "nowhere.jpg")


def test_a_damaged_header_is_one_line(tmp_path):
    path = save(tmp_path, "rgb.png")
    content = bytearray(path.read_bytes())
    content[8:12] = struct.pack(">I", 5)  # the length of the first chunk
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        check_header(path)


def test_the_file_is_closed(tmp_path):
    with opened(save(tmp_path, "rgb.jpg")) as picture:
        stream = picture.fp
        assert picture.size == (WIDTH, HEIGHT)
    assert stream.closed


def test_settings_of_pillow_are_back_after_an_error_and_no_two_threads_change_them():
    limit = Image.MAX_IMAGE_PIXELS
    with pillow_settings():
        assert Image.MAX_IMAGE_PIXELS is None
    with pytest.raises(KeyError), pillow_settings():
        raise KeyError
    assert limit == Image.MAX_IMAGE_PIXELS
    inside = []

    def change():
        with pillow_settings():
            inside.append(+1)
            Image.fromarray(np.zeros((50, 50), np.uint8)).resize((500, 500))
            inside.append(-1)

    threads = [threading.Thread(target=change) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.cumsum(inside).tolist() == [1, 0] * 8
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("name", ["rgb.png", "rgb.tif", "lzw.tif", "rgb.jpg"])
def test_pillows_limit_of_size_does_not_apply_and_stays(tmp_path, monkeypatch, name):
    path = save(tmp_path, name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT // 4)  # above the double is an error
    monkeypatch.setattr("d2sfm.photographs.reading._STRIP_ROWS", HEIGHT // 4)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path).load()
    assert check_photograph(path) == (WIDTH, HEIGHT)
    assert Image.MAX_IMAGE_PIXELS == WIDTH * HEIGHT // 4


def test_a_png_may_have_a_long_text_and_a_large_colour_profile(tmp_path):
    texts = PngInfo()
    texts.add_text("notes", 3_000_000 * "a", zip=True)
    RGB.save(tmp_path / "a.png", pnginfo=texts, icc_profile=bytes(2_000_000))
    limits = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
    assert read_header(tmp_path / "a.png") == ((WIDTH, HEIGHT), 1)
    assert check_photograph(tmp_path / "a.png") == (WIDTH, HEIGHT)
    assert limits == (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY)


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
