"""Which files are prepared, under which names."""

import pytest

from d2sfm.preparation.prepare import prepare
from d2sfm.preparation.sources import find_sources


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_files_are_told_by_suffix_and_keep_their_names_below_the_source(tmp_path):
    touch(tmp_path, "DCIM/b.JPG", "DCIM/100/a.heic", "DCIM/100/r.CR2", "DCIM/v.Mov", "DCIM/x.txt", "DCIM/noext")
    touch(tmp_path, "DCIM/._b.JPG", "DCIM/.trash/c.jpg", "one.png")
    found = find_sources([tmp_path / "DCIM", tmp_path / "one.png"], tmp_path / "photos")
    assert list(found.photographs) == ["100/a.heic", "b.JPG", "one.png"]
    assert found.photographs["100/a.heic"] == tmp_path / "DCIM" / "100" / "a.heic"
    assert (list(found.raws), list(found.videos), found.others) == (["100/r.CR2"], ["v.Mov"], ["noext", "x.txt"])


def test_of_a_live_photo_the_still_is_taken_and_of_raw_with_jpeg_the_jpeg(tmp_path):
    touch(tmp_path, "IMG_1.HEIC", "IMG_1.MOV", "IMG_2.jpg", "img_2.mp4", "IMG_3.DNG", "IMG_3.JPG")
    touch(tmp_path, "sub/IMG_1.MOV", "IMG_4.PNG", "IMG_4.MOV", "IMG_5.DNG")  # these are no pairs
    found = find_sources([tmp_path], tmp_path / "photos")
    assert found.live_movies == ["IMG_1.MOV", "img_2.mp4"]
    assert found.raw_doubles == ["IMG_3.DNG"]
    assert list(found.videos) == ["IMG_4.MOV", "sub/IMG_1.MOV"]
    assert list(found.raws) == ["IMG_5.DNG"]


def test_two_files_of_one_name_are_refused_and_the_same_file_twice_is_one(tmp_path):
    touch(tmp_path, "a/IMG_1.JPG", "b/IMG_1.JPG")
    assert list(find_sources([tmp_path / "a", tmp_path / "a" / "IMG_1.JPG"], tmp_path / "photos").photographs) == [
        "IMG_1.JPG"
    ]
    with pytest.raises(
        ValueError,
        match=r"a/IMG_1.JPG and .*b/IMG_1.JPG would get the same name in .*photos: prepare "
        "them",
    ):
        find_sources([tmp_path / "a", tmp_path / "b"], tmp_path / "photos")


def test_the_output_is_no_source(tmp_path, monkeypatch):
    touch(tmp_path, "a.jpg", "photos/b.jpg", "photos2/c.jpg")
    monkeypatch.chdir(tmp_path)
    assert list(find_sources(["."], tmp_path / "photos").photographs) == ["a.jpg", "photos2/c.jpg"]
    for source in ("photos", "photos/"):
        with pytest.raises(ValueError, match="is in the output photos: give another --output"):
            find_sources([source], tmp_path.relative_to(tmp_path) / "photos")


def test_sources_that_are_missing_or_empty_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file or folder: .*nowhere"):
        prepare([tmp_path / "nowhere"], tmp_path / "photos")
    touch(tmp_path, "in/notes.txt")
    with pytest.raises(ValueError, match="the sources hold neither photographs nor videos"):
        prepare([tmp_path / "in"], tmp_path / "photos")
    touch(tmp_path, "a.jpg", "file")
    with pytest.raises(ValueError, match="file is a file, expected a folder for the photographs"):
        prepare([tmp_path / "a.jpg"], tmp_path / "file")
    assert not (tmp_path / "photos").exists()
