"""Runs of preparation: what a second one does, and what is never lost."""

import errno
import io
import os

import pytest
from PIL import Image
from support.phone_files import upright_picture

from d2sfm.preparation import origin, stills
from d2sfm.preparation.prepare import prepare

UPRIGHT = upright_picture()


@pytest.fixture
def source(tmp_path):
    """A folder with a photograph of each kind of work, without any extra."""
    folder = tmp_path / "phone"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(UPRIGHT).save(folder / "a.jpg")
    Image.fromarray(UPRIGHT).save(folder / "sub" / "b.webp")
    Image.fromarray(UPRIGHT).convert("RGBA").resize((40, 30)).rotate(20).save(folder / "c.webp")
    return folder


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_run_does_what_is_missing(source, tmp_path):
    prepare([source], tmp_path / "photos")
    before = contents(tmp_path / "photos")
    assert sorted(before) == ["a.jpg", "c.webp.png", "sub/b.webp.jpg"]
    (tmp_path / "photos" / "sub" / "b.webp.jpg").unlink()
    again = prepare([source], tmp_path / "photos")
    assert (again.copied, again.converted, again.already_there) == (0, 1, 2)
    assert contents(tmp_path / "photos") == before
    assert str(again).endswith("in " + str(tmp_path / "photos") + ", 2 there already")


def test_a_name_that_gets_too_long_is_skipped(source, tmp_path):
    longest = "x" * 250 + ".webp"
    (source / "c.webp").rename(source / longest)
    summary = prepare([source], tmp_path / "photos")
    assert summary.skipped == {longest: "File name too long"}
    assert (summary.copied, summary.converted) == (1, 1)


def test_photographs_that_were_touched_or_copied_again_are_still_there(source, tmp_path):
    prepare([source], tmp_path / "photos")
    for path in source.rglob("*.*"):
        os.utime(path, ns=(10**18, 10**18))
    again = prepare([source], tmp_path / "photos")
    assert (again.already_there, again.skipped) == (3, {})


def test_nothing_is_overwritten_by_another_file_of_the_name(source, tmp_path):
    prepare([source], tmp_path / "photos")
    before = contents(tmp_path / "photos")
    other = tmp_path / "other phone"
    (other / "sub").mkdir(parents=True)
    for name in ("a.jpg", "sub/b.webp", "c.webp"):
        Image.new("RGB", (50, 50)).save(other / name)
    summary = prepare([other], tmp_path / "photos")
    assert sorted(summary.skipped) == ["a.jpg", "c.webp", "sub/b.webp"]
    for reason in summary.skipped.values():
        assert reason.endswith("which exists and is of another file: give another --output")
    assert contents(tmp_path / "photos") == before


@pytest.mark.parametrize(("name", "place"), [("a.jpg", "a.jpg"), ("c.webp", "c.webp.png"), ("c.webp", "c.webp.jpg")])
@pytest.mark.parametrize("is_folder", [False, True])
def test_what_is_in_the_place_of_a_photograph_stays(source, tmp_path, name, place, is_folder):
    (tmp_path / "photos").mkdir()
    if is_folder:
        (tmp_path / "photos" / place).mkdir()
    else:
        (tmp_path / "photos" / place).write_text("mine")
    assert list(prepare([source], tmp_path / "photos").skipped) == [name]
    assert (tmp_path / "photos" / place).is_dir() == is_folder


def test_a_full_disk_ends_the_run_and_names_the_file(source, tmp_path, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(stills, "replacing", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*photos/a.jpg'"):
        prepare([source], tmp_path / "photos")


def test_a_card_that_can_not_be_read_costs_its_photographs_only(source, tmp_path, monkeypatch):
    class Worn(io.BytesIO):
        def read(self, size=-1):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def open_file(path):
        return Worn() if path.name == "a.jpg" else whole(path)

    whole = origin.open_file
    monkeypatch.setattr(origin, "open_file", open_file)
    summary = prepare([source], tmp_path / "photos")
    assert summary.skipped == {"a.jpg": "cannot be read: Input/output error"}
    assert summary.converted == 2
