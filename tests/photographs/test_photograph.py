"""Photographs by their headers: in order, each opened once."""

import logging

import pytest
from support.pictures import HEIGHT, WIDTH, save, save_turned, shorten

from d2sfm.photographs import photograph as photograph_module
from d2sfm.photographs.photograph import Photograph, gone_photographs, read_headers
from d2sfm.skipped import Skipped


def test_what_can_be_used_comes_in_order_and_the_rest_is_skipped_in_order(tmp_path):
    names = ["rgb.png", "none.jpg", "lzw.tif", "grey.png", "empty.jpg", "rgb.jpg"]
    for name in ("rgb.png", "lzw.tif", "grey.png", "rgb.jpg"):
        save(tmp_path, name)
    save_turned(tmp_path / "rgb.jpg", 6)
    shorten(tmp_path / "rgb.png", 0.9)  # its pixels are not looked at
    (tmp_path / "empty.jpg").touch()
    skipped = Skipped({"earlier": "reason"})

    def check(photograph):
        if photograph.name == "grey.png":
            raise ValueError(f"is {photograph.size[0]} px wide")

    found = read_headers(tmp_path, names, skipped, check)
    expected = {"rgb.png": 1, "lzw.tif": 1, "rgb.jpg": 6}
    assert found == [Photograph(name, tmp_path / name, (WIDTH, HEIGHT), turn) for name, turn in expected.items()]
    assert found[-1].upright_size == (HEIGHT, WIDTH)
    assert list(skipped.items()) == [
        ("earlier", "reason"),
        ("none.jpg", "No such file or directory"),
        ("grey.png", f"is {WIDTH} px wide"),
        ("empty.jpg", "is an empty file"),
    ]


def test_any_other_error_is_raised(tmp_path, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("no reason to skip")

    monkeypatch.setattr(photograph_module, "read_header", broken)
    with pytest.raises(RuntimeError, match="no reason to skip"):
        read_headers(tmp_path, ["a.jpg"], Skipped())


def test_a_link_to_what_is_not_there_is_not_gone(tmp_path, caplog):
    """As those to a disk that is not mounted, of photographs and of whole folders."""
    photographs, disk = tmp_path / "photographs", tmp_path / "disk"
    for folder in (photographs, disk / "sub", disk / "near"):
        folder.mkdir(parents=True)
    there = ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    for path in [photographs / name for name in there] + [disk / "linked.jpg", disk / "sub" / "a.jpg"]:
        path.touch()
    (photographs / "linked.jpg").symlink_to(disk / "linked.jpg")
    (photographs / "sub").symlink_to(disk / "sub")
    names = [*there, "linked.jpg", "sub/a.jpg"]
    assert gone_photographs(photographs, [*names, "sub/b.jpg"]) == ["sub/b.jpg"]
    assert not caplog.messages
    disk.rename(tmp_path / "elsewhere")
    assert gone_photographs(photographs, [*names, "b.jpg"]) == ["b.jpg"]
    warning = f"links in {photographs} lead to no file, so these are not taken for gone: 2 photographs (linked.jpg the"
    assert caplog.record_tuples[0][1:] == (logging.WARNING, f"{warning} first): check the disk that they lead to")
    for name in there[:2]:
        (photographs / name).unlink()
    with pytest.raises(RuntimeError, match="lacks 4 of 6 photographs: check the folder and its disk"):
        gone_photographs(photographs, names)
