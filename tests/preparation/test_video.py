"""Frames of videos: which are taken, how they lie, and what a second run does."""

import gc
import json
import os
import sys
from fractions import Fraction

import cv2
import numpy as np
import pytest
from support.helpers import textured_picture
from support.phone_files import HEIGHT, WIDTH, require_upright, upright_picture, write_video

from d2sfm.coordinates import stored_array
from d2sfm.options import PreparationOptions
from d2sfm.photographs.reading import load_photograph
from d2sfm.preparation import video
from d2sfm.preparation.prepare import prepare

av = pytest.importorskip("av")
SHARP = textured_picture(1, (WIDTH, HEIGHT))
BLURRED = cv2.GaussianBlur(SHARP, (0, 0), 3)


def frames_in(folder):
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def names(*numbers):
    return [f"frame_{number:07}.jpg" for number in numbers]


@pytest.mark.parametrize(
    ("turned", "orientation"),
    [
        (None, 1),
        ({"degrees": -90}, 6),  # as a phone held upright
        ({"degrees": 90}, 8),
        ({"degrees": 180}, 3),
        ({"degrees": 0, "hflip": True}, 2),
        ({"degrees": 0, "vflip": True}, 4),
    ],
)
def test_frames_are_turned_as_the_video_is_shown(tmp_path, turned, orientation):
    stored = np.ascontiguousarray(stored_array(upright_picture(), orientation))
    write_video(tmp_path / "a.mov", [stored] * 2, turned=turned)
    summary = prepare([tmp_path / "a.mov"], tmp_path / "photos")
    assert (summary.frames, summary.videos, summary.skipped) == (1, 1, {})
    require_upright(load_photograph(tmp_path / "photos" / "a.mov" / "frame_0000000.jpg"))


@pytest.mark.parametrize("name", ["a.mp4", "a.m4v", "a.avi", "a.mkv"])
def test_the_sharpest_of_each_interval_is_taken(tmp_path, name):
    sharp = {3, 5, 14}
    write_video(tmp_path / name, [SHARP if number in sharp else BLURRED for number in range(15)], rate=10)
    prepare([tmp_path], tmp_path / "photos", options=PreparationOptions(fps=2))
    assert frames_in(tmp_path / "photos" / name) == names(3, 5, 14)
    taken = load_photograph(tmp_path / "photos" / name / "frame_0000005.jpg").astype(int)
    assert np.abs(taken - SHARP).mean() < 12  # of H.264 at a quarter of the colours


def test_intervals_by_number_of_frames(tmp_path):
    write_video(tmp_path / "a.mp4", [SHARP if number in (0, 5, 8) else BLURRED for number in range(9)])
    prepare([tmp_path], tmp_path / "photos", options=PreparationOptions(every=4))
    assert frames_in(tmp_path / "photos" / "a.mp4") == names(0, 5, 8)


def test_more_intervals_than_frames_take_all_frames(tmp_path):
    write_video(tmp_path / "a.mp4", [SHARP] * 5)
    prepare([tmp_path], tmp_path / "photos", options=PreparationOptions(fps=100))
    assert frames_in(tmp_path / "photos" / "a.mp4") == names(*range(5))


@pytest.mark.slow
def test_frames_are_written_when_their_interval_is_over_and_let_go_then(tmp_path, monkeypatch):
    """An hour of video takes the memory of a second. Python's search for cycles must not be needed for that."""
    sharpness, write, judged, held = video._Video._sharpness, video.write_image, [], []

    def judge(self, frame):
        judged.append(1)
        return sharpness(self, frame)

    def count_and_write(*arguments, **settings):
        held.append((len(judged), sum(type(thing) is av.VideoFrame for thing in gc.get_objects())))
        write(*arguments, **settings)

    monkeypatch.setattr(video._Video, "_sharpness", judge)
    monkeypatch.setattr(video, "write_image", count_and_write)
    write_video(tmp_path / "a.mp4", [SHARP] * 60)
    gc.collect()
    gc.disable()
    try:
        prepare([tmp_path], tmp_path / "photos", options=PreparationOptions(every=15))
    finally:
        gc.enable()
    assert [number for number, _ in held] == [15, 30, 45, 60]
    assert max(frames for _, frames in held) <= min(frames for _, frames in held) + 1


def test_a_second_run_passes_over_what_is_whole(tmp_path):
    write_video(tmp_path / "a.mp4", [SHARP] * 10)
    prepare([tmp_path], tmp_path / "photos")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "photos").rglob("*")}
    again = prepare([tmp_path], tmp_path / "photos")
    assert (again.frames, again.videos, again.already_there) == (0, 0, 1)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "photos").rglob("*")} == before


def test_a_run_that_was_stopped_leaves_no_part_that_counts_as_a_video(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mp4", [SHARP] * 10)
    write = video.write_image

    def write_and_stop(target, *arguments, **settings):
        write(target, *arguments, **settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(video, "write_image", write_and_stop)
    with pytest.raises(KeyboardInterrupt):
        prepare([tmp_path / "a.mp4"], tmp_path / "photos")
    assert os.listdir(tmp_path / "photos") == []
    monkeypatch.setattr(video, "write_image", write)
    assert prepare([tmp_path / "a.mp4"], tmp_path / "photos").frames == 2
    assert os.listdir(tmp_path / "photos") == ["a.mp4"]
    assert len(frames_in(tmp_path / "photos" / "a.mp4")) == 2


def test_frames_of_other_intervals_or_another_video_are_not_mixed(tmp_path):
    write_video(tmp_path / "a.mp4", [SHARP] * 10)
    prepare([tmp_path / "a.mp4"], tmp_path / "photos")
    other = prepare([tmp_path / "a.mp4"], tmp_path / "photos", options=PreparationOptions(every=3))
    assert other.skipped["a.mp4"].startswith("has frames by --fps 2 in ")
    write_video(tmp_path / "a.mp4", [BLURRED] * 10)
    other = prepare([tmp_path / "a.mp4"], tmp_path / "photos")
    assert "a.mp4, which exists and is of another file" in other.skipped["a.mp4"]
    assert len(frames_in(tmp_path / "photos" / "a.mp4")) == 2
    (tmp_path / "photos" / "a.mp4" / video.RECORD).unlink()
    other = prepare([tmp_path / "a.mp4"], tmp_path / "photos")
    assert "which exists and is of another file" in other.skipped["a.mp4"]


def test_a_video_that_is_cut_short_gives_what_it_has_and_is_named(tmp_path):
    generator = np.random.default_rng(0)
    noise = [generator.integers(0, 255, SHARP.shape, np.uint8) for _ in range(40)]
    content = write_video(tmp_path / "a.mkv", noise).read_bytes()
    (tmp_path / "a.mkv").write_bytes(content[: len(content) // 2])
    for run in ("first", "second"):
        summary = prepare([tmp_path], tmp_path / "photos")
        assert list(summary.remarks) == ["a.mkv"], run
        assert summary.remarks["a.mkv"].startswith("is cut short: its frames end after ")
        assert summary.remarks["a.mkv"].endswith(" of 4.0 s")
    assert 3 <= len(frames_in(tmp_path / "photos" / "a.mkv")) <= 5


def test_a_video_of_few_frames_is_not_taken_for_one_that_is_cut_short(tmp_path):
    write_video(tmp_path / "a.mp4", [SHARP] * 3, rate=Fraction(1, 4))
    summary = prepare([tmp_path], tmp_path / "photos")
    assert (summary.frames, summary.remarks) == (3, {})


def test_a_video_with_damage_in_it_gives_the_rest_and_is_named(tmp_path):
    generator = np.random.default_rng(0)
    noise = [generator.integers(0, 255, SHARP.shape, np.uint8) for _ in range(40)]
    content = bytearray(write_video(tmp_path / "a.mp4", noise).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 30_000] = bytes(30_000)
    (tmp_path / "a.mp4").write_bytes(content)
    summary = prepare([tmp_path], tmp_path / "photos")
    assert summary.remarks["a.mp4"].startswith("is damaged: ")
    assert len(frames_in(tmp_path / "photos" / "a.mp4")) >= 4


def test_what_is_no_video_is_named(tmp_path):
    (tmp_path / "noise.mov").write_bytes(bytes(3000))
    (tmp_path / "playlist.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://localhost:1/a.ts\n")
    (tmp_path / "empty.mkv").touch()
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    summary = prepare([tmp_path], tmp_path / "photos")
    assert summary.skipped.pop("empty.mkv") == "is an empty file"
    assert summary.skipped.pop("sound.mp4") == "holds no video"
    assert sorted(summary.skipped) == ["noise.mov", "playlist.mp4"]
    for reason in summary.skipped.values():
        assert reason.startswith("is damaged, or not a video known to FFmpeg: ")
    assert not (tmp_path / "photos").exists() or not os.listdir(tmp_path / "photos")


def test_without_pyav_the_others_are_prepared(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mp4", [SHARP])
    cv2.imwrite(str(tmp_path / "b.jpg"), SHARP)
    monkeypatch.setitem(sys.modules, "av", None)
    summary = prepare([tmp_path], tmp_path / "photos")
    assert summary.skipped == {"a.mp4": 'needs av: pip install "d2sfm[video]"'}
    assert summary.copied == 1


def test_the_record_tells_what_the_frames_are_of(tmp_path):
    write_video(tmp_path / "a.mp4", [SHARP] * 10)
    prepare([tmp_path], tmp_path / "photos", options=PreparationOptions(every=5))
    record = json.loads((tmp_path / "photos" / "a.mp4" / video.RECORD).read_text())
    assert record["by"] == "--every 5"
    assert record["frames"] == 2
