"""Which files below a folder are photographs."""

import logging
import os
from pathlib import Path

import pytest

from d2sfm.photographs.reading import list_photographs


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


def test_links_to_files_are_photographs_and_links_to_folders_are_not_followed(tmp_path):
    photographs, elsewhere = tmp_path / "photographs", tmp_path / "elsewhere"
    photographs.mkdir()
    elsewhere.mkdir()
    (elsewhere / "a.jpg").touch()
    (photographs / "link.jpg").symlink_to(elsewhere / "a.jpg")
    (photographs / "folder").symlink_to(elsewhere)
    assert list_photographs(photographs) == ["link.jpg"]


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
