"""Camera raw: how it lies when it is developed, and what EXIF tells of it."""

import io
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pycolmap
import pytest
from PIL import Image
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


def test_makers_that_write_another_number_into_the_head_of_their_tiff(tmp_path, monkeypatch):
    """As ORF and RW2; LibRaw, which knows them by more than that, reads the DNG in their place."""
    whole, imread = dng(UPRIGHT, 1), rawpy.imread
    monkeypatch.setattr(rawpy, "imread", lambda stream: imread(io.BytesIO(whole)))
    path = prepared(tmp_path, "a.orf", b"IIRO" + whole[4:])
    assert Image.open(path).getexif() == Image.open(prepared(tmp_path, "a.dng", whole)).getexif()
    assert pycolmap.Bitmap.read(path, True).exif_latitude() == pytest.approx(48 + 8 / 60)


def test_of_a_file_that_is_no_tiff_exif_is_that_of_its_preview(tmp_path, monkeypatch):
    preview = io.BytesIO()
    Image.new("RGB", (8, 8)).save(preview, "JPEG", exif=exif_of(6))
    raw = SimpleNamespace(
        postprocess=lambda use_camera_wb: UPRIGHT,
        extract_thumb=lambda: SimpleNamespace(format=rawpy.ThumbFormat.JPEG, data=preview.getvalue()),
    )
    monkeypatch.setattr(rawpy, "imread", lambda stream: nullcontext(raw))
    path = prepared(tmp_path, "a.raf", b"FUJIFILM")
    assert read_header(path) == ((64, 96), 6)
    require_upright(upright_array(load_photograph(path), 6))
    assert pycolmap.Bitmap.read(path, True).exif_latitude() == pytest.approx(48 + 8 / 60)


def test_what_is_broken_is_named(tmp_path, capfd):
    whole = dng(UPRIGHT, 1)
    (tmp_path / "cut.dng").write_bytes(whole[:-6000])
    (tmp_path / "noise.cr2").write_bytes(b"II*\0" + bytes(3000))
    (tmp_path / "whole.nef").write_bytes(whole)
    summary = prepare([tmp_path], tmp_path / "photos")
    assert summary.converted == 1
    assert sorted(summary.skipped) == ["cut.dng", "noise.cr2"]
    for reason in summary.skipped.values():
        assert reason.startswith("is damaged, or no camera raw that LibRaw knows: ")


def test_without_rawpy_the_others_are_prepared(tmp_path, monkeypatch):
    (tmp_path / "a.dng").write_bytes(dng(UPRIGHT, 1))
    Image.fromarray(UPRIGHT).save(tmp_path / "b.jpg")
    monkeypatch.setitem(sys.modules, "rawpy", None)
    summary = prepare([tmp_path], tmp_path / "photos")
    assert summary.skipped == {"a.dng": 'needs rawpy: pip install "d2sfm[raw]"'}
    assert summary.copied == 1
