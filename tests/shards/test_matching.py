"""Matches of blocks of pairs: the rows of one process, whatever the shares are, and a stopped run goes on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from support.database_contents import rows
from support.photograph_folder import cut
from support.shard_folder import QUICK, database_of, pair_rows, write_shard_folder

from d2sfm.database import FeatureStore, MatchStore
from d2sfm.database.pair_ids import image_pairs, pair_ids
from d2sfm.database.pair_rows import are_among
from d2sfm.database.tables import REFUTED, SIMILARITIES
from d2sfm.matching.match import match_database
from d2sfm.options import MatchingOptions, VerificationOptions
from d2sfm.pairs.arrays import exhaustive
from d2sfm.shards import folder as shards
from d2sfm.shards import matching
from d2sfm.shards import pairs as choosing
from d2sfm.shards.folder import ShardFolder
from d2sfm.shards.matching import match_block, match_block_of_database, match_shard, matched_blocks
from d2sfm.shards.pair_block import read_block
from d2sfm.shards.pairs import choose_pairs
from d2sfm.shards.share import Share

CPU = MatchingOptions(device="cpu")
ALL = Share(1, 1)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with all pairs in four blocks, and beside it the database of one process with their matches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "BLOCK_PHOTOGRAPHS", 4)
        patch.setattr(choosing, "FEWEST_PAIRS", 10)
        folder = write_shard_folder(tmp_path_factory.mktemp("written") / "shards")
        choose_pairs(folder)
        one = database_of(folder, folder.path.with_name("one.db"))
        shutil.copyfile(one, one.with_name("features.db"))
    match_database(one, options=CPU, verification=QUICK)
    return folder.path.parent


@pytest.fixture
def folder(tmp_path, written, monkeypatch):
    monkeypatch.setattr(shards, "BLOCK_PHOTOGRAPHS", 4)
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    return ShardFolder(tmp_path / "shards")


def match(folder, share=ALL, **given):
    return match_shard(folder.path, share, **{"options": CPU, "verification": QUICK} | given)


def all_rows(folder):
    """Rows of all blocks, which are there."""
    assert all(matched_blocks(folder))
    return pair_rows(*map(folder.matches, range(folder.pair_blocks)))


def of_one_process(folder):
    return pair_rows(folder.path.with_name("one.db"))


@pytest.mark.parametrize("of", [pytest.param(1, marks=pytest.mark.slow), 3, pytest.param(7, marks=pytest.mark.slow)])
def test_the_rows_are_those_of_one_process(folder, of):
    summaries = [match(folder, Share(number, of), num_threads=2) for number in range(of, 0, -1)]
    assert all_rows(folder) == of_one_process(folder)
    assert len(of_one_process(folder)[SIMILARITIES]) == sum(summary.pairs for summary in summaries) == 36
    assert sum(summary.verified for summary in summaries) > 9
    assert sum(summary.already_there for summary in summaries) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [{"verification": None}, {"options": MatchingOptions(device="cpu", guided=True, ratio=0.9)}],
    ids=["not verified", "guided"],
)
def test_options(folder, given):
    match(folder, **given)
    features = folder.path.with_name("features.db")
    match_database(features, **{"options": CPU, "verification": QUICK} | given)
    assert all_rows(folder) == pair_rows(features)
    with FeatureStore(features) as store:
        assert json.loads(folder.matching_record.read_text()) == store.notes.match_settings()


@pytest.mark.slow
def test_what_is_there_is_passed_over(folder, monkeypatch):
    first = match(folder, Share(1, 2))
    assert matched_blocks(folder) == [True, False, True, False]
    there = {number: folder.matches(number).stat().st_mtime_ns for number in (0, 2)}
    cut(folder.matches(2))
    summary = match(folder)
    assert summary.pairs - summary.already_there == 36 - 10
    assert all_rows(folder) == of_one_process(folder)
    assert folder.matches(0).stat().st_mtime_ns == there[0]
    monkeypatch.setattr(matching, "copy_part", None)
    assert match(folder, Share(1, 2)).already_there == first.pairs


def test_pairs_of_features_that_were_made_again_are_matched_again(folder):
    """As of other masks: the names and the settings are the same."""
    match(folder)
    name = folder.photographs.names[0]
    with h5py.File(folder.features(0), "r+") as file:
        for dataset, axis in (("keypoints", 0), ("scores", 0), ("scales", 0), ("descriptors", 1)):
            found = file[name][dataset][()]
            file[name][dataset][...] = np.flip(found, axis)
    with_it = [name in read_block(folder, number).names for number in range(folder.pair_blocks)]
    assert matched_blocks(folder) == [not is_in for is_in in with_it]
    assert not all(with_it)
    match(folder)
    one = database_of(folder, folder.path / "one.db")
    match_database(one, options=CPU, verification=QUICK)
    assert all_rows(folder) == pair_rows(one)


def test_each_photograph_is_read_once_a_block(folder, monkeypatch):
    read, reads = matching.FeatureBlock.read, []
    monkeypatch.setattr(
        matching.FeatureBlock, "read", lambda self, name, *of: reads.append(name) or read(self, name, *of)
    )
    match(folder, Share(2, folder.pair_blocks))
    assert len(reads) == len(set(reads)) < 9


@pytest.mark.slow
def test_other_options_are_refused(folder):
    match(folder, Share(4, 4))
    with pytest.raises(RuntimeError, match="was begun with seed 0, but this run asks for seed 1: use the same, or"):
        match(folder, verification=VerificationOptions(max_num_trials=500, seed=1))
    with pytest.raises(RuntimeError, match=r"was begun with max_error 8\.0, but this run asks for no max_error"):
        match(folder, verification=None)
    with pytest.raises(ValueError, match="guided matching needs geometries"):
        match(folder, verification=None, options=MatchingOptions(guided=True))
    assert matched_blocks(folder) == [False, False, False, True]


@pytest.mark.slow
def test_blocks_of_pairs_that_were_chosen_anew_are_matched_anew(folder):
    match(folder, Share(1, 4))
    text = folder.matches(0).read_bytes()
    folder.matches(1).write_bytes(text)
    assert matched_blocks(folder) == [True, False, False, False]


def test_folders_without_pairs(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="one is not a folder of shards: d2sfm extract --shard"):
        match_shard(tmp_path / "one", ALL, verification=QUICK)
    folder.pair_record.unlink()
    with pytest.raises(RuntimeError, match="shards has no pairs yet: run d2sfm pairs"):
        match(folder)


@pytest.mark.parametrize(
    ("broken", "error", "message"),
    [
        (lambda folder: cut(folder.pairs(0)), ValueError, "pairs-0000.txt is not as it was written: run d2sfm pairs"),
        (lambda folder: folder.pairs(0).unlink(), ValueError, "pairs-0000.txt is not as it was written"),
        pytest.param(lambda folder: cut(folder.features(0)), ValueError, "features-0000.h5", marks=pytest.mark.slow),
        pytest.param(
            lambda folder: folder.features(0).unlink(), FileNotFoundError, "features-0000.h5", marks=pytest.mark.slow
        ),
        (lambda folder: cut(folder.database), RuntimeError, "photographs.db is missing or damaged: run"),
        (lambda folder: folder.database.unlink(), RuntimeError, "photographs.db is missing or damaged: run"),
        (lambda folder: cut(folder.pair_record), ValueError, "pairs.json is damaged: remove it"),
        (lambda folder: folder.matching_record.write_text("7"), ValueError, "matching.json is damaged: remove it"),
    ],
)
def test_broken_folders(folder, broken, error, message):
    broken(folder)
    with pytest.raises(error, match=message) as raised:
        match(folder)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_a_killed_process_costs_its_block(folder):
    code = (
        "from d2sfm.options import *; from d2sfm.shards.share import Share\n"
        "from d2sfm.shards import folder, matching; folder.BLOCK_PHOTOGRAPHS = 4\n"
        f"matching.match_shard({str(folder.path)!r}, Share(1, 1), options=MatchingOptions(device='cpu'), "
        "verification=VerificationOptions(max_num_trials=500), num_threads=1)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    while not folder.matches(0).exists():
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert matched_blocks(folder)[0]
    summary = match(folder)
    assert summary.already_there >= 10
    assert all_rows(folder) == of_one_process(folder)
    assert not [path.name for path in folder.path.iterdir() if path.name.startswith(".")]


def test_pairs_of_a_database_that_is_only_read(folder, tmp_path):
    features, file = tmp_path / "features.db", tmp_path / "block.db"
    before, pairs = features.read_bytes(), exhaustive(range(1, 6))
    given = {"options": CPU, "verification": QUICK, "num_threads": 1}
    assert match_block_of_database(features, pairs, file, **given).already_there == 0
    assert features.read_bytes() == before
    numbers = set(pair_ids(*pairs.T).tolist())
    expected = of_one_process(folder)
    assert pair_rows(file) == {table: [row for row in expected[table] if row[0] in numbers] for table in expected}
    assert match_block_of_database(features, pairs, file, **given).already_there == 10
    assert match_block_of_database(features, pairs[1:], file, **given).already_there == 0


@pytest.mark.slow
def test_pairs_of_a_database_that_are_only_verified(tmp_path, folder):
    """Where keypoints were refined since, within refinement's threshold; what is to be matched again is."""
    path, expected = tmp_path / "features.db", tmp_path / "expected.db"
    match_database(path, options=CPU, verification=None)
    with FeatureStore(path) as store:
        store._connection.rows("INSERT INTO d2sfm_original_keypoints SELECT image_id, data FROM keypoints")
        store._connection.rows("DELETE FROM d2sfm_original_keypoints WHERE image_id = 9")
        store.notes.note_refinement({"max_error": 2.0, "max_error_px": 1.0})
        refuted = f"INSERT INTO {REFUTED} SELECT pair_id, substr(data, 1, 80) FROM matches WHERE rows > 10"
        store._connection.rows(refuted)
    shutil.copyfile(path, expected)
    pairs = exhaustive(range(1, 10))
    has_matches = np.arange(len(pairs)) % 3 > 0
    with MatchStore(path) as store:  # of others than these, the matches don't count
        for a, b in pairs[~has_matches].tolist():
            store.write(a, b, np.zeros((0, 2), np.uint32))
    match_database(expected, options=CPU, verification=QUICK)
    blocks = [tmp_path / "block 0.db", tmp_path / "block 1.db"]
    for file, part in zip(blocks, (slice(0, 20), slice(20, None)), strict=True):
        given = {"has_matches": has_matches[part], "options": CPU, "verification": QUICK}
        match_block_of_database(path, pairs[part], file, **given)
    assert pair_rows(*blocks) == pair_rows(expected)
    with MatchStore(expected) as store:
        of_pairs = [(store.inlier_matches(*pair), store.refuted(*pair)) for pair in pairs.tolist()]
    assert sum(len(refuted) for _, refuted in of_pairs) > 100
    assert not any(are_among(*each).any() for each in of_pairs)
    assert rows(expected, "two_view_geometries") != rows(tmp_path / "one.db", "two_view_geometries")


def test_arguments_of_other_processes(folder):
    """A scheduler hands a block to another process."""
    import pickle

    task = pickle.loads(pickle.dumps((match_block, (folder, 3), {"options": CPU, "verification": QUICK})))
    assert task[0](*task[1], **task[2]).pairs == 6
    with MatchStore(folder.path.with_name("one.db")) as store:
        assert len(image_pairs(store.done_pairs(verified=True))) == 36
