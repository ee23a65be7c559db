"""Pairs that are there: passed over, matched or verified again, also after a run that was stopped."""

import json
import sqlite3
from itertools import count

import numpy as np
import pytest
from support.four_views import VERIFICATION, rows, run, write_images

from d2sfm.database import FeatureStore, MatchStore, pairs_to_overwrite
from d2sfm.database.pair_ids import image_pairs
from d2sfm.database.tables import PAIR_TABLES, REFUSED, REFUTED, SIMILARITIES
from d2sfm.matching import tasks as pair_tasks
from d2sfm.matching.match import verify_again
from d2sfm.matching.verification import verify
from d2sfm.options import MatchingOptions, PairSelectionOptions, VerificationOptions


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
