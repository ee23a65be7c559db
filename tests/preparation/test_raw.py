"""Camera raw: how it lies when it is developed, and what EXIF tells of it."""

import io
import struct
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pycolmap
import pytest
from PIL import ExifTags, Image
from support.phone_files import dng, exif_of, require_upright, upright_picture

from d2sfm.coordinates import stored_array, upright_array
from d2sfm.photographs.headers import read_header
from d2sfm.photographs.reading import load_photograph
from d2sfm.preparation.prepare import prepare

rawpy = pytest.importorskip("rawpy")
UPRIGHT = upright_picture()


def prepared(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    summary = prepare([tmp_path / name], tmp_path / "photos")
    assert summary.skipped == {}
    return tmp_path / "photos" / f"{name}.jpg"


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_raw_is_turned_once(tmp_path, orientation):
    path = prepared(tmp_path, "a.DNG", dng(stored_array(UPRIGHT, orientation), orientation))
    (width, height), found = read_header(path)
    assert found == orientation
    assert ((height, width) == UPRIGHT.shape[:2]) == (orientation in (1, 3))
    require_upright(upright_array(load_photograph(path), found))


def test_exif_is_kept_as_colmap_reads_it(tmp_path):
    found = pycolmap.Bitmap.read(prepared(tmp_path, "a.dng", dng(UPRIGHT, 1)), True)
    assert found.exif_latitude() == pytest.approx(48 + 8 / 60)
    assert found.exif_focal_length() == pytest.approx(26 / np.hypot(36, 24) * np.hypot(96, 64), rel=1e-3)
    assert found.exif_camera_model().startswith("Maker-Camera")


def box(name, content):
    return struct.pack(">I", len(content) + 8) + name + content


def tiff_of(tags):
    exif = Image.Exif()
    exif.update(tags)
    return exif.tobytes().removeprefix(b"Exif\0\0")


def cr3():
    """The boxes of a CR3 file that hold EXIF."""
    exif = exif_of()
    parts = [
        box(b"CMT1", tiff_of({ExifTags.Base.Make: "Maker", ExifTags.Base.Model: "Phone", 274: 6})),
        box(b"CMT2", tiff_of(exif[ExifTags.IFD.Exif])),
        box(b"CMT3", b"notes of the maker"),
        box(b"CMT4", tiff_of(exif[ExifTags.IFD.GPSInfo])),
    ]
    return box(b"ftyp", b"crx \0\0\0\1crx isom") + box(b"moov", box(b"uuid", bytes(16) + b"".join(parts)))


def raf():
    """A RAF file's head, and the JPEG that it tells of."""
    jpeg = io.BytesIO()
    Image.new("RGB", (8, 8)).save(jpeg, "JPEG", exif=exif_of(6))
    return (b"FUJIFILMCCD-RAW ".ljust(84, b"0") + struct.pack(">II", 100, len(jpeg.getvalue()))).ljust(100) + (
        jpeg.getvalue()
    )


def orf():
    """As ORF and RW2, which have another number than 42 in the head of their TIFF."""
    tiff = tiff_of(exif_of(6))
    return {b"II": b"IIRO", b"MM": b"MMOR"}[tiff[:2]] + tiff[4:]


@pytest.mark.parametrize(("name", "content"), [("a.cr3", cr3()), ("a.raf", raf()), ("a.orf", orf())])
def test_exif_of_makers_with_ways_of_their_own(tmp_path, monkeypatch, name, content):
    """LibRaw knows their files by more than a test can make: what it gives is put in its place."""
    developed = SimpleNamespace(postprocess=lambda use_camera_wb: UPRIGHT)
    monkeypatch.setattr(rawpy, "imread", lambda stream: nullcontext(developed))
    path = prepared(tmp_path, name, content)
    assert read_header(path) == ((64, 96), 6)
    require_upright(upright_array(load_photograph(path), 6))
    found = pycolmap.Bitmap.read(path, True)
    assert found.exif_latitude() == pytest.approx(48 + 8 / 60)
    assert found.exif_longitude() == pytest.approx(11 + 34 / 60)
    assert found.exif_focal_length() == pytest.approx(69.33, rel=1e-3)
    assert found.exif_camera_model().startswith("Maker-Phone")


def test_what_is_broken_is_named(tmp_path, capfd):
    whole = dng(UPRIGHT, 1)
    (tmp_path / "cut.dng").write_bytes(whole[:-6000])
    (tmp_path / "noise.cr2").write_bytes(b"II*\0" + bytes(3000))
    (tmp_path / "whole.nef").write_bytes(whole)
    summary = prepare([tmp_path], tmp_path / "photos")
    assert summary.converted == 1
    assert sorted(summary.skipped) == ["cut.dng", "noise.cr2"]
    for reason in summary.skipped.values():
        assert reason.startswith("is damaged, or not a camera raw file known to LibRaw: ")


def test_without_rawpy_the_others_are_prepared(tmp_path, monkeypatch):
    (tmp_path / "a.dng").write_bytes(dng(UPRIGHT, 1))
    Image.fromarray(UPRIGHT).save(tmp_path / "b.jpg")
    monkeypatch.setitem(sys.modules, "rawpy", None)
    summary = prepare([tmp_path], tmp_path / "photos")
    assert summary.skipped == {"a.dng": 'needs rawpy: pip install "d2sfm[raw]"'}
    assert summary.copied == 1
