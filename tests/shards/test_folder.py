"""The record of a folder of shards: the first process writes it, the others compare."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from d2sfm.options import CameraOptions, DescriptorDtype, ExtractionOptions, PhotographOptions
from d2sfm.shards.folder import Photographs, ShardFolder
from d2sfm.shards.records import read_record, write_first

MADE = Photographs(
    images=Path("photographs"),
    names=("a.jpg", "b.jpg", "sub/ä 1.jpg"),
    fingerprint='{"max_edge": 96}',
    extraction=ExtractionOptions(max_edge=96),
    descriptor_dtype=DescriptorDtype.FLOAT16,
    cameras=CameraOptions(camera_mode="single"),
    limits=PhotographOptions(),
)


@pytest.mark.parametrize("name", ["sub/ä 1.jpg", os.fsdecode(b"sub/caf\xe9.jpg")])
def test_the_record_is_read_as_it_was_made(tmp_path, name):
    made = replace(MADE, images=tmp_path / "photographs", names=("a.jpg", "b.jpg", name))
    for _ in range(2):
        ShardFolder.begin(tmp_path / "shards", made, {name: 100})
    assert ShardFolder(tmp_path / "shards").photographs == made


def test_blocks_are_runs_of_names():
    assert MADE.blocks == 2
    assert [MADE.block(number) for number in range(2)] == [("a.jpg", "b.jpg"), ("sub/ä 1.jpg",)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"names": ("a.jpg", "c.jpg")}, r"begun with 3 photographs, found 2; not in both: 3 photographs \(b.jpg the"),
        ({"fingerprint": '{"max_edge": 64}'}, "begun with max_edge 96, but this run asks for max_edge 64"),
        ({"cameras": CameraOptions()}, "begun with camera_mode single, but this run asks for camera_mode auto"),
        (
            {"descriptor_dtype": DescriptorDtype.FLOAT32},
            "with descriptor_dtype float16, but this run asks for descriptor_dtype float32",
        ),
        (
            {"extraction": ExtractionOptions(max_edge=96, stretch="image")},
            "begun with stretch folder, but this run asks for stretch image",
        ),
    ],
)
def test_another_beginning_is_refused(tmp_path, change, told):
    ShardFolder.begin(tmp_path, MADE)
    with pytest.raises(RuntimeError, match=told):
        ShardFolder.begin(tmp_path, replace(MADE, **change))
    assert ShardFolder(tmp_path).photographs.names == MADE.names


def test_options_of_one_machine_do_not_count(tmp_path):
    ShardFolder.begin(tmp_path, MADE)
    elsewhere = replace(MADE.extraction, device="cpu", tile_size=32, memory_limit=1.0, weights="/mnt/weights.pth")
    ShardFolder.begin(tmp_path, replace(MADE, extraction=elsewhere))


@pytest.mark.parametrize(("option", "copy"), [("cameras", "cameras.toml"), ("rig_config", "rigs.json")])
def test_files_of_cameras_are_compared_by_content_and_a_copy_serves_all(tmp_path, option, copy):
    one, other, folder = tmp_path / "one" / "file", tmp_path / "other" / "file", tmp_path / "shards"
    for file in (one, other):
        file.parent.mkdir()
        file.write_text("as given")
    made = [replace(MADE, cameras=CameraOptions(**{option: file})) for file in (one, other)]
    ShardFolder.begin(folder, made[0])
    assert getattr(ShardFolder.begin(folder, made[1]).photographs.cameras, option) == folder / copy
    other.write_text("otherwise")
    way_out = f"use the same, or remove {copy}, photographs.db and the blocks matches-"
    with pytest.raises(RuntimeError, match=rf"is not the file that .* was begun with: {way_out}"):
        ShardFolder.begin(folder, made[1])
    with pytest.raises(RuntimeError, match=rf"begun with {option} {copy}, but this run asks for no {option}"):
        ShardFolder.begin(folder, replace(MADE, cameras=CameraOptions()))
    (folder / copy).unlink()
    ShardFolder.begin(folder, made[1])
    assert (folder / copy).read_text() == "otherwise"


def test_masks_are_compared_by_their_sizes(tmp_path):
    ShardFolder.begin(tmp_path, MADE, {"a.jpg": 70, "b.jpg": 71})
    ShardFolder.begin(tmp_path, MADE, {"b.jpg": 71, "a.jpg": 70})
    for others, of in (({"a.jpg": 70, "b.jpg": 72}, "b.jpg"), ({"b.jpg": 71}, "a.jpg")):
        with pytest.raises(
            RuntimeError, match=rf"another mask, or none, of 1 photograph \({of}\): use the same"
        ) as told:
            ShardFolder.begin(tmp_path, MADE, others)
        assert "remove masks.json, pairs.json, vocabulary.npy and the blocks vlad-*.npy there" in str(told.value)


def test_of_many_processes_that_begin_at_once_one_decides(tmp_path):
    file = tmp_path / "record.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write_first(file, {"number": number}), range(32)))
    first = read_record(file)
    write_first(file, {"number": -1})
    assert read_record(file) == first
    assert os.listdir(tmp_path) == ["record.json"]


def test_photographs_are_found_where_both_folders_were_moved_to(tmp_path):
    (tmp_path / "here" / "photographs").mkdir(parents=True)
    (tmp_path / "here" / "photographs" / "a.jpg").touch()
    ShardFolder.begin(tmp_path / "here" / "shards", replace(MADE, images=tmp_path / "here" / "photographs"))
    (tmp_path / "here").rename(tmp_path / "there")
    assert ShardFolder(tmp_path / "there" / "shards").photographs.images == tmp_path / "there" / "photographs"


def test_a_folder_without_a_record_and_a_damaged_one_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a folder of shards: d2sfm extract --shard 1/N"):
        ShardFolder(tmp_path)
    for text in ("{", "[]", '{"names": []}'):
        (tmp_path / "shards.json").write_text(text)
        with pytest.raises(ValueError, match=r"shards\.json (is damaged|can't be used)"):
            _ = ShardFolder(tmp_path).photographs
