"""Commands with the real network, from a process of their own or to the end of refinement."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from support.photograph_folder import write_overlapping

from d2sfm.cli import main
from d2sfm.console import EXIT_INTERRUPTED
from d2sfm.database import FeatureStore, MatchStore


@pytest.fixture
def photographs(tmp_path):
    return write_overlapping(tmp_path / "photographs")


def run(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.mark.slow
def test_refine_in_place_in_a_copy_and_back(photographs, tmp_path, capsys):
    database, copy = tmp_path / "db.db", tmp_path / "copy.db"
    assert (
        run(
            "extract", "--images", photographs, "--database", database, "--max-edge", "96", "--cache", tmp_path / "maps"
        )
        == 0
    )
    assert len(list((tmp_path / "maps").iterdir())) == 3
    assert run("match", "--database", database) == 0
    with MatchStore(database) as store:
        original = store.keypoints(1)
    capsys.readouterr()
    assert run("refine", "--database", database, "--output", copy, "--cache", tmp_path / "maps") == 0
    assert "keypoints of" in capsys.readouterr().out
    with MatchStore(database) as store:
        assert np.array_equal(store.keypoints(1), original)
    with MatchStore(copy) as store:
        assert not np.array_equal(store.keypoints(1), original)
        assert len(store.done_pairs(verified=True)) == 3
    assert run("reconstruct", "--database", copy, "--output", tmp_path / "sparse") == 1
    assert "refine" not in capsys.readouterr().out  # they are refined
    assert run("refine", "--database", copy, "--restore") == 0
    assert "original keypoints of 3 images restored" in capsys.readouterr().out
    with MatchStore(copy) as store:
        assert np.array_equal(store.keypoints(1), original)


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_no_error(photographs, tmp_path):
    command = f"{sys.executable} -m d2sfm extract --images '{photographs}' --database '{tmp_path}/db.db' --max-edge 48"
    piped = f"set -o pipefail; {command} | true"
    finished = subprocess.run(["bash", "-c", piped], capture_output=True, text=True)
    assert finished.returncode == 0
    assert "rror" not in finished.stderr


@pytest.mark.slow
def test_an_interrupted_run_says_so_and_keeps_what_is_done(photographs, tmp_path):
    for index in range(3, 40):
        shutil.copy(photographs / "0.png", photographs / f"{index}.png")
    command = [sys.executable, "-m", "d2sfm", "extract", "--images", photographs, "--database", tmp_path / "db.db"]
    process = subprocess.Popen([*command, "--max-edge", "48"], stderr=subprocess.PIPE, text=True, env={**os.environ})
    wait_for_features(tmp_path / "db.db")
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == EXIT_INTERRUPTED
    assert "run the same command again to continue" in error
    with FeatureStore(tmp_path / "db.db") as store:
        done = list(store.extracted())
        assert 0 < len(done) < 40
        assert all(len(store.read(name)) > 0 for name in done)
    assert run(*command[3:], "--max-edge", 48, "--quiet") == 0
    with FeatureStore(tmp_path / "db.db") as store:
        assert len(store.extracted()) == 40


def wait_for_features(database, timeout_s=60):
    """Until another process has written features of at least one image."""
    give_up = time.monotonic() + timeout_s
    while time.monotonic() < give_up:
        if database.exists() and database.stat().st_size > 0:
            try:
                with FeatureStore(database) as store:
                    if store.extracted():
                        return
            except RuntimeError:
                pass  # it is being made just now
        time.sleep(0.02)
    raise AssertionError("no features were written")
