"""Pairs of a folder of shards: those of one process, whatever chooses them, in blocks that are whole or absent."""

import re
import shutil

import h5py
import numpy as np
import pycolmap
import pytest
from support.database_contents import rows
from support.photograph_folder import cut
from support.shard_folder import QUICK, VIEWS, database_of, name_of, remove_from_block, write_shard_folder

from d2sfm.database import MatchStore
from d2sfm.options import PairSelectionOptions
from d2sfm.pairs.arrays import union
from d2sfm.pairs.select import select_pairs
from d2sfm.shards import folder as shards
from d2sfm.shards import import_blocks
from d2sfm.shards import pairs as choosing
from d2sfm.shards.assemble import assemble
from d2sfm.shards.folder import ShardFolder
from d2sfm.shards.import_blocks import make_database
from d2sfm.shards.matching import match_shard
from d2sfm.shards.pair_block import read_block
from d2sfm.shards.pairs import choose_pairs, describe_shard
from d2sfm.shards.records import read_record
from d2sfm.shards.share import Share

RETRIEVAL = PairSelectionOptions(pairs="retrieval", num_neighbours=2)
SPATIAL = PairSelectionOptions(pairs="spatial", num_neighbours=2, max_distance_m=200.0)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with its database, and beside it the database of one process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "BLOCK_PHOTOGRAPHS", 4)
        folder = write_shard_folder(tmp_path_factory.mktemp("written") / "shards")
        make_database(folder)
        database_of(folder, folder.path.with_name("one.db"))
    return folder.path.parent


@pytest.fixture
def folder(tmp_path, written, monkeypatch):
    monkeypatch.setattr(shards, "BLOCK_PHOTOGRAPHS", 4)
    monkeypatch.setattr(choosing, "FEWEST_PAIRS", 3)
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    return ShardFolder(tmp_path / "shards")


def chosen(folder):
    """Ids of the pairs of all blocks, ascending."""
    with MatchStore(folder.database) as store:
        ids = store.image_ids()
    blocks = [read_block(folder, number).pairs for number in range(folder.pair_blocks)]
    assert len(blocks) > 1
    return union(np.array([(ids[a], ids[b]) for block in blocks for a, b in block], np.uint32))


def by_one_process(folder, options):
    with MatchStore(folder.path.with_name("one.db")) as store:
        return select_pairs(store, options)


def write_model(path):
    """A model of all views but one, in a row, of which each shares a point with the next."""
    model, count = pycolmap.Reconstruction(), VIEWS - 1
    camera = pycolmap.Camera(camera_id=1, model="PINHOLE", width=800, height=600, params=[900, 900, 400, 300])
    model.add_camera_with_trivial_rig(camera)
    for number in range(count):
        image = pycolmap.Image(name_of(number), np.zeros((2, 2)), 1, number + 1)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(pycolmap.Rotation3d(), [-(number**1.1), 0, 0]))
    for number in range(1, count):
        seen = [pycolmap.TrackElement(number, 0), pycolmap.TrackElement(number + 1, 1)]
        model.add_point3D(np.zeros(3), pycolmap.Track(seen))
    path.mkdir()
    model.write_binary(path)


def options_of(kind, tmp_path):
    if kind in ("covisibility", "poses"):
        write_model(tmp_path / "model")
        return PairSelectionOptions(pairs=kind, model=tmp_path / "model", num_neighbours=2)
    if kind == "file":
        lines = [f"{name_of(number)}\t{name_of((number + 4) % VIEWS)}\n" for number in range(VIEWS)]
        (tmp_path / "pairs.txt").write_text("".join(lines))
        return PairSelectionOptions(pairs=str(tmp_path / "pairs.txt"))
    if kind == "global":
        with h5py.File(tmp_path / "global.h5", "w") as file:
            for number in range(VIEWS):
                file.create_group(name_of(number))["global_descriptor"] = np.eye(4)[number % 4]
        return PairSelectionOptions(pairs="retrieval", num_neighbours=1, global_descriptors=tmp_path / "global.h5")
    more = {"sequential": {"overlap": 2, "loop_candidates": 2}, "spatial": vars(SPATIAL), "retrieval": vars(RETRIEVAL)}
    return PairSelectionOptions(**{"pairs": kind} | more.get(kind, {}))


QUICK_KINDS = ["auto", "exhaustive", "file", "global"]
KINDS = ["sequential", "spatial", "retrieval", "covisibility", "poses"]


@pytest.mark.parametrize("kind", [*QUICK_KINDS, *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS)])
def test_the_pairs_are_those_by_one_process(tmp_path, folder, kind):
    options = options_of(kind, tmp_path)
    summary = choose_pairs(folder, options)
    expected = union(by_one_process(folder, options))
    assert np.array_equal(chosen(folder), expected)
    assert (summary.pairs, summary.blocks, summary.images) == (len(expected), folder.pair_blocks, VIEWS)


@pytest.mark.slow
def test_many_photographs_are_chosen_by_what_looks_alike(folder, monkeypatch):
    monkeypatch.setattr("d2sfm.pairs.select.EXHAUSTIVE_LIMIT", 5)
    choose_pairs(folder, PairSelectionOptions(num_neighbours=2))
    assert np.array_equal(chosen(folder), by_one_process(folder, RETRIEVAL))


@pytest.mark.slow
@pytest.mark.parametrize("of", [1, 3, 7])
def test_shares_of_global_descriptors(folder, of):
    for number in range(of, 0, -1):
        summary = describe_shard(folder, Share(number, of), RETRIEVAL)
        assert summary.already_there == 0
    vectors = [folder.vectors(number) for number in range(3)]
    before = [path.read_bytes() for path in vectors]
    cut(vectors[1])
    words = folder.vocabulary.stat().st_mtime_ns
    choose_pairs(folder, RETRIEVAL)
    assert [path.read_bytes() for path in vectors] == before
    assert folder.vocabulary.stat().st_mtime_ns == words
    assert np.array_equal(chosen(folder), by_one_process(folder, RETRIEVAL))


def test_the_same_again_is_nothing_to_do(folder, monkeypatch):
    first = choose_pairs(folder, RETRIEVAL)
    monkeypatch.setattr(choosing, "select_pairs", None)
    again = choose_pairs(folder, RETRIEVAL)
    assert again.already_there
    assert not first.already_there
    assert (again.pairs, again.blocks, again.images_read) == (first.pairs, first.blocks, first.images_read)


def test_a_users_files_stay_whatever_they_are_called(folder):
    own = [folder.path / name for name in ("pairs-netvlad20.txt", "matches-old.db", "vlad-of-another-tool.npy")]
    for path in own:
        path.write_text(f"{name_of(0)} {name_of(1)}\n")
    assert not folder.is_matched
    choose_pairs(folder, PairSelectionOptions(pairs=str(own[0])))
    assert all(path.exists() for path in own)
    assert folder.pair_blocks == 1


def test_damaged_blocks_are_written_again(folder):
    choose_pairs(folder, RETRIEVAL)
    before = {path.name: path.read_bytes() for path in folder.path.iterdir() if path != folder.database}
    images = rows(folder.database, "images", "cameras")
    cut(folder.pairs(0))
    with pytest.raises(ValueError, match=r"pairs-0000\.txt is not as it was written: run d2sfm pairs"):
        read_block(folder, 0)
    folder.pairs(1).unlink()
    cut(folder.vocabulary)
    cut(folder.database)
    assert not choose_pairs(folder, RETRIEVAL).already_there
    assert rows(folder.database, "images", "cameras") == images
    assert {path.name: path.read_bytes() for path in folder.path.iterdir() if path != folder.database} == before
    folder.database.unlink()
    assert choose_pairs(folder, RETRIEVAL).already_there
    assert rows(folder.database, "images", "cameras") == images


@pytest.mark.slow
def test_other_options_take_the_place_of_those_that_nothing_was_matched_with(folder):
    choose_pairs(folder, PairSelectionOptions(pairs="exhaustive"))
    many = folder.pair_blocks
    choose_pairs(folder, RETRIEVAL)
    assert folder.pair_blocks < many
    assert len(list(folder.path.glob("pairs-*.txt"))) == folder.pair_blocks
    assert np.array_equal(chosen(folder), by_one_process(folder, RETRIEVAL))


@pytest.mark.slow
def test_other_options_after_matching_are_refused(tmp_path, folder):
    options = options_of("file", tmp_path)
    choose_pairs(folder, options)
    match_shard(folder.path, Share(1, 9), verification=QUICK)
    before = read_record(folder.pair_record)
    with pytest.raises(RuntimeError, match=r"begun with pairs pairs.txt, but this run asks for pairs retrieval: use"):
        choose_pairs(folder, RETRIEVAL)
    assert choose_pairs(folder, options).already_there
    (tmp_path / "elsewhere").mkdir()
    there = shutil.copy(tmp_path / "pairs.txt", tmp_path / "elsewhere")
    assert choose_pairs(folder, PairSelectionOptions(pairs=str(there))).already_there
    with (tmp_path / "pairs.txt").open("a") as file:
        file.write(f"{name_of(0)}\t{name_of(1)}\n")
    with pytest.raises(RuntimeError, match="other pairs that are matched already"):
        choose_pairs(folder, options)
    assert read_record(folder.pair_record) == before


def test_missing_blocks_of_features(folder):
    folder.database.unlink()
    cut(folder.features(1))
    with pytest.raises(RuntimeError, match=r"lacks 1 block \(features-0001\.h5\) of 3, or they are damaged"):
        choose_pairs(folder)
    assert not folder.database.exists()


def test_a_share_of_pairs_that_need_no_global_descriptors(folder):
    with pytest.raises(ValueError, match="--shard makes global descriptors, which --pairs exhaustive does not need"):
        describe_shard(folder, Share(1, 2), PairSelectionOptions(pairs="exhaustive"))


def test_what_extraction_left_out_is_not_told_again(folder):
    folder.database.unlink()
    broken = folder.photographs.names[1]
    remove_from_block(folder, 0, broken)
    summary = choose_pairs(folder)
    assert (summary.images, dict(summary.skipped)) == (VIEWS - 1, {})


@pytest.mark.slow
def test_a_photograph_that_extraction_took_in_later_is_paired_too(folder):
    folder.database.unlink()
    whole = folder.features(0).read_bytes()
    remove_from_block(folder, 0, folder.photographs.names[1])
    assert choose_pairs(folder, RETRIEVAL).images == VIEWS - 1
    folder.features(0).write_bytes(whole)
    assert choose_pairs(folder, RETRIEVAL).images == VIEWS
    assert np.array_equal(chosen(folder), by_one_process(folder, RETRIEVAL))
    assert choose_pairs(folder, RETRIEVAL).already_there


@pytest.mark.slow
def test_a_photograph_that_came_after_matching_stays_out_with_a_word_and_a_cure(folder, tmp_path, caplog):
    folder.database.unlink()
    late, whole = folder.photographs.names[1], folder.features(0).read_bytes()
    remove_from_block(folder, 0, late)
    choose_pairs(folder)
    match_shard(folder.path, Share(1, 1), verification=QUICK)
    assert assemble(folder.path, tmp_path / "before.db").images == VIEWS - 1
    assert "came after" not in caplog.text
    folder.features(0).write_bytes(whole)
    word = rf"has features of 1 photograph \({late}\), which came after the pairs and stay out: to take them in, remove"
    for number, run in enumerate((lambda: choose_pairs(folder), lambda: assemble(folder.path, tmp_path / "with.db"))):
        assert run().images == VIEWS - 1
        assert len(re.findall(word, caplog.text)) == number + 1
    folder.database.unlink()
    with pytest.raises(RuntimeError, match="has pairs of other photographs: run d2sfm pairs"):
        assemble(folder.path, tmp_path / "without.db")
    with pytest.raises(RuntimeError, match="has other pairs that are matched already"):
        choose_pairs(folder)
    for path in folder.path.glob("matches-*.db"):
        path.unlink()
    assert choose_pairs(folder).images == VIEWS


@pytest.mark.slow
def test_what_can_not_be_imported_is_not_looked_for_again(folder, monkeypatch):
    folder.database.unlink()
    refused = folder.photographs.names[1]
    real = import_blocks.import_folder

    def without_one(database, images, photographs, cameras, skipped):
        skipped[refused] = "COLMAP can't import it"
        return real(database, images, [each for each in photographs if each.name != refused], cameras, skipped)

    monkeypatch.setattr(import_blocks, "import_folder", without_one)
    assert list(choose_pairs(folder).skipped) == [refused]
    made = folder.database.stat().st_mtime_ns
    assert choose_pairs(folder).already_there
    assert folder.database.stat().st_mtime_ns == made
