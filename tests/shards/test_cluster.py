"""A cluster of Dask does what one process does, whatever ends of it; here without one, or with two workers."""

import io
import logging
import os
import shutil
import subprocess
import sys
import time
from functools import partial

import cv2
import psutil
import pytest
from support import cluster_work
from support.cluster_work import Here, begin_client, below, heard_at
from support.database_contents import rows
from support.helpers import textured_picture
from support.photograph_folder import SMALL, TINY, cut, read_all
from support.runs import start

from d2sfm.cli import main
from d2sfm.database import exclusive
from d2sfm.extraction.extract import extract_to_database
from d2sfm.shards import cluster as cluster_module
from d2sfm.shards import scheduler
from d2sfm.shards.cluster_extraction import extract_on_cluster
from d2sfm.shards.cluster_worker import Call, perform
from d2sfm.shards.feature_block import FeatureBlock
from d2sfm.workflow.reconstruct_photographs import reconstruct_photographs

pytestmark = pytest.mark.usefixtures("narrow_network", "one_thread")

COUNT = 10  # photographs
FEATURES = (
    "cameras",
    "images",
    "keypoints",
    "descriptors",
    "d2sfm_features",
    "d2sfm_settings",
    "frames",
    "pose_priors",
)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project") / "photographs"
    folder.mkdir()
    whole = textured_picture(3, (96 + 8 * COUNT, 96))
    for number in range(COUNT):
        width = 96 if number % 3 else 88
        cv2.imwrite(str(folder / f"{number}.png"), whole[:, 8 * number : 8 * number + width])
    (folder / "damaged.png").write_bytes((folder / "0.png").read_bytes()[:300])
    return folder


@pytest.fixture(scope="module")
def in_one_process(photographs, narrow_network, one_thread):
    database = photographs.parent / "one.db"
    extract_to_database(database, photographs, options=SMALL)
    return database


@pytest.mark.slow
def test_features_are_those_of_one_process_whatever_becomes_of_a_worker(
    workers, switches, photographs, in_one_process, caplog
):
    database = photographs.parent / "two.db"
    extract_on_cluster(workers, database, photographs, options=SMALL, only=["[0-3].png"])
    assert "is lost" not in caplog.text
    (switches / "kill").touch()
    summary = extract_on_cluster(workers, database, photographs, options=SMALL)
    assert not (switches / "kill").exists()
    assert "is lost: what it had in hand is done again" in caplog.text
    assert (summary.extracted, summary.already_there) == (COUNT - 4, 4)
    assert list(summary.skipped) == ["damaged.png"]
    assert rows(database, *FEATURES) == rows(in_one_process, *FEATURES)
    assert sorted(path.name for path in photographs.parent.glob("two.db*")) == ["two.db"]


@pytest.mark.slow
def test_workers_listen_to_this_machine_alone(workers):
    list(workers.run(cluster_work.warn_and_double, [(1,)]))  # the cluster begins with its first task
    assert heard_at([psutil.Process(), *below(os.getpid())]) == {"127.0.0.1"}


@pytest.mark.slow
def test_errors_and_warnings_of_a_task_are_those_of_the_client(workers, caplog):
    results = dict(workers.run(cluster_work.warn_and_double, [(3,), (4,), (5,)]))
    assert results == {0: 6, 1: 8, 2: 10}
    heard = [(record.name, record.message) for record in caplog.records if record.name.startswith("d2sfm")]
    assert heard == [("d2sfm.somewhere", "doubling")]
    with pytest.raises(ValueError, match=r"^3 is refused$"):
        list(workers.run(cluster_work.refuse, [(3,)]))


@pytest.mark.slow
def test_a_client_that_was_killed_leaves_no_process_and_goes_on(workers, switches, photographs, in_one_process):
    database = photographs.parent / "killed.db"
    (switches / "slow").touch()
    command = ["extract", photographs, "--database", database, "--max-edge", SMALL.max_edge, "--num-workers", 1]
    process = start(command, partial(begin_client, switches))
    while process.is_alive() and not (switches / "slow.begun").exists():
        time.sleep(0.02)
    children = below(process.pid)
    process.kill()
    process.join()
    (switches / "slow").unlink()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
    extract_on_cluster(workers, database, photographs, options=SMALL)
    assert rows(database, *FEATURES) == rows(in_one_process, *FEATURES)
    assert sorted(path.name for path in photographs.parent.glob("killed.db*")) == ["killed.db"]


@pytest.mark.slow
def test_pieces_that_were_left_are_taken_in_unless_they_are_cut_short(photographs, in_one_process):
    database = photographs.parent / "pieces.db"
    with pytest.raises(KeyboardInterrupt):
        extract_on_cluster(Here(is_killed=True), database, photographs, options=SMALL)
    pieces = sorted(photographs.parent.glob("pieces.db.shards/*"))
    assert len(pieces) == COUNT // 2 + 1  # with the damaged photograph
    with FeatureBlock(pieces[0]) as block:
        lost = block.of
    cut(pieces[0])
    here = Here()
    summary = extract_on_cluster(here, database, photographs, options=SMALL)
    assert sorted(name for names in extracted_by(here) for name in names) == sorted({*lost, "damaged.png"})
    assert (summary.extracted, list(summary.skipped)) == (COUNT, ["damaged.png"])
    assert rows(database, *FEATURES) == rows(in_one_process, *FEATURES)
    assert sorted(path.name for path in photographs.parent.glob("pieces.db*")) == ["pieces.db"]


@pytest.mark.slow
def test_a_photograph_that_was_mended_is_extracted(photographs, tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name in ("0.png", "damaged.png"):
        shutil.copy(photographs / name, folder)
    with pytest.raises(KeyboardInterrupt):
        extract_on_cluster(Here(is_killed=True), tmp_path / "db.db", folder, options=TINY)
    shutil.copy(photographs / "0.png", folder / "damaged.png")
    here = Here()
    assert extract_on_cluster(here, tmp_path / "db.db", folder, options=TINY).extracted == 2
    assert extracted_by(here) == [["damaged.png"]]


def test_a_database_in_use_keeps_its_pieces(photographs, tmp_path):
    piece = tmp_path / "db.db.shards" / "piece-0.h5"
    piece.parent.mkdir()
    piece.touch()
    with exclusive(tmp_path / "db.db"), pytest.raises(RuntimeError, match="is in use by another run"):
        extract_on_cluster(Here(), tmp_path / "db.db", photographs, options=TINY, overwrite=True)
    assert piece.exists()


def extracted_by(here):
    return [[each.name for each in photographs] for name, (_, photographs, *_) in here.done if name == "extract_piece"]


@pytest.mark.slow
def test_pieces_of_other_options_are_extracted_anew(photographs, tmp_path):
    database, some = tmp_path / "db.db", {"only": ["[01].png"]}
    with pytest.raises(KeyboardInterrupt):
        extract_on_cluster(Here(is_killed=True), database, photographs, options=TINY, **some)
    here = Here()
    extract_on_cluster(here, database, photographs, options=SMALL, **some)
    assert extracted_by(here) == [["0.png", "1.png"]]
    assert {features.input_size for features in read_all(database).values()} == {(88, 96), (96, 96)}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--num-workers", "0"], "num_workers must be 1 or more, found 0"),
        (["--num-workers", "2", "--cache", "maps"], "--cache of extract is for one process"),
        (["--num-workers", "2", "--convention", "reference"], "--convention reference is for one process"),
        (["--num-workers", "2", "--device", "cuda:1"], "of its own, but this run asks for cuda:1"),
        (["--num-workers", "2", "--output-type", "npz"], "go with --images and a database, not with files"),
        (["--num-workers", "2", "--shard", "1/2", "--output", "there"], "--shard is one process's part"),
    ],
)
def test_what_a_cluster_cant_do_is_refused_before_anything_is_done(
    photographs, tmp_path, caplog, monkeypatch, arguments, sentence
):
    monkeypatch.setattr(cluster_module, "find_spec", lambda name: name)
    monkeypatch.setattr(cluster_module, "_connected", lambda *_: pytest.fail("a cluster was begun"))
    monkeypatch.chdir(tmp_path)
    assert main(["extract", str(photographs), "--database", "db.db", *arguments]) == 2
    assert sentence in caplog.text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["match", "db.db", "--num-workers", "2", "--shard", "1/2"], "--shard is one process's part"),
        (["refine", "db.db", "--num-workers", "2", "--parts", "there"], "--parts is one process's part"),
        (["refine", "db.db", "--num-workers", "2", "--restore"], "--restore is done by one process"),
        (["match", "db.db", "--num-workers", "2", "--device", "cuda:1"], "of its own, but this run asks for cuda:1"),
        (["refine", "db.db", "--num-workers", "2", "--device", "cuda:1"], "of its own, but this run asks for cuda:1"),
        (["run", "photographs", "--num-workers", "-1"], "num_workers must be 1 or more, found -1"),
    ],
)
def test_other_commands_refuse_as_much(tmp_path, caplog, monkeypatch, arguments, sentence):
    monkeypatch.setattr(cluster_module, "find_spec", lambda name: name)
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert sentence in caplog.text
    assert not list(tmp_path.iterdir())


def test_a_run_with_one_gpu_of_several_is_refused_before_anything_is_done(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_module, "find_spec", lambda name: name)
    monkeypatch.setattr(cluster_module, "_connected", lambda *_: pytest.fail("a cluster was begun"))
    for given in ({"refine": {"device": "cuda:1"}}, {"match": {"device": "cuda:0"}}):
        with (
            cluster_module.cluster(2) as workers,
            pytest.raises(ValueError, match="has a GPU of its own, but this run asks for"),
        ):
            reconstruct_photographs(photographs, tmp_path / "model", config=given, cluster=workers)
    assert not list(tmp_path.iterdir())
    with cluster_module.cluster(scheduler="tls://head:8786") as workers:
        workers.require_device("cuda:1")


def test_without_dask_one_line_tells_what_to_install(photographs, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(cluster_module, "find_spec", lambda name: None)
    assert main(["extract", str(photographs), "--database", str(tmp_path / "db.db"), "--num-workers", "2"]) == 2
    assert 'need Dask: pip install "d2sfm[cluster]"' in caplog.text


@pytest.mark.parametrize(
    ("address", "is_told"),
    [
        ("tcp://10.0.0.1:8786", True),
        ("node7:8786", True),
        ("ws://node7:8786", True),
        ("tls://node7:8786", False),
        ("tcp://127.0.0.1:8786", False),
        ("localhost:8786", False),
        ("tcp://[::1]:8786", False),
    ],
)
def test_an_address_that_anybody_may_listen_to_is_told(caplog, address, is_told):
    scheduler.warn_of_open(address)
    assert ("Dask runs whatever a client sends" in caplog.text) == is_told


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("tls://node7:8786", "tls://node7:8786 needs certificates: name them in Dask's configuration"),
        ("node7", "the address of a scheduler is tls://HOST:PORT, found 'node7'"),
        ("", "the address of a scheduler is tls://HOST:PORT, found ''"),
        ("http://node7:8786", "unknown address scheme 'http'"),
        ("tcp://node7:99999", "Port out of range"),
    ],
)
def test_an_address_that_cant_be_used_is_refused_at_once(address, told):
    pytest.importorskip("distributed")
    with cluster_module.cluster(scheduler=address) as workers, pytest.raises(ValueError, match=told):
        assert workers.workers


def test_no_cluster_begins_for_no_work(monkeypatch):
    monkeypatch.setattr(cluster_module, "find_spec", lambda name: name)
    monkeypatch.setattr(cluster_module, "_connected", lambda *_: pytest.fail("a cluster was begun"))
    with cluster_module.cluster(2) as workers:
        assert list(workers.run(cluster_work.warn_and_double, [])) == []


def test_dasks_own_log_is_kept_back_while_a_cluster_is_there_alone():
    log, handler = logging.getLogger("distributed.somewhere"), logging.StreamHandler(io.StringIO())
    log.addHandler(handler)
    with cluster_module._silence(), cluster_module._silence():
        log.error("within")
    log.error("after")
    log.removeHandler(handler)
    assert handler.stream.getvalue() == "after\n"


def test_what_ends_a_task_comes_back_as_it_is_or_as_its_text():
    def outcome(function, *arguments, **changed):
        return perform(Call(0, function, arguments, logging.INFO)._replace(**changed))

    assert outcome(cluster_work.warn_and_double, 2)[1:] == (4, None, [("d2sfm.somewhere", logging.WARNING, "doubling")])
    assert isinstance(outcome(cluster_work.refuse, 1).error, ValueError)
    assert repr(outcome(cluster_work.refuse_with_a_function).error) == "RuntimeError('of one process')"
    assert "a worker has d2sfm" in str(outcome(cluster_work.refuse, 1, version="0.0").error)


@pytest.mark.slow
def test_a_worker_that_loses_its_connection_costs_its_piece_alone(switches, photographs, in_one_process):
    pytest.importorskip("distributed")
    alone = ["unshare", "--map-root-user", "--net"]
    if shutil.which("ip") is None or subprocess.run([*alone, "ip", "link", "set", "lo", "up"]).returncode:
        pytest.skip("no networks of its own for a process: no unshare or ip, or not allowed")
    database = photographs.parent / "cut.db"
    command = [*alone, sys.executable, "-m", "support.cut_off", switches, photographs, database]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "is not encrypted, and Dask runs whatever a client sends" in done.stderr
    assert "is lost: what it had in hand is done again" in done.stderr
    assert rows(database, *FEATURES) == rows(in_one_process, *FEATURES)
