import json
import logging
import sqlite3
import threading
import tracemalloc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count

import numpy as np
import pycolmap
import pytest
import torch
from scipy.spatial.transform import Rotation
from support.database_contents import done_pairs

from d2sfm.database import FeatureStore, MatchStore, exclusive, pairs_to_overwrite
from d2sfm.database.connection import Connection, open_pycolmap
from d2sfm.database.pair_ids import image_pairs, pair_ids
from d2sfm.database.tables import OUR_PAIR_TABLES, PAIR_TABLES, REFUSED, REFUTED, SIMILARITIES
from d2sfm.features.record import Features
from d2sfm.matching import tasks as pair_tasks
from d2sfm.matching import work
from d2sfm.matching.inputs import MatchingInputs
from d2sfm.matching.match import match_database, verify_again
from d2sfm.matching.verification import Verification, verify
from d2sfm.options import Convention, MatchingOptions, PairSelectionOptions, VerificationOptions
from d2sfm.pairs.arrays import exhaustive, in_tiles

CPU = MatchingOptions(device="cpu")
VERIFICATION = VerificationOptions(max_num_trials=500)
WIDTH, HEIGHT = 800, 600
EMPTY = "empty.jpg"  # the photograph without any keypoint


def view_features(number, descriptors_of_points, count_outliers=40):
    """Features of a view of 80 points, the camera turned and moved with its number; input at half size for view 2."""
    generator = np.random.default_rng(number)
    points = np.random.default_rng(99).uniform([-2, -1.5, 6], [2, 1.5, 10], (80, 3))
    seen = points @ Rotation.from_euler("y", 4.0 * number, degrees=True).as_matrix().T - [0.6 * number, 0, 0]
    xy = seen[:, :2] / seen[:, 2:] * 900 + [WIDTH / 2, HEIGHT / 2] + generator.normal(0, 0.3, (80, 2))
    xy = np.concatenate([xy, generator.uniform(0, 600, (count_outliers, 2))])
    outliers = generator.normal(size=(count_outliers, 512))
    descriptors = np.concatenate([descriptors_of_points + 0.5 * generator.normal(size=(80, 512)), outliers])
    order = generator.permutation(len(xy))
    return features(xy[order], descriptors[order], input_size=(400, 300) if number == 2 else (WIDTH, HEIGHT))


def features(xy, descriptors, input_size=(WIDTH, HEIGHT)):
    return Features(
        keypoints=np.column_stack([xy, np.ones((len(xy), 2))]).astype(np.float32),
        descriptors=(descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)).astype(np.float16),
        image_size=(WIDTH, HEIGHT),
        input_size=input_size,
        convention=Convention.COLMAP,
        scales=(1.0,),
    )


@pytest.fixture
def make_database(tmp_path):
    """Makes a database of four views of one scene, and one photograph without keypoints."""

    def make(name="db.db"):
        path = tmp_path / name
        write_images(path, [f"view {number}.jpg" for number in range(4)] + [EMPTY])
        points = np.random.default_rng(7).normal(size=(80, 512))
        with FeatureStore(path) as store:
            for number in range(4):
                store.write(f"view {number}.jpg", view_features(number, points), "settings")
            store.write(EMPTY, features(np.zeros((0, 2)), np.zeros((0, 512))), "settings")
        return path

    return make


@pytest.fixture
def database(make_database):
    return make_database()


def write_images(path, names):
    with open_pycolmap(path) as colmap:
        for name in names:
            camera = pycolmap.Camera(model="PINHOLE", width=WIDTH, height=HEIGHT, params=[900, 900, 400, 300])
            colmap.write_image(pycolmap.Image(name=name, camera_id=colmap.write_camera(camera)))


def rows(path):
    """All rows of pairs, byte for byte."""
    with sqlite3.connect(path) as connection:
        found = {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY pair_id").fetchall()
            for table in (*PAIR_TABLES, *OUR_PAIR_TABLES)
        }
    connection.close()
    return found


def run(path, **changes):
    return match_database(path, **{"options": CPU, "verification": VERIFICATION, **changes})


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


def test_a_second_run_passes_over_what_is_there(database):
    run(database)
    before = rows(database)
    summary = run(database, options=MatchingOptions(device="cpu", ratio=0.5))
    assert (summary.already_there, summary.matches, summary.verified) == (10, 0, 0)
    assert str(summary).endswith("10 pairs there already")
    assert rows(database) == before


def noted(path):
    with FeatureStore(path) as store:
        return json.loads(store.notes.read("match"))["max_error"]


def test_settings_are_noted_when_all_pairs_have_them(database, tmp_path, monkeypatch, caplog):
    run(database)
    first, tighter = noted(database), VerificationOptions(max_error=1.0, max_num_trials=500)
    with pytest.raises(FileNotFoundError):
        run(database, verification=tighter, overwrite=True, pairs=PairSelectionOptions(pairs=str(tmp_path / "none")))
    assert noted(database) == first
    (tmp_path / "pairs.txt").write_text("view 0.jpg view 1.jpg\n")
    one = PairSelectionOptions(pairs=str(tmp_path / "pairs.txt"))
    run(database, verification=tighter, overwrite=True, pairs=one)
    assert f"kept as made with max_error {first} (now 1.0): 9 pairs that this run was not asked for" in caplog.text
    assert noted(database) == first
    with monkeypatch.context() as patch:
        patch.setattr(MatchStore, "write", lambda *arguments, **named: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(database, verification=tighter, overwrite=True)
    assert noted(database) == first
    run(database, verification=VerificationOptions(max_error=2.0, max_num_trials=500))
    assert f"were made with max_error {first} (now 2.0): --overwrite matches them again" in caplog.text
    caplog.clear()
    run(database, verification=tighter, overwrite=True)
    assert noted(database) == 1.0
    run(database, verification=tighter)
    assert not caplog.text


def test_matches_without_geometry_are_kept_and_verified(make_database):
    database, at_once = make_database(), make_database("at once.db")
    summary = run(database, verification=None)
    assert summary.verified is None
    assert "verified" not in str(summary)
    assert rows(database)["two_view_geometries"] == []
    assert run(database, verification=None).already_there == 10
    with MatchStore(database) as store:  # matches that matching would not find again
        kept = store.matches(1, 2)[:40]
        store.write(1, 2, kept)
    assert run(database).already_there == 0
    run(at_once)
    with MatchStore(database) as store:
        np.testing.assert_array_equal(store.matches(1, 2), kept)
        assert store.pairs_table()[0][2] == 40
    changed, expected = rows(database), rows(at_once)
    assert [row for row in changed["matches"] if row[1] != 40] == expected["matches"][1:]
    assert changed["two_view_geometries"][1:] == expected["two_view_geometries"][1:]


def seen_by_verification(monkeypatch):
    """The bytes of the similarities that each pair is verified with from now on, by names; None for none."""
    seen = {}

    def watch(*given, similarities, names, **named):
        seen[names] = None if similarities is None else similarities.tobytes()
        return verify(*given, similarities=similarities, names=names, **named)

    monkeypatch.setattr(pair_tasks, "verify", watch)
    return seen


def without_geometries(path, *also):
    with sqlite3.connect(path) as connection:
        for statement in ("DELETE FROM two_view_geometries", *also):
            connection.execute(statement)
    connection.close()


def test_similarities_are_kept_and_every_verification_sees_the_same(make_database, monkeypatch):
    at_once, later, seen = make_database(), make_database("later.db"), seen_by_verification(monkeypatch)
    run(at_once)
    first = dict(seen)
    assert len(first) == 10
    with MatchStore(at_once) as store:
        for a, b in image_pairs(store.done_pairs(verified=True)).tolist():
            matches, similarities = store.matches(a, b), store.similarities(a, b)
            of_a, of_b = (store.descriptors(image_id).astype(np.float64) for image_id in (a, b))
            cosines = np.einsum("md,md->m", of_a[matches[:, 0]], of_b[matches[:, 1]])
            np.testing.assert_allclose(similarities, cosines, atol=2**-11)
            assert similarities.tobytes() == first[store.image_names()[a], store.image_names()[b]]
    expected = rows(at_once)
    for verify_now in (lambda: run(at_once), lambda: verify_again(at_once, VERIFICATION)):
        without_geometries(at_once)
        seen.clear()
        verify_now()
        assert seen == first
        assert rows(at_once) == expected
    run(later, verification=None)
    seen.clear()
    run(later)
    assert seen == first
    assert rows(later) == expected


def test_pairs_whose_similarities_are_not_known_are_verified_without(database, monkeypatch):
    seen = seen_by_verification(monkeypatch)
    run(database)
    without_geometries(
        database, f"DELETE FROM {SIMILARITIES} WHERE pair_id % 2 = 0", f"UPDATE {SIMILARITIES} SET digest = x''"
    )
    verify_again(database, VERIFICATION)
    assert set(seen.values()) == {None}
    assert rows(database)[SIMILARITIES] == []  # those that were of no use are gone
    without_geometries(database, f"DROP TABLE {SIMILARITIES}", f"DROP TABLE {REFUSED}")
    assert verify_again(database, VERIFICATION).verified == 6


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


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_a_stopped_run_leaves_whole_pairs_and_goes_on(make_database, monkeypatch, stop):
    expected = make_database("expected.db")
    run(expected)
    database = make_database()
    write = MatchStore.write

    def stop_at_the_fourth(store, *pair, **named):
        if len(store.done_pairs(verified=True)) == 3:
            raise stop("enough")
        write(store, *pair, **named)

    with monkeypatch.context() as patch:
        patch.setattr(MatchStore, "write", stop_at_the_fourth)
        with pytest.raises(stop, match="enough"):
            run(database)
    assert {table: len(found) for table, found in rows(database).items()} == {
        **dict.fromkeys((*PAIR_TABLES, SIMILARITIES), 3),
        **dict.fromkeys((REFUSED, REFUTED), 0),
    }
    assert run(database).already_there == 3
    assert rows(database) == rows(expected)


def stopped_at(method, number):
    """The method, which is interrupted at the call of that number."""
    calls = count(1)

    def stopping(*arguments, **named):
        if next(calls) == number:
            raise KeyboardInterrupt
        method(*arguments, **named)

    return stopping


TIGHTER = VerificationOptions(max_error=1.0, max_num_trials=500)
SEVEN_LEFT = (
    "still to be matched again: 7 pairs of {}, with max_error 1.0; run d2sfm match --overwrite again with the same "
    "options"
)


@pytest.fixture
def half_overwritten(database, monkeypatch, caplog):
    """All ten pairs, of which three were matched again when the run was stopped."""
    run(database)
    with monkeypatch.context() as patch:
        patch.setattr(MatchStore, "write", stopped_at(MatchStore.write, 4))
        with pytest.raises(KeyboardInterrupt):
            run(database, verification=TIGHTER, overwrite=True)
    caplog.clear()
    return database


@pytest.mark.slow
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_stopped_run_that_overwrites_goes_on(half_overwritten, make_database, overwrite, caplog):
    expected = make_database("expected.db")
    run(expected, verification=TIGHTER)
    assert rows(half_overwritten)["two_view_geometries"] != rows(expected)["two_view_geometries"]
    assert noted(half_overwritten) == VERIFICATION.max_error
    assert run(half_overwritten, verification=TIGHTER, overwrite=overwrite).already_there == 3
    assert caplog.messages == []
    assert rows(half_overwritten) == rows(expected)
    assert noted(half_overwritten) == 1.0
    assert pairs_to_overwrite(half_overwritten) is None
    for _ in range(2):  # once through, each is another run
        assert run(half_overwritten, verification=TIGHTER, overwrite=True).already_there == 0


def test_another_run_leaves_pairs_that_are_to_be_matched_anew_and_says_so(half_overwritten, caplog):
    before = rows(half_overwritten)
    assert run(half_overwritten).already_there == 10
    assert caplog.messages == [SEVEN_LEFT.format(half_overwritten)]
    assert rows(half_overwritten) == before
    assert run(half_overwritten, overwrite=True).already_there == 0  # all again, with its own settings
    assert caplog.messages[1:] == []


def names_of(path, numbers):
    with MatchStore(path) as store:
        return [[store.image_names()[image_id] for image_id in pair] for pair in image_pairs(numbers).tolist()]


def test_some_of_the_pairs_that_are_to_be_matched_anew(half_overwritten, tmp_path, caplog):
    [last] = names_of(half_overwritten, pairs_to_overwrite(half_overwritten).pending[-1:])
    (tmp_path / "pairs.txt").write_text("\t".join(last))
    one = PairSelectionOptions(pairs=str(tmp_path / "pairs.txt"))
    assert run(half_overwritten, verification=TIGHTER, overwrite=True, pairs=one).already_there == 0
    assert caplog.messages[-1] == SEVEN_LEFT.format(half_overwritten).replace("7 pairs", "6 pairs")
    assert run(half_overwritten, verification=TIGHTER, overwrite=True).already_there == 4


def test_pairs_that_were_matched_anew_and_lost_since_are_matched_again(half_overwritten):
    pending = pairs_to_overwrite(half_overwritten).pending
    with MatchStore(half_overwritten) as store:
        anew = np.setdiff1d(store.done_pairs(verified=True), pending)
    name, _ = names_of(half_overwritten, anew)[0]
    with FeatureStore(half_overwritten) as store:
        store.write(name, store.read(name), "settings")
    assert run(half_overwritten, verification=TIGHTER, overwrite=True).already_there < 3
    assert len(rows(half_overwritten)["matches"]) == 10


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


def test_descriptors_of_another_extractor(database):
    with sqlite3.connect(database) as connection:
        connection.execute(
            "UPDATE descriptors SET rows = 120, cols = 128, data = zeroblob(120 * 128) WHERE image_id = 3"
        )
    connection.close()
    with pytest.raises(RuntimeError, match=r"view 2\.jpg .* 128 bytes"):
        run(database)


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


def test_pairs_without_geometry_are_verified_again_as_match_would(database, make_database):
    expected = make_database("expected.db")
    run(expected)
    run(database)
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM two_view_geometries")
    connection.close()
    summary = verify_again(database, VERIFICATION)
    assert (summary.pairs, summary.already_there, summary.verified) == (10, 0, 6)
    assert rows(database) == rows(expected)


def test_only_pairs_without_geometry_are_verified_again(database):
    run(database)
    before = rows(database)
    assert verify_again(database, VERIFICATION).already_there == 10
    assert rows(database) == before
    first, *others = before["two_view_geometries"]
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM two_view_geometries WHERE pair_id = ?", first[:1])
    connection.close()
    summary = verify_again(database, VerificationOptions(max_num_trials=500, max_error=0.05))
    assert (summary.pairs, summary.already_there) == (10, 9)
    found, *untouched = rows(database)["two_view_geometries"]
    assert untouched == others
    assert found[0] == first[0]
    assert found[1] < first[1]  # inliers, of a threshold far below the keypoints' noise
    assert rows(database)["matches"] == before["matches"]


def test_moved_keypoints_are_verified_where_they_are(database):
    run(database)
    with MatchStore(database) as store:
        inliers = len(store.inlier_matches(1, 2))
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM two_view_geometries")
        [(data,)] = connection.execute("SELECT data FROM keypoints WHERE image_id = 2").fetchall()
        keypoints = np.frombuffer(data, "<f4").reshape(-1, 4).copy()
        keypoints[:, :2] = np.random.default_rng(0).uniform(0, 600, (len(keypoints), 2))
        connection.execute("UPDATE keypoints SET data = ? WHERE image_id = 2", (keypoints.tobytes(),))
    connection.close()
    verify_again(database, VERIFICATION)
    with MatchStore(database) as store:
        assert len(store.inlier_matches(1, 2)) < inliers / 2


def test_nothing_to_verify_again(tmp_path):
    path = tmp_path / "db.db"
    write_images(path, ["a.jpg"])
    summary = verify_again(path, VERIFICATION)
    assert (summary.pairs, summary.verified) == (0, 0)


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
