"""The driver on photographs of a rendered scene whose correspondences are exact: moved, or refused."""

import json
import shutil
import sqlite3

import cv2
import numpy as np
import pytest
from support.database_contents import rows
from support.matched_square import CPU, PAIRS, errors_px, refined
from support.rendered_truth import transfer

from d2sfm.database import FeatureStore, MatchStore, RefinementStore
from d2sfm.database.connection import Connection
from d2sfm.database.pair_ids import pair_ids
from d2sfm.database.pair_rows import are_among
from d2sfm.database.tables import PAIR_TABLES
from d2sfm.matching.match import match_database
from d2sfm.matching.settings import noted_thresholds
from d2sfm.options import RefinementOptions, VerificationOptions
from d2sfm.refinement.continuation import NEAR_PX
from d2sfm.refinement.refine import restore_database

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]


def test_refined_keypoints_are_nearer_to_the_truth(database, matched, capsys):
    untouched = rows(database, "descriptors")
    summary = refined(database, matched)
    assert capsys.readouterr().err == ""
    before, after = errors_px(matched.database, matched), errors_px(database, matched)
    print(f"median {np.median(before):.2f} px, refined {np.median(after):.2f} px")
    assert np.median(after) < 0.5 * np.median(before)
    assert rows(database, "descriptors") == untouched
    assert (summary.images, summary.pairs, summary.verified) == (3, 3, 3)
    assert summary.moved > summary.tracks > 100
    assert 0 < summary.median_move_px < 12
    assert str(summary).startswith(f"refine: {summary.moved} keypoints of {summary.tracks} tracks in 3 images moved by")
    with RefinementStore(database) as store:
        assert store.refined() == {1, 2, 3}


def test_the_tight_threshold_is_that_of_the_new_geometries(refined_database, matched):
    with MatchStore(refined_database) as store:
        tight = {pair: len(store.inlier_matches(*pair)) for pair in PAIRS}
    refined(refined_database, matched, options=RefinementOptions(**CPU, max_error=0.3))
    with MatchStore(refined_database) as store:
        assert all(len(store.inlier_matches(*pair)) < tight[pair] for pair in PAIRS)


def test_grey_values_move_what_they_agree_with_and_nothing_else(database, matched, tmp_path):
    alone = shutil.copy(database, tmp_path / "alone.db")
    refined(alone, matched, options=RefinementOptions(**CPU, continue_=False))
    summary = refined(database, matched, options=RefinementOptions(**CPU, grey=False))
    assert summary.exact is None
    assert "grey" not in str(summary)
    kept, exact = 0, 0
    for image_id in (1, 2, 3):
        with RefinementStore(database) as store:
            by_features = store.keypoints(image_id)
            assert np.isnan(store.sigmas(image_id)).all()
        with RefinementStore(alone) as store:
            found, sigmas = store.keypoints(image_id), store.sigmas(image_id)
        stays = np.isnan(sigmas)
        assert np.array_equal(found[stays], by_features[stays])
        assert np.linalg.norm(found[~stays] - by_features[~stays], axis=1).max() < 320 / 256
        assert (sigmas[~stays] > 0).all()
        kept, exact = kept + stays.sum(), exact + (~stays).sum()
    assert min(kept, exact) > 50
    before, after = errors_px(database, matched), errors_px(alone, matched)
    print(f"median {np.median(before):.3f} px, by grey values {np.median(after):.3f} px")
    assert np.median(after) < 0.9 * np.median(before)
    expected = "was refined with grey False, continue False, but this run asks for grey True, continue True: d2sfm ref"
    with pytest.raises(RuntimeError, match=expected):
        refined(database, matched)
    with FeatureStore(database) as store:  # as earlier versions noted it
        note = {key: value for key, value in store.notes.refinement().items() if key != "grey"}
        store.notes.write("refinement", json.dumps(note))
    before = rows(database, "two_view_geometries")
    again = refined(database, matched, options=RefinementOptions(**CPU, grey=False))
    assert (again.images, again.verified) == (0, 0)
    assert rows(database, "two_view_geometries") == before


def test_tracks_go_on_in_images_without_a_keypoint_of_theirs(database, refined_database, matched):
    alone = refined(database, matched, options=RefinementOptions(**CPU, continue_=False))
    assert alone.continued == 0
    assert rows(database, "matches") == rows(matched.database, "matches")
    with MatchStore(refined_database) as store:
        more, errors = store.continued(), []
        assert sum(more.values()) > 10
        for a, b in PAIRS:
            own = [len(store.keypoints(each)) - more.get(each, 0) for each in (a, b)]
            matches = store.matches(a, b)
            with MatchStore(matched.database) as before:
                assert np.array_equal(matches[: len(before.matches(a, b))], before.matches(a, b))
                added = matches[len(before.matches(a, b)) :]
            assert (added >= own).any(axis=1).all()
            xy_a, xy_b = (store.keypoints(each)[rows].astype(float) for each, rows in zip((a, b), added.T, strict=True))
            expected, visible = transfer(matched.scene, matched.cameras[a - 1], matched.cameras[b - 1], xy_a)
            errors.append(np.linalg.norm(expected - xy_b, axis=1)[visible])
            assert len(store.inlier_matches(a, b)) > len(matches) / 3
    added, own = np.median(np.concatenate(errors)), np.median(errors_px(refined_database, matched)) * 320 / 256
    print(f"{more} added, median {added:.3f} px, of all matches {own:.3f} px")
    assert added < 0.75 * own
    tables = ("keypoints", "matches", "descriptors", "d2sfm_features")
    assert restore_database(refined_database) == 3
    assert rows(refined_database, *tables) == rows(matched.database, *tables)


@pytest.fixture
def misled(database):
    """A copy of the matched database with keypoints of image 3 that it verified by mistake, in place of the true ones:
    half a picture away. Also returns these keypoints, and the true ones."""
    with MatchStore(database) as store:
        pairs = {(a, 3): (store.matches(a, 3), store.inlier_matches(a, 3)) for a in (1, 2)}
        xy = store.keypoints(3)
    matched_ = [inliers[:, 1] for _, inliers in pairs.values()]
    true = np.intersect1d(*matched_)[::3]
    free = np.setdiff1d(np.arange(len(xy)), np.concatenate([matches[:, 1] for matches, _ in pairs.values()]))
    wrong = [free[np.argmin(abs(np.linalg.norm(xy[free] - xy[each], axis=1) - 100))] for each in true]
    replaced = np.arange(len(xy))
    wrong, first = np.unique(wrong, return_index=True)
    true = true[first]
    replaced[true] = wrong
    with Connection(database) as connection, connection.transaction():
        for (a, b), of_tables in pairs.items():
            for table, rows_ in zip(PAIR_TABLES, of_tables, strict=True):
                data = np.column_stack([rows_[:, 0], replaced[rows_[:, 1]]]).astype("<u4").tobytes()
                where = (data, int(pair_ids(a, b)))
                connection.rows(f"UPDATE {table} SET data = ? WHERE pair_id = ?", where)
    return database, wrong, true


def test_outliers_are_in_no_geometry_with_exact_keypoints_and_their_points_are_found(misled, matched):
    database, wrong, true = misled
    assert len(wrong) > 8
    assert refined(database, matched).outliers > 0
    with RefinementStore(database) as store:
        xy, originals, sigmas = store.keypoints(3), store.originals(3), store.sigmas(3)
    assert np.isfinite(sigmas[wrong]).mean() < 0.1  # by chance
    found = []
    for a in (1, 2):
        with MatchStore(database) as store:
            refuted, matches, inliers = store.refuted(a, 3), store.matches(a, 3), store.inlier_matches(a, 3)
        assert are_among(refuted, matches).all()  # where they stay
        assert not are_among(refuted, inliers).any()
        found.append(refuted[:, 1])
    is_outlier = np.isin(wrong, np.concatenate(found))
    assert is_outlier.any()
    added = xy[len(originals) :, :2]
    off_px = [np.linalg.norm(added - originals[each, :2], axis=1).min() for each in true[is_outlier]]
    print(f"{is_outlier.sum()} of {len(wrong)} are outliers, their points {np.median(off_px):.1f} px from keypoints")
    assert np.median(off_px) < NEAR_PX * 320 / 256


def test_refuted_matches_stay_such_in_another_round_and_where_pairs_are_matched_again(misled, matched):
    database, *_ = misled
    refined(database, matched)

    def refuted():
        with MatchStore(database) as store:
            return {pair: {tuple(match) for match in store.refuted(*pair).tolist()} for pair in PAIRS}

    before = refuted()
    assert any(before.values())
    assert refined(database, matched, options=RefinementOptions(**CPU, rounds=2)).images == 3
    after = refuted()
    own = {image_id: len(rows_) for image_id, rows_ in originals(matched).items()}
    for pair, matches in before.items():
        assert {match for match in matches if match[0] < own[pair[0]] and match[1] < own[pair[1]]} <= after[pair]
    match_database(database, verification=VerificationOptions(max_error=6.0, seed=3), overwrite=True)
    assert refuted() == after
    with MatchStore(database) as store:
        assert not any(are_among(store.inlier_matches(*pair), store.refuted(*pair)).any() for pair in PAIRS)
    restore_database(database)
    assert not any(refuted().values())


def originals(matched):
    """Keypoints as they were extracted, by image_id."""
    with RefinementStore(matched.database) as store:
        return {image_id: store.keypoints(image_id) for image_id in (1, 2, 3)}


def test_the_same_call_gives_the_same_database(database, matched, tmp_path):
    again = shutil.copy(database, tmp_path / "again.db")
    refined(database, matched)
    refined(again, matched, cache=None, images=matched.folder)
    tables = ("keypoints", "two_view_geometries", "d2sfm_original_keypoints")
    assert rows(database, *tables) == rows(again, *tables)


def test_pairs_are_verified_again_as_match_did_but_for_the_threshold(database, matched):
    with MatchStore(database) as store:
        counts = sorted(len(store.inlier_matches(*pair)) for pair in PAIRS)
    few = VerificationOptions(min_num_inliers=counts[1], max_error=6.0, seed=3)
    match_database(database, verification=few, overwrite=True)
    most = refined(database, matched).verified
    with MatchStore(database) as store:
        inliers = [len(store.inlier_matches(*pair)) for pair in PAIRS]
    assert most == sum(count >= counts[1] for count in inliers) < 3
    assert all(count == 0 or count >= counts[1] for count in inliers)


def test_missing_folders_databases_and_matches_are_named(database, matched, tmp_path):
    before = rows(database, "keypoints", "two_view_geometries")
    with pytest.raises(FileNotFoundError, match=r"no folder of photographs .*nowhere: give --images"):
        refined(database, matched, images=tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="no database"):
        refined(tmp_path / "nowhere.db", matched)
    with pytest.raises(FileNotFoundError, match="no database"):
        restore_database(tmp_path / "nowhere.db")
    assert rows(database, "keypoints", "two_view_geometries") == before
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM d2sfm_settings WHERE key = 'images'")
    connection.close()
    with pytest.raises(FileNotFoundError, match="give --images"):
        refined(database, matched)
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM two_view_geometries")
    connection.close()
    with pytest.raises(RuntimeError, match="no verified pairs of images: run d2sfm match first"):
        refined(database, matched, images=matched.folder)


def test_a_photograph_that_was_taken_away_is_left_as_it_is(database, matched, tmp_path, caplog):
    """The case deleted_photograph: the others are refined among themselves."""
    folder = shutil.copytree(matched.folder, tmp_path / "images")
    (folder / "view_01.png").unlink()
    with FeatureStore(database) as store:
        before = {name: store.read(name).keypoints for name in store.extracted()}
    refined(database, matched, images=folder)
    assert "keypoints stay as they are: 1 photograph (view_01.png)" in caplog.text
    with FeatureStore(database) as store:
        moved = {name: (store.read(name).keypoints != keypoints).any() for name, keypoints in before.items()}
    # Of two images those of the first are the references, which stay.
    assert moved == {"view_00.png": False, "view_01.png": False, "view_02.png": True}
    with FeatureStore(database) as store:
        assert store.later_in_pairs() == {"view_01.png": 2}
        thresholds = noted_thresholds(store)
    assert thresholds.of_pair((1, 2)) == thresholds.of_new != thresholds.of_pair((1, 3))
    assert refined(database, matched, images=matched.folder).images == 1  # it is there again
    with FeatureStore(database) as store:
        assert not store.later()
        assert (store.read("view_01.png").keypoints != before["view_01.png"]).any()
    (folder / "view_02.png").unlink()
    with pytest.raises(RuntimeError, match=r"lacks 2 of 3 photographs: check the folder"):
        refined(shutil.copy(matched.database, tmp_path / "other.db"), matched, images=folder)


def test_one_photograph_of_each_pair_is_not_enough(database, matched, tmp_path):
    folder = shutil.copytree(matched.folder, tmp_path / "images")
    (folder / "view_01.png").unlink()
    with Connection(database) as connection:
        connection.rows("DELETE FROM two_view_geometries WHERE pair_id != ?", (int(pair_ids(1, 2)),))
        connection.rows("DELETE FROM matches WHERE pair_id != ?", (int(pair_ids(1, 2)),))
    with pytest.raises(RuntimeError, match=r"lacks a photograph of every verified pair"):
        refined(database, matched, images=folder)
    with RefinementStore(database) as store:
        assert not store.refined()


def test_an_image_in_no_verified_pair_is_not_counted(database, matched):
    with Connection(database) as connection:
        connection.rows("DELETE FROM two_view_geometries WHERE pair_id NOT IN (SELECT min(pair_id) FROM matches)")
        connection.rows("DELETE FROM matches WHERE pair_id NOT IN (SELECT pair_id FROM two_view_geometries)")
    summary = refined(database, matched)
    assert (summary.images, summary.pairs) == (2, 1)


def test_changed_photographs_are_refused(database, matched, tmp_path):
    folder = shutil.copytree(matched.folder, tmp_path / "images")
    before = rows(database, "keypoints", "two_view_geometries")
    photograph = folder / "view_01.png"
    cv2.imwrite(str(photograph), np.zeros((200, 300, 3), np.uint8))
    with pytest.raises(ValueError, match=r"view_01\.png is 300 x 200 px, expected 320 x 240 px"):
        refined(database, matched, images=folder)
    (folder / "view_02.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"300 x 200 px, expected 320 x 240 px; view_02\.png is an empty file"):
        refined(database, matched, images=folder)
    assert rows(database, "keypoints", "two_view_geometries") == before


def test_a_damaged_photograph_is_named(database, matched, tmp_path):
    folder = shutil.copytree(matched.folder, tmp_path / "images")
    (folder / "view_01.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"view_01\.png"):
        refined(database, matched, images=folder)


def test_one_progress_bar_on_request(database, matched, capsys, monkeypatch):
    monkeypatch.setattr("d2sfm.progress._is_watched", lambda: True)
    refined(database, matched, progress=True)
    assert "refine: 100%" in capsys.readouterr().err
