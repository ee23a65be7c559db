"""Photographs of many formats: what is copied, what is converted, and how it lies then."""

import os
import sys

import numpy as np
import pycolmap
import pytest
from PIL import Image, features
from support.phone_files import exif_of, require_upright, upright_picture
from support.pictures import EIGHT_BIT, RGBA, save

from d2sfm.coordinates import stored_array, upright_array
from d2sfm.photographs.headers import read_header
from d2sfm.photographs.reading import load_photograph
from d2sfm.preparation.prepare import prepare

UPRIGHT = upright_picture()
TURNS = [None, 1, 3, 6, 8, 5]


def require_turned_once(path, orientation):
    """The tag is that of the camera, the pixels are as the camera stored them, and together they are upright."""
    (width, height), found = read_header(path)
    assert found == (orientation or 1)
    assert ((height, width) == UPRIGHT.shape[:2]) == (orientation not in (5, 6, 7, 8))
    require_upright(upright_array(load_photograph(path), found))


def stored(orientation):
    return Image.fromarray(np.ascontiguousarray(stored_array(UPRIGHT, orientation or 1)))


def prepared(tmp_path, name):
    """The only file that is made of tmp_path/name."""
    summary = prepare([tmp_path / name], tmp_path / "photos")
    assert (summary.copied, summary.converted, summary.skipped) == (0, 1, {})
    [path] = (tmp_path / "photos").iterdir()
    return path


@pytest.mark.parametrize("name", ["rgb.jpg", "rgba.png", "lzw.tif", "rgb.bmp", "UPPER CASE.JPEG"])
def test_what_colmap_reads_is_copied_byte_for_byte(tmp_path, name):
    source = save(tmp_path, name)
    os.utime(source, ns=(10**18, 10**18))
    summary = prepare([source], tmp_path / "photos")
    assert (summary.copied, summary.converted) == (1, 0)
    assert (tmp_path / "photos" / name).read_bytes() == source.read_bytes()
    assert (tmp_path / "photos" / name).stat().st_mtime_ns == 10**18


@pytest.mark.parametrize("orientation", TURNS)
def test_heic_is_turned_once(tmp_path, orientation):
    pytest.importorskip("pillow_heif").register_heif_opener()
    stored(orientation).save(tmp_path / "a.HEIC", exif=exif_of(orientation).tobytes(), quality=95)
    path = prepared(tmp_path, "a.HEIC")
    assert path.name == "a.HEIC.jpg"
    require_turned_once(path, orientation)


def test_a_tag_that_heic_viewers_do_not_follow_changes_nothing_of_what_they_show(tmp_path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    # Given as an object, the tag is not seen by pillow-heif's writer, which leaves the turn out of the file itself.
    Image.fromarray(UPRIGHT).save(tmp_path / "a.heic", exif=exif_of(6), quality=95)
    with Image.open(tmp_path / "a.heic") as shown:
        assert shown.info["original_orientation"] == 6
        require_upright(np.asarray(shown))
    require_turned_once(prepared(tmp_path, "a.heic"), 6)


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["webp", "avif"])
def test_webp_and_avif_are_turned_once(tmp_path, kind, orientation):
    if not features.check(kind):
        pytest.skip(f"this Pillow reads no {kind}")
    stored(orientation).save(tmp_path / f"a.{kind}", exif=exif_of(orientation), quality=95)
    require_turned_once(prepared(tmp_path, f"a.{kind}"), orientation)


@pytest.mark.parametrize("kind", ["webp", "heic"])
def test_exif_is_kept_as_colmap_reads_it(tmp_path, kind):
    if kind == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    exif = exif_of(6, focal_35mm=27, maker_note=b"#" * 70_000)  # more than fits in a JPEG
    stored(6).save(tmp_path / f"a.{kind}", exif=exif.tobytes())
    stored(6).save(tmp_path / "a.jpg", exif=exif_of(6, focal_35mm=27))
    paths = prepared(tmp_path, f"a.{kind}"), tmp_path / "a.jpg"
    found, expected = (pycolmap.Bitmap.read(path, True) for path in paths)
    for of in (found, expected):
        assert of.exif_latitude() == pytest.approx(48 + 8 / 60)
        assert of.exif_longitude() == pytest.approx(11 + 34 / 60)
    assert found.exif_focal_length() == expected.exif_focal_length() > 0
    assert found.exif_camera_model() == expected.exif_camera_model()


def test_damaged_exif_is_left_out(tmp_path):
    stored(None).save(tmp_path / "a.webp", exif=b"Exif\x00\x00II*\x00\xff\xff\x00\x00 damaged")
    require_turned_once(prepared(tmp_path, "a.webp"), None)


def test_colours_stay(tmp_path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    for name in ("a.heic", "a.webp"):
        Image.fromarray(UPRIGHT).save(tmp_path / name, quality=100, chroma=444, lossless=True)
        prepare([tmp_path / name], tmp_path / "photos")
        made = load_photograph(tmp_path / "photos" / f"{name}.jpg").astype(int)
        assert np.abs(made - UPRIGHT).max() <= 12  # of JPEG, at the edges of red and blue: its colours are not coarser
        assert np.abs(made - UPRIGHT).mean() < 1


def test_of_a_gif_the_first_frame_is_taken(tmp_path):
    other = Image.new("RGB", (96, 64), "white")
    Image.fromarray(UPRIGHT).save(tmp_path / "a.gif", save_all=True, append_images=[other, other])
    require_turned_once(prepared(tmp_path, "a.gif"), None)


@pytest.mark.parametrize("kind", ["webp", "avif", "heic"])
def test_alpha_is_kept_where_it_says_something(tmp_path, kind):
    if kind == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    elif not features.check(kind):
        pytest.skip(f"this Pillow reads no {kind}")
    RGBA.save(tmp_path / f"alpha.{kind}", quality=100)
    whole = RGBA.copy()
    whole.putalpha(255)
    whole.save(tmp_path / f"whole.{kind}", quality=100)
    prepare([tmp_path / f"alpha.{kind}", tmp_path / f"whole.{kind}"], tmp_path / "photos")
    assert sorted(os.listdir(tmp_path / "photos")) == [f"alpha.{kind}.png", f"whole.{kind}.jpg"]
    with Image.open(tmp_path / "photos" / f"alpha.{kind}.png") as made:
        assert np.abs(np.asarray(made)[..., 3].astype(int) - np.asarray(RGBA)[..., 3]).max() <= 4


@pytest.mark.skipif(not features.check("jpg_2000"), reason="this Pillow reads no JPEG 2000")
def test_16_bits_of_grey_are_kept(tmp_path):
    deep = (np.arange(96 * 64).reshape(64, 96) * 10).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "a.jp2", irreversible=False)
    path = prepared(tmp_path, "a.jp2")
    with Image.open(path) as made:
        assert np.array_equal(np.asarray(made), deep)


def test_the_content_decides_not_the_name(tmp_path):
    Image.fromarray(UPRIGHT).save(tmp_path / "a.webp")
    (tmp_path / "a.webp").rename(tmp_path / "sent.jpg")
    assert prepared(tmp_path, "sent.jpg").name == "sent.jpg.jpg"


def test_heic_that_is_called_jpeg(tmp_path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    stored(6).save(tmp_path / "a.heic", exif=exif_of(6).tobytes())
    (tmp_path / "a.heic").rename(tmp_path / "sent.jpg")
    require_turned_once(prepared(tmp_path, "sent.jpg"), 6)


def test_what_is_broken_is_named(tmp_path):
    RGBA.save(tmp_path / "cut.webp")
    content = (tmp_path / "cut.webp").read_bytes()
    (tmp_path / "cut.webp").write_bytes(content[: len(content) // 2])
    (tmp_path / "noise.heic").write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(500))
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.heic").touch()
    (tmp_path / "a.jxl").write_bytes(b"\xff\x0a" + bytes(100))
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    save(tmp_path, "rgb.png")
    summary = prepare([tmp_path], tmp_path / "photos")
    assert os.listdir(tmp_path / "photos") == ["rgb.png"]
    assert len(summary.skipped) == 7
    assert summary.skipped["cut.webp"].startswith("is damaged")
    assert "a format that Pillow can't read" in summary.skipped["a.jxl"]
    assert summary.skipped["empty.heic"] == "is an empty file"
    assert summary.skipped["gone.jpg"] == "is a link to a file that does not exist"
    assert summary.skipped["pipe.jpg"] == "cannot be opened: it is not a regular file"


def test_without_pillow_heif_the_others_are_prepared(tmp_path, monkeypatch):
    pytest.importorskip("pillow_heif").register_heif_opener()
    Image.fromarray(UPRIGHT).save(tmp_path / "a.heic")
    Image.fromarray(UPRIGHT).save(tmp_path / "b.webp")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(Image, "ID", [kind for kind in Image.ID if kind != "HEIF"])
    summary = prepare([tmp_path], tmp_path / "photos")
    assert summary.skipped == {"a.heic": 'needs pillow-heif: pip install "d2sfm[phone]"'}
    assert summary.converted == 1


def test_what_jpeg_can_not_hold_is_named(tmp_path):
    Image.new("RGB", (65_501, 1)).save(tmp_path / "long.gif")
    assert prepare([tmp_path], tmp_path / "photos").skipped == {"long.gif": "is 65501 x 1 pixels, too large for JPEG"}


def test_every_kind_that_the_project_reads_is_copied(tmp_path):
    for name in EIGHT_BIT:
        save(tmp_path, name)
    summary = prepare([tmp_path], tmp_path / "photos")
    assert summary.copied == len(EIGHT_BIT)
    assert summary.skipped == {}
