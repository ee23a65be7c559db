import logging
import sqlite3
import threading
import tracemalloc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pycolmap
import pytest
import torch
from support.database_contents import done_pairs
from support.four_views import EMPTY, VERIFICATION, rows, run, write_images

from d2sfm.database import MatchStore, exclusive
from d2sfm.database.connection import Connection
from d2sfm.database.pair_ids import pair_ids
from d2sfm.database.tables import REFUSED
from d2sfm.matching import tasks as pair_tasks
from d2sfm.matching import work
from d2sfm.matching.inputs import MatchingInputs
from d2sfm.matching.verification import Verification, verify
from d2sfm.options import PairSelectionOptions, VerificationOptions
from d2sfm.pairs.arrays import exhaustive, in_tiles


def test_every_pair_is_matched_and_verified(database):
    summary = run(database)
    with MatchStore(database) as store:
        table = store.pairs_table()
        assert done_pairs(store, verified=True) == {(i, j) for i in range(1, 6) for j in range(i + 1, 6)}
    of_views = [row for row in table if EMPTY not in row]
    assert len(of_views) == 6
    for name_a, name_b, matches, inliers in of_views:
        assert 80 <= matches <= 120, (name_a, name_b)
        assert 76 <= inliers <= matches, (name_a, name_b)
    assert [row[2:] for row in table if EMPTY in row] == [(0, 0)] * 4
    assert (summary.pairs, summary.already_there, summary.verified) == (10, 0, 6)
    assert summary.matches == sum(matches for *_, matches, _ in table)
    assert summary.matching_s > 0
    assert summary.verification_s > 0
    assert str(summary).startswith(f"match: 10 pairs, {summary.matches} matches in ")


@pytest.mark.slow
def test_the_rows_do_not_depend_on_threads_or_order(make_database, monkeypatch):
    alone = make_database("one.db")
    run(alone, num_threads=1)
    expected = rows(alone)
    for name, num_threads, tile in (("two.db", 2, 1), ("eight.db", 8, 2)):
        monkeypatch.setattr(work, "in_tiles", partial(in_tiles, tile=tile))
        path = make_database(name)
        run(path, num_threads=num_threads)
        assert rows(path) == expected
    other = make_database("other seed.db")
    run(other, verification=VerificationOptions(max_num_trials=500, seed=1))
    assert rows(other)["matches"] == expected["matches"]
    assert rows(other)["two_view_geometries"] != expected["two_view_geometries"]


def test_a_pair_that_is_refused_is_done_and_its_reason_kept(database, monkeypatch):
    def refuse(*given, names, **named):
        is_refused = names[0] == "view 1.jpg"
        return (
            Verification(pycolmap.TwoViewGeometry(), "by lot") if is_refused else verify(*given, names=names, **named)
        )

    with monkeypatch.context() as patch:
        patch.setattr(pair_tasks, "verify", refuse)
        summary = run(database)
    assert (summary.refused, summary.verified) == (3, 4)
    assert "4 pairs verified" in str(summary)
    assert str(summary).endswith("(all threads), 3 rejected as chance explains them")
    with MatchStore(database) as store:
        assert store.refusals() == dict.fromkeys(pair_ids(2, np.array([3, 4, 5])).tolist(), "by lot")
        assert len(store.done_pairs(verified=True)) == 10
    before = rows(database)
    again = run(database)
    assert (again.already_there, again.refused) == (10, 0)
    assert "refused" not in str(again)
    assert rows(database) == before
    run(database, overwrite=True)
    assert rows(database)[REFUSED] == []


def test_pairs_from_a_file(database, tmp_path):
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("view 3.jpg view 1.jpg\nview 0.jpg\tview 1.jpg\n")
    written = tmp_path / "written.txt"
    assert run(database, pairs=PairSelectionOptions(pairs=str(pairs)), write_pairs_to=written).pairs == 2
    assert written.read_text() == "view 1.jpg\tview 3.jpg\nview 0.jpg\tview 1.jpg\n"
    with MatchStore(database) as store:
        assert done_pairs(store, verified=True) == {(1, 2), (2, 4)}
    assert run(database).already_there == 2


def test_the_threshold_grows_with_the_larger_resize_factor(database, monkeypatch):
    seen, lock = {}, threading.Lock()

    def watch(*given, max_error_px, names, **named):
        with lock:
            seen[names] = max_error_px / VERIFICATION.max_error
        return verify(*given, max_error_px=max_error_px, names=names, **named)

    monkeypatch.setattr(pair_tasks, "verify", watch)
    run(database)
    assert len(seen) == 10
    assert {pair for pair, factor in seen.items() if factor == 2.0} == {pair for pair in seen if "view 2.jpg" in pair}
    assert set(seen.values()) == {1.0, 2.0}


def test_a_database_without_resize_factors_says_so(database, caplog):
    with sqlite3.connect(database) as connection:
        connection.execute("DROP TABLE d2sfm_features")
    connection.close()
    with caplog.at_level(logging.WARNING, logger="d2sfm"):
        assert run(database).verified == 6
    assert [record.getMessage() for record in caplog.records] == [
        f"{database} holds no resize factor of 5 images (view 0.jpg the first): "
        "there, max_error is in pixels of the photograph"
    ]


def test_an_error_in_a_thread_comes_out(database, monkeypatch):
    def fail(*arguments, **named):
        raise RuntimeError("no geometry today")

    monkeypatch.setattr(pair_tasks, "verify", fail)
    with pytest.raises(RuntimeError, match="no geometry today"):
        run(database)
    assert not any(rows(database).values())


def test_few_pairs_are_in_flight(database, monkeypatch):
    begun, ahead = [], []
    monkeypatch.setattr(pair_tasks, "PAIRS_IN_FLIGHT", 2)
    write = MatchStore.write

    class Pool(pair_tasks.ThreadPoolExecutor):
        def submit(self, *arguments):
            begun.append(1)
            return super().submit(*arguments)

    def count(store, *pair, **named):
        ahead.append(len(begun) - len(ahead))
        write(store, *pair, **named)

    monkeypatch.setattr(pair_tasks, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(MatchStore, "write", count)
    run(database, num_threads=1)
    assert len(ahead) == 10
    assert max(ahead) == 2


def test_torch_has_its_threads_again_after_a_run(database):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        run(database, num_threads=2)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_an_image_is_read_once(database, monkeypatch):
    asked = Counter()

    def counted(name):
        method = getattr(MatchStore, name)

        def read(store, image_id):
            asked[name, image_id] += 1
            return method(store, image_id)

        return read

    for name in ("descriptors", "camera"):
        monkeypatch.setattr(MatchStore, name, counted(name))
    run(database)
    assert asked == {(name, image_id): 1 for name in ("descriptors", "camera") for image_id in range(1, 6)}


def test_the_rows_do_not_depend_on_the_room_for_images(make_database, monkeypatch):
    expected, database = make_database("expected.db"), make_database()
    run(expected)
    monkeypatch.setattr(work, "MatchingInputs", partial(MatchingInputs, capacity_bytes=0))
    run(database)
    assert rows(database) == rows(expected)


def test_too_few_images(tmp_path):
    path = tmp_path / "db.db"
    write_images(path, [])
    with pytest.raises(RuntimeError, match=r"has 0 images, matching needs 2 or more"):
        run(path)
    write_images(path, ["a.jpg"])
    with pytest.raises(RuntimeError, match=r"has 1 image, matching needs 2 or more"):
        run(path)


def test_images_without_features_are_named_and_left_out(database, caplog):
    write_images(database, ["new.jpg", "newer.jpg"])
    assert run(database).pairs == 10
    assert "left out without features: 2 images (new.jpg the first)" in caplog.text
    assert len(rows(database)["matches"]) == 10


def test_no_features_at_all_say_what_to_run(tmp_path):
    path = tmp_path / "db.db"
    write_images(path, ["a.jpg", "b.jpg"])
    with pytest.raises(RuntimeError, match=r"no features of 2 of 2 images: run d2sfm extract"):
        run(path)


def test_descriptors_that_do_not_fit_the_keypoints(database):
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE descriptors SET rows = 60, data = substr(data, 1, 60 * 1024) WHERE image_id = 2")
    connection.close()
    with pytest.raises(RuntimeError, match=r"view 1\.jpg has 120 keypoints and 60 descriptors"):
        run(database)


def test_images_with_descriptors_of_another_extractor_are_named_and_left_out(database, caplog):
    with sqlite3.connect(database) as connection:
        connection.execute(
            "UPDATE descriptors SET rows = 120, cols = 128, data = zeroblob(120 * 128) WHERE image_id = 3"
        )
    connection.close()
    assert run(database).pairs == 6
    assert "4 pairs without matches, as descriptors of 1 image (view 2.jpg) are not D2-Net's" in caplog.text


def test_missing_files_and_empty_lists(database, tmp_path):
    with pytest.raises(FileNotFoundError, match="no database"):
        run(tmp_path / "nowhere.db")
    assert not list(tmp_path.glob("nowhere.db*"))
    with pytest.raises(FileNotFoundError, match="no pairs file"):
        run(database, pairs=PairSelectionOptions(pairs=str(tmp_path / "nowhere.txt")))
    (tmp_path / "pairs.txt").write_text("# none\n")
    with pytest.raises(RuntimeError, match="names no pair of images"):
        run(database, pairs=PairSelectionOptions(pairs=str(tmp_path / "pairs.txt")))


def test_one_run_at_a_time(database):
    with exclusive(database), pytest.raises(RuntimeError, match="in use by another run"):
        run(database)


def test_one_progress_bar_on_request(database, capsys, monkeypatch):
    monkeypatch.setattr("d2sfm.progress._is_watched", lambda: True)
    run(database)
    assert capsys.readouterr().err == ""
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM matches WHERE pair_id % 2 = 0")
        left = 10 - connection.execute("SELECT count(*) FROM matches").fetchone()[0]
    connection.close()
    run(database, progress=True)
    shown = capsys.readouterr().err
    assert "match" in shown
    assert f"{left}/{left}" in shown


def test_many_pairs_take_few_bytes(tmp_path):
    path, images = tmp_path / "db.db", 250
    write_images(path, [f"{number:03}.jpg" for number in range(images)])
    numbers = pair_ids(*exhaustive(range(1, images + 1)).T).tolist()
    with Connection(path) as connection, connection.transaction():
        connection.rows("INSERT INTO keypoints SELECT image_id, 0, 4, NULL FROM images")
        connection.rows("INSERT INTO descriptors SELECT image_id, -1, 0, 1024, NULL FROM images")
        connection.run_many("INSERT INTO matches VALUES (?, 0, 2, NULL)", ((number,) for number in numbers))
        columns = "pair_id, rows, cols, config"
        connection.rows(f"INSERT INTO two_view_geometries ({columns}) SELECT pair_id, 0, 2, 1 FROM matches")
    tracemalloc.start()
    try:
        assert run(path, pairs=PairSelectionOptions(pairs="exhaustive")).already_there == len(numbers)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most / len(numbers) < 90  # sets of tuples took 750
