"""Blocks of features: the same as in one process, whatever the shares are, and a stopped run goes on."""

import os
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image
from support.database_contents import dump
from support.helpers import textured_picture
from support.photograph_folder import SMALL, cut

from d2sfm.extraction.extract import extract_to_database
from d2sfm.formats.hloc_features import HlocFeatures
from d2sfm.options import CameraMode, CameraOptions, DescriptorDtype, ExtractionOptions, MaskOptions, StorageOptions
from d2sfm.shards import features
from d2sfm.shards.feature_block import FeatureBlock
from d2sfm.shards.features import extract_shard
from d2sfm.shards.folder import ShardFolder
from d2sfm.shards.import_blocks import import_photographs_of, names_in_blocks, write_features_of
from d2sfm.shards.pairs import choose_pairs
from d2sfm.shards.share import Share

pytestmark = pytest.mark.usefixtures("narrow_network")
ON_CPU = replace(SMALL, device="cpu")  # a GPU rounds by the batch, so its features are not equal to the bit


def extract_all(output, photographs, of=1, **given):
    for number in range(1, of + 1):
        extract_shard(output, photographs, Share(number, of), **{"options": ON_CPU} | given)
    return ShardFolder(output)


def database_of(folder, path, **given):
    names_in_blocks(folder)
    import_photographs_of(folder, path)
    write_features_of(folder, path, **given)
    return path


def in_one_process(photographs, path, **given):
    extract_to_database(path, photographs, **{"options": ON_CPU} | given)
    return path


@pytest.fixture
def many(photographs):
    """Seven photographs in folders whose names and files mix, one with EXIF data and turned, one with masks."""
    for index, name in enumerate(["sub/b.jpg", "sub/deep/c.png", "z.jpg", "sub.jpg"]):
        (photographs / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(photographs / name), textured_picture(5 + index, (96, 80)))
    exif = Image.Exif()
    exif[0x0110], exif[0x0112] = "Camera", 6
    exif.get_ifd(0x8769)[0x920A] = 35.0
    exif.get_ifd(0x8769)[0xA405] = 35
    exif.get_ifd(0x8825).update({1: "N", 2: (55.0, 42.0, 30.0), 3: "E", 4: (13.0, 11.0, 36.0), 6: 12.0})
    with Image.open(photographs / "z.jpg") as picture:
        picture.copy().save(photographs / "z.jpg", exif=exif)
    return photographs


@pytest.mark.parametrize("of", [pytest.param(1, marks=pytest.mark.slow), 3, pytest.param(7, marks=pytest.mark.slow)])
def test_shards_give_what_one_process_gives(tmp_path, many, of):
    folder = extract_all(tmp_path / "shards", many, of)
    assert dump(database_of(folder, tmp_path / "db.db")) == dump(in_one_process(many, tmp_path / "one.db"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        {"cameras": CameraOptions(camera_mode=CameraMode.PER_FOLDER)},
        {"cameras": CameraOptions(camera_model="PINHOLE", camera_params="90,90,48,40")},
        {"storage": StorageOptions(descriptor_dtype=DescriptorDtype.FLOAT32)},
        {"options": ExtractionOptions(max_edge=64, scales=(0.5, 1.0), border=3, orientation="none")},
    ],
    ids=["per folder", "given", "float32", "scales"],
)
def test_options_span_all_shards(tmp_path, many, given):
    folder = extract_all(tmp_path / "shards", many, 2, **given)
    assert dump(database_of(folder, tmp_path / "db.db")) == dump(in_one_process(many, tmp_path / "one.db", **given))


@pytest.mark.slow
def test_cameras_of_a_file_span_all_shards(tmp_path, many):
    (tmp_path / "cameras.toml").write_text('["sub"]\nmode = "single"\n')
    given = {"cameras": CameraOptions(cameras=tmp_path / "cameras.toml")}
    folder, one = extract_all(tmp_path / "shards", many, 2, **given), in_one_process(many, tmp_path / "one.db", **given)
    (tmp_path / "cameras.toml").unlink()
    assert dump(database_of(folder, tmp_path / "db.db")) == dump(one)


@pytest.mark.slow
def test_masks_are_used(tmp_path, many):
    mask = np.full((80, 96), 255, np.uint8)
    mask[:, 48:] = 0
    (tmp_path / "masks" / "sub").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "masks" / "sub" / "b.jpg.png"), mask)
    given = {"masks": MaskOptions(masks=tmp_path / "masks")}
    extract_shard(tmp_path / "shards", many, Share(1, 2), options=SMALL, **given)
    (tmp_path / "masks").rename(tmp_path / "mounted elsewhere")
    given = {"masks": MaskOptions(masks=tmp_path / "mounted elsewhere")}
    folder = extract_all(tmp_path / "shards", many, 2, **given)
    assert dump(database_of(folder, tmp_path / "db.db")) == dump(in_one_process(many, tmp_path / "one.db", **given))


@pytest.mark.slow
def test_broken_photographs_are_named_and_left_out(tmp_path, many):
    cut(many / "sub/b.jpg")
    (many / "no picture.jpg").write_text("text")
    summary = extract_shard(tmp_path / "shards", many, Share(1, 1), options=SMALL)
    assert sorted(summary.skipped) == ["no picture.jpg", "sub/b.jpg"]
    assert (summary.extracted, summary.already_there) == (6, 0)
    again = extract_shard(tmp_path / "shards", many, Share(1, 1), options=SMALL)
    assert (again.extracted, again.already_there, again.skipped) == (0, 6, summary.skipped)
    folder = ShardFolder(tmp_path / "shards")
    assert import_photographs_of(folder, tmp_path / "db.db") == {}
    write_features_of(folder, tmp_path / "db.db")
    found, one = dump(tmp_path / "db.db"), dump(in_one_process(many, tmp_path / "one.db"))
    assert found.count('INSERT INTO "keypoints"') == one.count('INSERT INTO "keypoints"') == 6


@pytest.mark.slow
def test_a_photograph_that_was_mended_joins_its_block(tmp_path, many):
    whole = (many / "sub.jpg").read_bytes()
    for name in ("sub.jpg", "sub/b.jpg"):
        cut(many / name)
    folder = extract_all(tmp_path / "shards", many)
    before = [folder.features(number).read_bytes() for number in range(4)]
    extract_all(tmp_path / "shards", many, 2)
    assert [folder.features(number).read_bytes() for number in range(4)] == before
    (many / "sub.jpg").write_bytes(whole)
    summary = extract_shard(tmp_path / "shards", many, Share(1, 1), options=SMALL)
    assert (summary.extracted, summary.already_there, list(summary.skipped)) == (1, 5, ["sub/b.jpg"])
    assert sum(folder.features(number).read_bytes() != before[number] for number in range(4)) == 1
    (many / "sub/b.jpg").unlink()
    assert dump(database_of(folder, tmp_path / "db.db")) == dump(in_one_process(many, tmp_path / "one.db"))


def test_only_what_is_missing_or_damaged_is_made_again(tmp_path, many, monkeypatch):
    folder = extract_all(tmp_path / "shards", many)
    before = {path: path.read_bytes() for path in (tmp_path / "shards").iterdir()}
    folder.features(0).unlink()
    cut(folder.features(1))
    shutil.copy(folder.features(3), folder.features(2))
    with pytest.raises(RuntimeError, match=r"lacks 3 blocks \(features-0000.h5 the first\) of 4, or they are damaged"):
        names_in_blocks(folder)
    made, real = [], features.write_block
    monkeypatch.setattr(features, "write_block", lambda file, *rest: made.append(file.path.name) or real(file, *rest))
    extract_all(tmp_path / "shards", many, 2)
    assert sorted(made) == ["features-0000.h5", "features-0001.h5", "features-0002.h5"]
    assert {path: path.read_bytes() for path in (tmp_path / "shards").iterdir()} == before


@pytest.mark.slow
def test_the_photographs_are_not_needed_any_more(tmp_path, many):
    one = dump(in_one_process(many, tmp_path / "one.db"))
    folder = extract_all(tmp_path / "shards", many)
    shutil.rmtree(many)
    assert dump(database_of(folder, tmp_path / "db.db")) == one


@pytest.mark.slow
def test_a_stopped_import_goes_on(tmp_path, many):
    folder = extract_all(tmp_path / "shards", many)
    import_photographs_of(folder, tmp_path / "db.db")
    write_features_of(folder, tmp_path / "db.db")
    whole = dump(tmp_path / "db.db")
    import_photographs_of(folder, tmp_path / "db.db")
    assert write_features_of(folder, tmp_path / "db.db") == 7
    assert dump(tmp_path / "db.db") == whole


@pytest.mark.slow
def test_descriptors_may_stay_in_the_blocks(tmp_path, many):
    folder = extract_all(tmp_path / "shards", many)
    found = dump(database_of(folder, tmp_path / "db.db", descriptors=False))
    one = dump(in_one_process(many, tmp_path / "one.db"))
    assert found == "\n".join(line for line in one.split("\n") if 'INSERT INTO "descriptors"' not in line)


def test_hloc_can_read_the_blocks(tmp_path, many):
    folder = extract_all(tmp_path / "shards", many)
    with HlocFeatures(folder.features(0)) as hloc, FeatureBlock(folder.features(0)) as block:
        assert hloc.names() == block.names() == list(folder.photographs.block(0))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"options": ExtractionOptions(orientation="auto")}, "--orientation auto compares all photographs"),
        ({"options": ExtractionOptions(convention="reference")}, "--convention reference is for a database"),
        ({"cameras": CameraOptions(existing_camera=1)}, "--existing-camera is of a database"),
    ],
)
def test_what_needs_all_photographs_at_once_is_refused(tmp_path, photographs, given, told):
    with pytest.raises(ValueError, match=told):
        extract_shard(tmp_path / "shards", photographs, Share(1, 1), **given)
    assert not (tmp_path / "shards").exists()


def test_a_camera_of_a_database_is_refused_in_a_file_of_cameras_too(tmp_path, photographs):
    (tmp_path / "cameras.toml").write_text('["sub"]\nexisting_camera = 3\n')
    given = {"options": SMALL, "cameras": CameraOptions(cameras=tmp_path / "cameras.toml")}
    with pytest.raises(ValueError, match="--existing-camera is of a database"):
        extract_shard(tmp_path / "shards", photographs, Share(1, 1), **given)
    assert not (tmp_path / "shards").exists()


@pytest.mark.slow
def test_thermal_photographs_are_not_stretched_together(tmp_path, photographs):
    picture = textured_picture(3, (96, 80))[..., 0].astype(np.uint16) + 20_000
    cv2.imwrite(str(photographs / "thermal.png"), picture)
    with pytest.raises(ValueError, match="--stretch image or --stretch none"):
        extract_shard(tmp_path / "shards", photographs, Share(1, 1), options=SMALL)
    one = ExtractionOptions(max_edge=96, stretch="image")
    folder = extract_all(tmp_path / "others", photographs, options=one)
    found = database_of(folder, tmp_path / "db.db")
    assert dump(found) == dump(in_one_process(photographs, tmp_path / "one.db", options=one))


def test_a_name_that_cant_stand_in_a_file_of_pairs_is_refused_before_the_work(tmp_path, photographs):
    shutil.copy(photographs / "a.jpg", photographs / "a\tb.jpg")
    with pytest.raises(ValueError, match="can't be written into a pairs file: it holds a tab or a line end"):
        extract_shard(tmp_path / "shards", photographs, Share(1, 1), options=SMALL)
    assert not (tmp_path / "shards").exists()


def test_a_name_that_is_not_utf8_is_told_and_the_others_go_on(tmp_path, photographs):
    bad = os.fsdecode(b"caf\xe9.jpg")
    shutil.copy(photographs / "a.jpg", photographs / bad)
    told = [extract_shard(tmp_path / "shards", photographs, Share(n, 2), options=ON_CPU).skipped for n in (1, 2)]
    assert told == [{}, {bad: "has a name that is not UTF-8: rename it"}]
    folder = ShardFolder(tmp_path / "shards")
    assert [choose_pairs(folder).already_there for _ in range(2)] == [False, True]
    assert choose_pairs(folder).pairs == 3
