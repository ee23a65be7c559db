"""Parts of JPEG and PNG files, and blank copies: COLMAP must learn from them what it learns from the photographs."""

import io
import sqlite3
import struct
import zlib
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from PIL import Image, PngImagePlugin

from d2sfm.containers import jpeg_coding, jpeg_segments, png_chunks, write_blank_copy

SIZE = (61, 40)
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8))
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def exif_of(**changes) -> Image.Exif:
    """Metadata from which COLMAP takes the focal length, the camera's name, the position and the orientation."""
    exif = Image.Exif()
    exif[0x10F], exif[0x110], exif[0x112] = "Fujifilm", changes.get("model", "X100"), changes.get("orientation", 1)
    if "focal" in changes:
        exif.get_ifd(0x8769)[0x920A] = changes["focal"]
    if "focal_35mm" in changes:
        exif.get_ifd(0x8769)[0xA405] = changes["focal_35mm"]
    if "latitude" in changes:
        exif.get_ifd(0x8825).update({1: "N", 2: changes["latitude"], 3: "E", 4: (9.0, 10.0, 11.0), 5: 0, 6: 120.0})
    return exif


def png_text() -> PngImagePlugin.PngInfo:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "a picture")
    text.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    return text


EXIF = {"focal": 23.0, "focal_35mm": 35, "latitude": (47.0, 1.0, 2.5)}
KINDS = {  # file name: mode, options of Pillow's save
    "plain.jpg": ("RGB", {}),
    "exif.jpg": ("RGB", {"exif": exif_of(**EXIF)}),
    "exif again.jpg": ("RGB", {"exif": exif_of(**EXIF)}),  # of the same camera
    "turned.jpg": ("RGB", {"exif": exif_of(**EXIF, orientation=6)}),
    "sensor.jpg": ("RGB", {"exif": exif_of(focal=5.8, model="DSC-W80")}),
    "grey.jpg": ("L", {"exif": exif_of(focal_35mm=50)}),
    "cmyk.jpg": ("CMYK", {"exif": exif_of(focal_35mm=28)}),
    "progressive.jpg": ("RGB", {"progressive": True, "exif": exif_of(focal_35mm=28), "dpi": (300, 300)}),
    "comment.jpg": ("RGB", {"comment": "a picture", "icc_profile": bytes(5000), "keep_rgb": True}),
    "several.mpo": ("RGB", {"save_all": True, "append_images": [PICTURE.resize((20, 10))]}),
    "plain.png": ("RGB", {}),
    "exif.png": ("RGBA", {"exif": exif_of(**EXIF)}),
    "text.png": ("L", {"pnginfo": png_text(), "exif": exif_of(focal_35mm=50)}),
    "palette.png": ("P", {"transparency": 3, "dpi": (72, 72)}),
}


def save(path: Path) -> Path:
    mode, options = KINDS[path.name]
    PICTURE.convert(mode).save(path, **options)
    return path


def imported(database: Path, folder: Path) -> dict[str, list]:
    """The rows of every table that COLMAP's import fills."""
    pycolmap.Database.open(database).close()
    pycolmap.import_images(database, folder, image_names=sorted(KINDS))
    connection = sqlite3.connect(database)
    tables = ("cameras", "images", "rigs", "rig_sensors", "frames", "frame_data", "pose_priors")
    rows = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
    connection.close()
    return rows


def test_colmap_imports_blank_copies_as_it_imports_the_photographs(tmp_path):
    photographs, copies = tmp_path / "photographs", tmp_path / "copies"
    photographs.mkdir()
    copies.mkdir()
    for name in KINDS:
        assert write_blank_copy(save(photographs / name), copies / name)
    of_photographs = imported(tmp_path / "photographs.db", photographs)
    assert imported(tmp_path / "copies.db", copies) == of_photographs
    assert len(of_photographs["images"]) == len(KINDS)
    assert len(of_photographs["cameras"]) < len(KINDS)  # the metadata tell that some are of one camera
    positions = [np.frombuffer(row[4]) for row in of_photographs["pose_priors"]]  # NaN where there is none
    assert sum(np.isfinite(position).all() for position in positions) == 4


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (9, 7), (640, 481), (5000, 3)])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_blank_copies_are_whole_pictures_of_one_grey(tmp_path, suffix, size):
    PICTURE.resize(size).save(tmp_path / f"a{suffix}")
    assert write_blank_copy(tmp_path / f"a{suffix}", tmp_path / f"b{suffix}")
    with Image.open(tmp_path / f"b{suffix}") as copy:
        copy.load()
        assert copy.size == size
        assert copy.convert("L").getextrema() == ((128, 128) if suffix == ".jpg" else (0, 0))
    assert pycolmap.Bitmap.read(tmp_path / f"b{suffix}", as_rgb=True).to_array().shape == (size[1], size[0], 3)


@pytest.mark.parametrize("name", ["exif.jpg", "exif.png"])
def test_a_file_that_is_cut_short_in_its_pixels_has_a_blank_copy(tmp_path, name, capfd):
    content = save(tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) * 4 // 5])
    assert write_blank_copy(tmp_path / name, tmp_path / "copy")
    camera = pycolmap.infer_camera_from_image(tmp_path / "copy")
    assert (camera.width, camera.height, camera.has_prior_focal_length) == (*SIZE, True)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["exif.jpg", "exif.png"])
@pytest.mark.parametrize("kept", [0, 1, 2, 3, 5, 9, 20, 31, 150])
def test_a_file_without_its_header_has_no_copy(tmp_path, name, kept):
    content = save(tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:kept])
    assert not write_blank_copy(tmp_path / name, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, about the metadata
@pytest.mark.parametrize("name", ["exif.jpg", "exif.png"])
def test_any_damage_to_a_header_gives_a_whole_copy_or_none(tmp_path, name):
    content, generator = save(tmp_path / name).read_bytes(), np.random.default_rng(0)
    outcomes = []
    for _ in range(200):
        damaged = bytearray(content)
        for place in generator.integers(0, 400, 3):
            damaged[place] = generator.integers(0, 256)
        (tmp_path / name).write_bytes(damaged)
        outcomes.append(write_blank_copy(tmp_path / name, tmp_path / "copy"))
        if outcomes[-1]:
            with Image.open(tmp_path / "copy") as copy:
                copy.load()
    assert set(outcomes) == {True, False}


def test_other_formats_have_no_copy(tmp_path):
    for suffix in ("tif", "bmp", "ppm", "tga", "webp"):
        PICTURE.save(tmp_path / f"a.{suffix}")
        assert not write_blank_copy(tmp_path / f"a.{suffix}", tmp_path / "copy")


def test_segments_of_a_jpeg_with_fill_bytes():
    stream = io.BytesIO()
    PICTURE.save(stream, "JPEG")
    content = stream.getvalue()
    segments = list(jpeg_segments(io.BytesIO(content)))
    assert segments[0] == (0xE0, content[6:20])
    assert segments[-1][0] == 0xDA
    assert list(jpeg_segments(io.BytesIO(content[:2] + b"\xff\xff" + content[2:]))) == segments
    with pytest.raises(ValueError, match="no marker"):
        list(jpeg_segments(io.BytesIO(content[:2] + b"\x00" + content[2:])))
    with pytest.raises(ValueError, match="no JPEG"):
        list(jpeg_segments(io.BytesIO(b"no picture")))


def test_the_coding_of_a_jpeg():
    for progressive, coding in ((False, 0xC0), (True, 0xC2)):
        stream = io.BytesIO()
        PICTURE.save(stream, "JPEG", progressive=progressive)
        stream.seek(0)
        assert jpeg_coding(stream) == coding
    scan = b"\xff\xda" + struct.pack(">H", 2)
    with pytest.raises(ValueError, match="no frame"):
        jpeg_coding(io.BytesIO(b"\xff\xd8" + scan))


def test_chunks_of_a_png_with_their_checksums():
    chunk = struct.pack(">I", 3) + b"teXt" + b"abc" + struct.pack(">I", zlib.crc32(b"teXtabc"))
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    assert list(png_chunks(io.BytesIO(PNG_MAGIC + chunk + chunk + end))) == [(b"teXt", b"abc")] * 2
    assert list(png_chunks(io.BytesIO(PNG_MAGIC + chunk + end), end=b"teXt")) == []
    for broken in (chunk + chunk, chunk.replace(b"abc", b"abd") + end, chunk[:-1]):
        with pytest.raises(ValueError, match="cut short"):
            list(png_chunks(io.BytesIO(PNG_MAGIC + broken)))
    with pytest.raises(ValueError, match="no PNG"):
        list(png_chunks(io.BytesIO(b"no picture")))
