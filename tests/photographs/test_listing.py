"""Which files below a folder are photographs."""

import logging
import os
from pathlib import Path

import pytest

from d2sfm.photographs.reading import list_photographs, read_image_list


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


def test_links_are_followed_where_they_make_no_circle(tmp_path, caplog):
    """The case symlinked_folder: photographs of several days, collected by links to folders."""
    photographs, elsewhere = tmp_path / "photographs", tmp_path / "elsewhere"
    (photographs / "day1").mkdir(parents=True)
    (elsewhere / "sub").mkdir(parents=True)
    for path in (elsewhere / "a.jpg", elsewhere / "sub" / "b.jpg", photographs / "day1" / "c.jpg"):
        path.touch()
    (photographs / "link.jpg").symlink_to(elsewhere / "a.jpg")
    (photographs / "day2").symlink_to("../elsewhere")
    assert list_photographs(photographs) == ["day1/c.jpg", "day2/a.jpg", "day2/sub/b.jpg", "link.jpg"]
    assert not caplog.records
    # Circles: to itself, to a parent, and by way of another folder.
    (photographs / "day1" / "up").symlink_to(photographs)
    (elsewhere / "sub" / "round").symlink_to(elsewhere)
    assert list_photographs(photographs) == ["day1/c.jpg", "day2/a.jpg", "day2/sub/b.jpg", "link.jpg"]
    assert [record.getMessage().partition(" leads back to ")[0] for record in caplog.records] == [
        f"ignored: the link {photographs / 'day1' / 'up'}",
        f"ignored: the link {photographs / 'day2' / 'sub' / 'round'}",
    ]


def test_folders_that_link_to_each_other_end(tmp_path):
    for one, other in ("ab", "ba"):
        (tmp_path / one).mkdir()
        (tmp_path / one / f"{one}.jpg").touch()
        (tmp_path / one / "link").symlink_to(tmp_path / other)
    assert list_photographs(tmp_path) == ["a/a.jpg", "a/link/b.jpg", "b/b.jpg", "b/link/a.jpg"]


def test_files_without_a_suffix_are_named(tmp_path, caplog):
    for name in ("a.jpg", "IMG_1", "sub/IMG_0", ".hidden", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list_photographs(tmp_path) == ["a.jpg"]
    assert "ignored, as their names have no suffix such as .jpg: 2 files (IMG_1 the first)" in caplog.text


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


def test_lists_of_other_editors_are_read(tmp_path):
    (tmp_path / "list.txt").write_bytes("\ufeffa b.jpg\r\n\u00fc\u2028.jpg\r\n".encode())
    assert read_image_list(tmp_path / "list.txt") == ["a b.jpg", "\u00fc\u2028.jpg"]


def test_lists_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_image_list(tmp_path / "none.txt")
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(ValueError, match="names no photographs"):
        read_image_list(tmp_path / "empty.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not a text file"):
        read_image_list(tmp_path / "binary.txt")
