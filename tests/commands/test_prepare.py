"""The command d2sfm prepare, its options, and a phone's folder on its way into a database."""

import cv2
import pytest
from PIL import Image
from support.helpers import textured_picture
from support.phone_files import exif_of, write_video

from d2sfm.cli import main
from d2sfm.database import FeatureStore

PORTRAIT, LANDSCAPE = textured_picture(1, (72, 96)), textured_picture(2, (96, 72))
BLURRED = cv2.GaussianBlur(LANDSCAPE, (0, 0), 3)


def prepare(*arguments):
    return main(["prepare", *map(str, arguments)])


@pytest.fixture
def phone(tmp_path, monkeypatch):
    """A folder as it comes from a phone, in the folder of the run."""
    pytest.importorskip("pillow_heif").register_heif_opener()
    pytest.importorskip("av")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "DCIM"
    (folder / "100APPLE").mkdir(parents=True)
    Image.fromarray(LANDSCAPE).save(folder / "100APPLE" / "IMG_1.HEIC", exif=exif_of(1).tobytes())
    write_video(folder / "100APPLE" / "IMG_1.MOV", [LANDSCAPE] * 3)  # a live photo
    Image.fromarray(LANDSCAPE).save(folder / "100APPLE" / "IMG_2.HEIC", exif=exif_of(6).tobytes())
    Image.fromarray(LANDSCAPE).save(folder / "100APPLE" / "IMG_3.JPG", exif=exif_of(1))
    Image.fromarray(PORTRAIT).save(folder / "100APPLE" / "IMG_4.JPG", exif=exif_of(8))
    frames = [BLURRED if number % 5 else LANDSCAPE for number in range(15)]
    write_video(folder / "100APPLE" / "IMG_5.MOV", frames, turned={"degrees": -90})
    (folder / "100APPLE" / "IMG_6.MOV").write_bytes(b"\x00\x00\x00\x14ftypqt  " + bytes(2000))
    Image.fromarray(PORTRAIT).save(folder / "100APPLE" / "Screenshot.PNG")
    (folder / "100APPLE" / "IMG_3.AAE").write_text("what was edited")
    (folder / "notes.txt").touch()
    return folder


@pytest.mark.slow
def test_a_phones_folder_is_used_or_named_whole_and_extracted(phone, capsys):
    assert prepare("DCIM") == 1
    said = capsys.readouterr()
    assert said.out == (
        "prepare: 3 photographs copied, 2 converted, 3 frames of 1 video in photos, 1 movie of live photos left out, "
        "2 other files ignored, 1 skipped\n"
    )
    assert said.err.splitlines() == [
        "left out, movies of live photos, whose stills are taken: 100APPLE/IMG_1.MOV",
        "neither photographs nor videos: 2 files (100APPLE/IMG_3.AAE the first)",
        "warning: skipped 100APPLE/IMG_6.MOV: is damaged, or not a video known to FFmpeg: invalid data found when "
        "processing input",
    ]
    assert main(["extract", "--images", "photos", "--max-edge", "48", "--quiet"]) == 0
    with FeatureStore("db.db") as store:
        images, extracted = store.images(), set(store.extracted())
    assert {name.removeprefix("100APPLE/") for name in extracted} == set(
        {"IMG_1.HEIC.jpg", "IMG_2.HEIC.jpg", "IMG_3.JPG", "IMG_4.JPG", "Screenshot.PNG"}
        | {f"IMG_5.MOV/frame_{number:07}.jpg" for number in (0, 5, 10)}
    )
    sizes = {name.removeprefix("100APPLE/"): (row.width, row.height) for name, row in images.items()}
    assert sizes["IMG_1.HEIC.jpg"] == sizes["IMG_2.HEIC.jpg"] == sizes["IMG_3.JPG"] == (96, 72)  # one sensor
    assert sizes["IMG_5.MOV/frame_0000000.jpg"] == (72, 96)  # as the video is shown


def test_extract_names_the_command_where_it_skips_what_that_takes(phone, capsys):
    (phone.parent / "some").mkdir()
    for name in ("IMG_1.HEIC", "IMG_2.HEIC"):
        (phone / "100APPLE" / name).rename(phone.parent / "some" / name)
    assert main(["extract", "--images", "some"]) == 1
    error = capsys.readouterr().err
    assert (
        error.count("warning: skipped IMG_")
        == error.count("is a format that COLMAP can't read: convert it with d2sfm prepare")
        == 2
    )


def test_frames_by_rate_or_by_number(phone, capsys):
    video = phone / "100APPLE" / "IMG_5.MOV"
    assert prepare(video, "--fps", "5", "--output", "by_rate") == 0
    assert prepare(video, "--every", "3", "--output", "by_number") == 0
    assert [line.split(" in ")[0] for line in capsys.readouterr().out.splitlines()] == [
        "prepare: 0 photographs copied, 0 converted, 8 frames of 1 video",
        "prepare: 0 photographs copied, 0 converted, 5 frames of 1 video",
    ]
    assert prepare(video, "--every", "3", "--output", "by_number", "--quiet") == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fps", "5", "--every", "3"], "--fps and --every exclude each other: give one of them"),
        (["--fps", "0"], "fps must be above 0, found 0"),
        (["--every", "0"], "every must be 1 or more, found 0"),
        (["nowhere"], "no such file or folder: nowhere"),
    ],
)
def test_what_can_not_be_is_refused_in_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("a.png", PORTRAIT)
    assert prepare("a.png", *arguments) == 2
    assert capsys.readouterr().err == f"error: d2sfm prepare: {message}\n"
    assert not (tmp_path / "photos").exists()


def test_more_is_said(capsys):
    assert prepare("nowhere", "--verbose") == 2
    assert "Traceback" in capsys.readouterr().err
