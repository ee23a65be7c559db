"""One database of blocks: whole or not there, equal to that of one process, and a stopped run goes on."""

import json
import os

import pytest
from support.database_contents import dump
from support.photograph_folder import SMALL, cut, write_overlapping
from support.shard_folder import write_shard_folder

from d2sfm.cli import main
from d2sfm.database import file
from d2sfm.extraction.extract import extract_to_database
from d2sfm.matching.match import match_database
from d2sfm.options import PairSelectionOptions, VerificationOptions
from d2sfm.shards import assemble as assembling
from d2sfm.shards.assemble import assemble
from d2sfm.shards.features import extract_shard
from d2sfm.shards.folder import ShardFolder
from d2sfm.shards.matching import match_shard
from d2sfm.shards.pairs import choose_pairs
from d2sfm.shards.share import Share

pytestmark = pytest.mark.usefixtures("narrow_network")


@pytest.fixture
def overlapping(tmp_path):
    return write_overlapping(tmp_path / "overlapping")


@pytest.fixture
def one(tmp_path, overlapping):
    extract_to_database(tmp_path / "one.db", overlapping, options=SMALL)
    match_database(tmp_path / "one.db", verification=VerificationOptions())
    return tmp_path / "one.db"


@pytest.fixture
def shards(tmp_path, overlapping, one):
    """The same in shards, with one block of pairs."""
    extract_shard(tmp_path / "shards", overlapping, Share(1, 1), options=SMALL)
    folder = ShardFolder(tmp_path / "shards")
    choose_pairs(folder)
    match_shard(folder.path, Share(1, 1), verification=VerificationOptions())
    return folder


def as_one(path):
    """Without what the rest of the writing decides: the order of tables, pages and freed rows."""
    return sorted(dump(path).split("\n"))


def test_the_database_is_that_of_one_process(tmp_path, shards, one):
    summary = assemble(shards.path, tmp_path / "db.db", descriptors=True)
    assert (summary.images, summary.pairs) == (3, 3)
    assert as_one(tmp_path / "db.db") == as_one(one)
    assert str(summary).startswith(f"assemble: 3 images, 3 pairs ({summary.verified} of them verified) in ")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_refused_before_the_work(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe is a device or a pipe, expected the name of a file"):
        assemble(write_shard_folder(tmp_path / "shards").path, tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.slow
def test_features_alone_are_assembled_before_pairs_are_chosen(tmp_path, overlapping):
    extract_shard(tmp_path / "shards", overlapping, Share(1, 1), options=SMALL)
    assert assemble(tmp_path / "shards", tmp_path / "db.db", descriptors=True).pairs == 0
    extract_to_database(tmp_path / "one.db", overlapping, options=SMALL)
    assert as_one(tmp_path / "db.db") == as_one(tmp_path / "one.db")


def stop(*_, **__):
    raise InterruptedError


def stop_at(name):
    """What stops when a database gets its name."""

    def put_in_place(part, path):
        return stop() if path.name == name else file.put_in_place(part, path)

    return put_in_place


def cut_short(source, copy):
    copy.write_bytes(source.read_bytes()[:5000])
    stop()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "breaks"),
    [
        ("shutil.copyfile", cut_short),
        ("write_features_of", stop),
        ("MatchStore.take_in", stop),
        ("put_in_place", stop_at("db.db")),
    ],
)
def test_a_stopped_run_leaves_no_database_and_goes_on(tmp_path, shards, one, monkeypatch, broken, breaks):
    with monkeypatch.context() as patch:
        patch.setattr(f"{assembling.__name__}.{broken}", breaks)
        with pytest.raises(InterruptedError):
            assemble(shards.path, tmp_path / "db.db", descriptors=True)
    assert not (tmp_path / "db.db").exists()
    assemble(shards.path, tmp_path / "db.db", descriptors=True)
    assert as_one(tmp_path / "db.db") == as_one(one)
    assert not (tmp_path / ".db.db.unfinished").exists()


@pytest.mark.slow
def test_what_a_run_with_other_options_left_is_not_gone_on_with(tmp_path, shards, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(assembling, "put_in_place", stop_at("db.db"))
        with pytest.raises(InterruptedError):
            assemble(shards.path, tmp_path / "db.db", descriptors=True)
    assemble(shards.path, tmp_path / "db.db")
    assert 'INSERT INTO "descriptors"' not in dump(tmp_path / "db.db")


@pytest.mark.slow
def test_pairs_that_were_chosen_before_are_not_in_the_database(tmp_path, shards, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(assembling, "put_in_place", stop_at("db.db"))
        with pytest.raises(InterruptedError):
            assemble(shards.path, tmp_path / "db.db")
    for path in (shards.matches(0), shards.matching_record):
        path.unlink()
    (tmp_path / "one pair.txt").write_text(" ".join(shards.photographs.names[:2]))
    choose_pairs(shards, PairSelectionOptions(pairs=str(tmp_path / "one pair.txt")))
    match_shard(shards.path, Share(1, 1), verification=VerificationOptions())
    assert assemble(shards.path, tmp_path / "db.db").pairs == 1


@pytest.mark.slow
def test_what_is_missing_is_named(tmp_path, shards):
    cut(shards.matches(0))
    with pytest.raises(RuntimeError, match=r"lacks 1 block \(matches-0000.db\) of 1 with matches: run d2sfm match"):
        assemble(shards.path, tmp_path / "db.db")
    shards.features(0).unlink()
    with pytest.raises(RuntimeError, match=r"lacks 1 block \(features-0000.h5\) of 2, or they are damaged"):
        assemble(shards.path, tmp_path / "db.db")
    assert not (tmp_path / "db.db").exists()


@pytest.mark.slow
def test_a_database_that_is_there_stays(tmp_path, shards, one):
    before = one.read_bytes()
    with pytest.raises(RuntimeError, match="exists already"):
        assemble(shards.path, one)
    assert one.read_bytes() == before


@pytest.mark.slow
def test_a_network_folder_is_told(tmp_path, shards, monkeypatch, caplog):
    monkeypatch.setattr(assembling, "network_file_system", lambda path: "nfs4")
    assemble(shards.path, tmp_path / "db.db")
    assert "is on a network folder (nfs4), where SQLite is slow" in caplog.text


@pytest.mark.parametrize(
    "command", ["extract --max-edge 96 --images", "match", "refine", "export --output out", "bridge --images"]
)
def test_features_without_descriptors_are_not_taken_for_none(tmp_path, shards, capsys, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    assemble(shards.path, tmp_path / "db.db")
    before = dump(tmp_path / "db.db")
    folder = [str(ShardFolder(shards.path).photographs.images)] if command.endswith("--images") else []
    name, *options = command.split()
    assert main([name, "--database", "db.db", *options, *folder]) == 2
    assert "db.db was assembled without descriptors, which this needs: run d2sfm assemble" in capsys.readouterr().err
    assert dump(tmp_path / "db.db") == before


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["--quiet", "--verbose"])
def test_the_command(tmp_path, shards, capsys, noise):
    given = ["assemble", str(shards.path), "--database", str(tmp_path / "db.db")]
    assert main([*given, noise, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["results"]["assemble"]
    assert (found["images"], found["pairs"]) == (3, 3)
    assert main(given) == 2
    assert "exists already: give the assembled database another name" in capsys.readouterr().err
