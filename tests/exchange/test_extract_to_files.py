"""A list of photographs becomes files beside them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import ExifTags, Image
from support.helpers import textured_picture
from support.photograph_folder import SMALL, write_photograph_folder

from d2sfm.cli import main
from d2sfm.exchange.extract_to_files import extract_to_files
from d2sfm.features.extractor import Extractor
from d2sfm.formats.npz_mat import read_features, read_fingerprint
from d2sfm.network import device
from d2sfm.options import Convention, ExtractionOptions, OutputType, StorageOptions

pytestmark = pytest.mark.usefixtures("narrow_network")


@pytest.fixture
def photographs(tmp_path):
    return write_photograph_folder(tmp_path / "photographs")


@pytest.mark.parametrize("output_type", list(OutputType))
def test_a_list_becomes_files_beside_the_photographs(tmp_path, photographs, output_type, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text("photographs/a.jpg\nphotographs/b c.png\n\n")
    options = ExtractionOptions(max_edge=96, convention=Convention.REFERENCE)
    storage = StorageOptions(output_type=output_type, output_extension=".feat")
    summary = extract_to_files(tmp_path / "list.txt", options=options, storage=storage)
    assert (summary.extracted, len(summary.skipped)) == (2, 0)
    stored = read_features(photographs / "b c.png.feat")
    fresh = Extractor(options).extract(photographs / "b c.png")
    assert stored.convention is Convention.REFERENCE
    assert np.array_equal(stored.keypoints, fresh.keypoints)
    assert np.array_equal(stored.descriptors, fresh.descriptors)


def test_files_of_the_same_settings_are_kept_and_others_named_and_replaced_on_request(tmp_path, photographs):
    (tmp_path / "list.txt").write_text(f"{photographs / 'a.jpg'}\n")
    run = {"storage": StorageOptions(output_extension=".feat")}
    extract_to_files(tmp_path / "list.txt", options=SMALL, **run)
    again = extract_to_files(tmp_path / "list.txt", options=SMALL, **run)
    assert (again.extracted, again.already_there) == (0, 1)
    before, others = (photographs / "a.jpg.feat").read_bytes(), ExtractionOptions(max_edge=64)
    refused = extract_to_files(tmp_path / "list.txt", options=others, **run)
    assert (refused.extracted, refused.already_there) == (0, 0)
    reason = "a.jpg.feat holds features of other settings: --overwrite replaces it"
    assert refused.skipped == {str(photographs / "a.jpg"): reason}
    assert (photographs / "a.jpg.feat").read_bytes() == before
    other = extract_to_files(tmp_path / "list.txt", options=others, overwrite=True, **run)
    assert (other.extracted, other.already_there) == (1, 0)
    assert read_features(photographs / "a.jpg.feat").input_size[0] == 64


def test_files_of_the_published_tool_and_of_others_stay_unless_replaced_on_request(tmp_path, photographs):
    published = photographs / "b c.png.d2-net"
    with published.open("wb") as stream:
        np.savez(stream, keypoints=np.zeros((5, 3)), scores=np.zeros(5), descriptors=np.zeros((5, 512)))
    before = published.read_bytes()
    summary = extract_to_files(images=photographs, options=SMALL)
    assert summary.extracted == 1
    assert summary.skipped == {
        name: f"{name}.d2-net was not written by d2sfm extract: --overwrite replaces it"
        for name in ("a.jpg", "b c.png")
    }
    assert published.read_bytes() == before
    assert (photographs / "a.jpg.d2-net").read_bytes() == b"features of an earlier run"
    assert extract_to_files(images=photographs, options=SMALL, overwrite=True).extracted == 3


@pytest.mark.parametrize("output_type", list(OutputType))
@pytest.mark.parametrize("kept", [0.5, 0])
def test_files_that_are_cut_short_are_made_again(tmp_path, photographs, output_type, kept):
    storage = StorageOptions(output_type=output_type, output_extension=".feat")
    run = {"images": photographs, "options": SMALL, "storage": storage}
    extract_to_files(**run)
    path = photographs / "a.jpg.feat"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    again = extract_to_files(**run)
    assert (again.extracted, again.already_there) == (1, 2)
    assert len(path.read_bytes()) == len(whole)


def test_files_of_photographs_that_were_turned_in_another_way_are_named(tmp_path, caplog):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(textured_picture(0, (96, 80))).save(tmp_path / "a.png", exif=exif)
    for first, then, message in (("exif", "none", "extracted upright"), ("none", "exif", "extracted without EXIF")):
        extract_to_files(images=tmp_path, options=replace(SMALL, orientation=first), overwrite=True)
        assert message not in caplog.text
        again = extract_to_files(images=tmp_path, options=replace(SMALL, orientation=then))
        assert (again.extracted, again.already_there) == (0, 1)
        assert message in caplog.text
        caplog.clear()


def test_why_a_photograph_is_unusable_is_told_before_what_its_file_holds(photographs):
    (photographs / "a.jpg").write_bytes(b"")
    assert extract_to_files(images=photographs, options=SMALL).skipped == {"a.jpg": "is an empty file"}


def test_files_are_in_float32_unless_told_otherwise(tmp_path, photographs, monkeypatch):
    monkeypatch.setattr(device, "has_bfloat16", lambda of: True)
    (tmp_path / "list.txt").write_text(f"{photographs / 'a.jpg'}\n")
    for told, expected in (("auto", "float32"), ("bfloat16", "bfloat16")):
        extract_to_files(tmp_path / "list.txt", options=replace(SMALL, precision=told), overwrite=True)
        assert json.loads(read_fingerprint(photographs / "a.jpg.d2-net"))["precision"] == expected


def test_files_of_another_type_are_replaced_on_request(tmp_path, photographs):
    (tmp_path / "list.txt").write_text(f"{photographs / 'a.jpg'}\n")
    for output_type in OutputType:
        storage = StorageOptions(output_type=output_type, output_extension=".feat")
        run = {"options": SMALL, "storage": storage, "overwrite": True}
        assert extract_to_files(tmp_path / "list.txt", **run).extracted == 1
    assert (photographs / "a.jpg.feat").read_bytes().startswith(b"MATLAB")


def test_a_folder_becomes_files_beside_the_photographs_and_no_database(tmp_path, photographs, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (photographs / "sub" / "b.webp").touch()
    run = ["extract", "photographs", "--output-type", "npz", "--output-extension", ".feat", "--max-edge", "96"]
    assert main([*run, "--only", "sub"]) == 1
    assert {path.name for path in photographs.rglob("*.feat")} == {"a.jpg.feat"}
    assert "warning: skipped sub/b.webp: " in capsys.readouterr().err
    assert main(run) == 1
    assert "extract: 2 photographs" in capsys.readouterr().out  # and one was there already
    assert {str(path.relative_to(photographs)) for path in photographs.rglob("*.feat")} == {
        "a.jpg.feat",
        "b c.png.feat",
        "sub/a.jpg.feat",
    }
    assert not (tmp_path / "db.db").exists()
    assert read_features(photographs / "a.jpg.feat").input_size[0] == 96


@pytest.mark.parametrize("option", [["--output-type", "npz"], ["--output-extension", ".d2-net"]])
def test_each_option_of_files_asks_for_them(tmp_path, photographs, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    (photographs / "a.jpg.d2-net").unlink()
    assert main(["extract", "--images", "photographs", "--max-edge", "32", *option]) == 0
    assert (photographs / "b c.png.d2-net").read_bytes().startswith(b"PK")
    assert not (tmp_path / "db.db").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--masks", "m"], "--masks and --camera-mask go with --images and a database"),
        (["--cache", "m"], "--cache and --cache-limit go with --images and a database"),
        (["--camera-mode", "single"], "the options of cameras go with --images and a database"),
        (["--only", "none"], "none of the 3 photographs below photographs matches 'none' of --only"),
    ],
)
def test_what_goes_with_a_database_is_refused_for_files(tmp_path, photographs, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    assert main(["extract", "photographs", "--output-type", "mat", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_photograph_counts_as_wide_as_it_is_upright(tmp_path):
    """The network works in strips of the upright picture, which --memory-limit has to hold."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture = Image.fromarray(textured_picture(0, (320, 96)))
    picture.save(tmp_path / "tall.png", exif=exif)
    picture.save(tmp_path / "wide.png")
    summary = extract_to_files(images=tmp_path, options=replace(SMALL, max_edge=320, memory_limit=0.002))
    assert list(summary.skipped) == ["wide.png"]


def test_missing_and_damaged_files_of_a_list_are_named(tmp_path, photographs):
    whole = (photographs / "a.jpg").read_bytes()
    (photographs / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    names = [str(photographs / name) for name in ("none.jpg", "cut.jpg", "a.jpg")]
    (tmp_path / "list.txt").write_text("\n".join(names))
    summary = extract_to_files(tmp_path / "list.txt", options=SMALL, storage=StorageOptions(output_extension=".x"))
    assert sorted(summary.skipped) == sorted(names[:2])
    assert (photographs / "a.jpg.x").exists()
    assert not (photographs / "cut.jpg.x").exists()


def test_neither_or_both_of_a_list_and_a_folder(tmp_path):
    some = {"image_list": tmp_path / "none.txt"}
    for given in ({}, {**some, "images": tmp_path}, {**some, "only": ["a"]}):
        with pytest.raises(ValueError, match="expected image_list or images, not both"):
            extract_to_files(**given)


def test_files_of_the_same_settings_are_overwritten_on_request(tmp_path, photographs):
    (tmp_path / "list.txt").write_text(f"{photographs / 'a.jpg'}\n")
    run = {"options": SMALL, "storage": StorageOptions(output_extension=".feat")}
    for overwrite, extracted in ((False, 1), (False, 0), (True, 1)):
        assert extract_to_files(tmp_path / "list.txt", overwrite=overwrite, **run).extracted == extracted
