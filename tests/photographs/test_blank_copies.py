"""Blank copies: COLMAP must learn from them what it learns from the photographs."""

import sqlite3
import struct
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from PIL import Image, PngImagePlugin
from support.tiffs import LONG, tiff

from d2sfm.photographs.blank_copies import write_blank_copy

SIZE = (61, 40)
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8))


MAKE, MODEL, ORIENTATION, XMP_TAG, EXIF_IFD, GPS_IFD = 0x10F, 0x110, 0x112, 700, 0x8769, 0x8825
FOCAL_LENGTH, FOCAL_LENGTH_35MM = 0x920A, 0xA405


def exif_of(**changes) -> Image.Exif:
    """Metadata from which COLMAP takes the focal length, the camera's name, the position and the orientation."""
    exif = Image.Exif()
    exif[MAKE], exif[MODEL], exif[ORIENTATION] = "Fujifilm", changes.get("model", "X100"), changes.get("orientation", 1)
    ifds = {EXIF_IFD: {}, GPS_IFD: {}}
    if "focal" in changes:
        ifds[EXIF_IFD][FOCAL_LENGTH] = changes["focal"]
    if "focal_35mm" in changes:
        ifds[EXIF_IFD][FOCAL_LENGTH_35MM] = changes["focal_35mm"]
    if "latitude" in changes:
        ifds[GPS_IFD] |= {1: "N", 2: changes["latitude"], 3: "E", 4: (9.0, 10.0, 11.0), 5: 0, 6: 120.0}
    for tag, entries in ifds.items():
        if entries:
            exif.get_ifd(tag).update(entries)
            exif[tag] = entries  # without it, Pillow's TIFF leaves them out
    if "xmp" in changes:
        exif[XMP_TAG] = changes["xmp"]
    return exif


def xmp_of(focal_35mm: int) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
        f'exif:FocalLengthIn35mmFilm="{focal_35mm}"/></rdf:RDF></x:xmpmeta>'
    ).encode()


def texts_of(**texts: str | bytes) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        if isinstance(text, bytes):
            info.add_itxt("XML:com.adobe.xmp", text.decode())
        else:
            info.add_text(key.replace("_", ":"), text)
    return info


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
    "text.png": ("L", {"pnginfo": texts_of(Comment="a picture"), "exif": exif_of(focal_35mm=50)}),
    "focal length in a text.png": ("L", {"pnginfo": texts_of(Make="A", Model="B", Exif_FocalLengthIn35mmFilm="40")}),
    "palette.png": ("P", {"transparency": 3, "dpi": (72, 72)}),
    "xmp.jpg": ("RGB", {"xmp": xmp_of(31)}),
    "xmp.png": ("RGB", {"pnginfo": texts_of(xmp=xmp_of(31))}),
    "xmp.tif": ("RGB", {"tiffinfo": {XMP_TAG: xmp_of(31)}}),
    # What contradicts itself: COLMAP believes XMP, of PNG it believes EXIF.
    "xmp and exif.jpg": ("RGB", {"xmp": xmp_of(31), "exif": exif_of(**EXIF)}),
    "xmp and exif.png": ("RGB", {"pnginfo": texts_of(xmp=xmp_of(31)), "exif": exif_of(**EXIF)}),
    "xmp and exif.tif": ("RGB", {"exif": exif_of(**EXIF, xmp=xmp_of(31))}),
    "plain.tif": ("RGB", {"compression": "tiff_lzw"}),
    "exif.tif": ("RGB", {"exif": exif_of(**EXIF)}),
    "turned.tif": ("RGB", {"exif": exif_of(focal_35mm=50, orientation=6)}),
    "turned without focal length.tif": ("L", {"exif": exif_of(orientation=8)}),
    "plain.bmp": ("RGB", {}),
    "plain.ppm": ("RGB", {}),
    "plain.tga": ("RGB", {"compression": "tga_rle"}),
    "from the bottom.tga": ("RGB", {"orientation": -1}),
}
FOCAL_FROM_XMP = 31 / np.hypot(36, 24) * np.hypot(*SIZE)


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
        write_blank_copy(save(photographs / name), copies / name)
    of_photographs = imported(tmp_path / "photographs.db", photographs)
    assert imported(tmp_path / "copies.db", copies) == of_photographs
    assert len(of_photographs["images"]) == len(KINDS)
    assert len(of_photographs["cameras"]) < len(KINDS)  # the metadata tell that some are of one camera
    positions = [np.frombuffer(row[4]) for row in of_photographs["pose_priors"]]  # NaN where there is none
    assert sum(np.isfinite(position).all() for position in positions) == 8
    gravities = [tuple(np.frombuffer(row[6])) for row in of_photographs["pose_priors"]]
    assert {(0, 1, 0), (1, 0, 0), (-1, 0, 0)} <= set(gravities)  # of three orientations


@pytest.mark.parametrize("name", ["xmp.jpg", "xmp.png", "xmp.tif", "xmp and exif.jpg"])
def test_a_focal_length_in_xmp_is_found(tmp_path, name):
    write_blank_copy(save(tmp_path / name), tmp_path / "copy")
    camera = pycolmap.infer_camera_from_image(tmp_path / "copy")
    assert camera.has_prior_focal_length
    assert camera.mean_focal_length() == pytest.approx(FOCAL_FROM_XMP, rel=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (9, 7), (640, 481), (66_000, 3)])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_blank_copies_are_whole_pictures_of_the_size(tmp_path, suffix, size):
    size = (min(size[0], 65_500), size[1]) if suffix == ".jpg" else size  # JPEG ends there
    PICTURE.resize(size).save(tmp_path / f"a{suffix}")
    write_blank_copy(tmp_path / f"a{suffix}", tmp_path / f"b{suffix}")
    with Image.open(tmp_path / f"b{suffix}") as copy:
        copy.load()
        assert copy.size == size
    assert pycolmap.Bitmap.read(tmp_path / f"b{suffix}", as_rgb=True).to_array().shape == (size[1], size[0], 3)


@pytest.mark.parametrize("name", ["exif.jpg", "exif.png"])
def test_a_file_that_is_cut_short_in_its_pixels_has_a_blank_copy(tmp_path, name, capfd):
    content = save(tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) * 4 // 5])
    write_blank_copy(tmp_path / name, tmp_path / "copy")
    camera = pycolmap.infer_camera_from_image(tmp_path / "copy")
    assert (camera.width, camera.height, camera.has_prior_focal_length) == (*SIZE, True)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["exif.jpg", "exif.png", "exif.tif"])
@pytest.mark.parametrize("kept", [0, 1, 2, 3, 5, 9, 20, 31])
def test_a_file_without_its_header_has_no_copy(tmp_path, name, kept):
    content = save(tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:kept])
    with pytest.raises(ValueError, match=r"^is [^\n]+$"):
        write_blank_copy(tmp_path / name, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("name", ["exif.jpg", "exif.png", "xmp and exif.tif"])
def test_any_damage_to_a_header_gives_a_whole_copy_or_none(tmp_path, name):
    content, generator = save(tmp_path / name).read_bytes(), np.random.default_rng(0)
    outcomes = []
    for _ in range(200):
        damaged = bytearray(content)
        for place in generator.integers(0, 400, 3):
            damaged[place] = generator.integers(0, 256)
        (tmp_path / name).write_bytes(damaged)
        try:
            write_blank_copy(tmp_path / name, tmp_path / "copy")
            outcomes.append(True)
            with Image.open(tmp_path / "copy") as copy:
                copy.load()
        except ValueError:
            outcomes.append(False)
    assert set(outcomes) == {True, False}


def test_a_disk_that_is_full_is_no_damage(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(28, "No space left on device")

    photograph = save(tmp_path / "exif.jpg")
    monkeypatch.setattr(Image.Image, "save", refuse)
    with pytest.raises(OSError, match="No space left"):
        write_blank_copy(photograph, tmp_path / "copy")


def test_entries_of_another_type_than_their_tags_cost_themselves_alone(tmp_path):
    """Of a TIFF, whose EXIF has to be written again: here the altitude's reference is a text."""
    gps = struct.pack("<HHHI4sHHI4sI", 2, 1, 2, 2, b"N", 5, 2, 2, b"0", 0)
    beyond = len(tiff({GPS_IFD: (LONG, [0])}))
    (tmp_path / "odd.tif").write_bytes(tiff({GPS_IFD: (LONG, [beyond])}) + gps)
    write_blank_copy(tmp_path / "odd.tif", tmp_path / "blank.png")
    with Image.open(tmp_path / "blank.png") as picture:
        assert picture.getexif().get_ifd(GPS_IFD) == {1: "N"}
