import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pycolmap
import pytest
import torch
from support.posed_views import TRUE, WRONG, name_of, pose_of, true_poses, write_posed_views, write_reference

from d2sfm.cli import main
from d2sfm.database import MatchStore, Note
from d2sfm.database.pair_ids import pair_ids
from d2sfm.matching import chance
from d2sfm.matching.inputs import MatchingInputs
from d2sfm.matching.known_poses import forget_poses, known_views
from d2sfm.matching.match import match_database, verify_again
from d2sfm.matching.settings import Threshold, Thresholds
from d2sfm.options import MatchingOptions, PairSelectionOptions, VerificationOptions

COUNT = 4
PAIRS = [(a, b) for a in range(1, COUNT + 1) for b in range(a + 1, COUNT + 1)]
VERIFICATION = VerificationOptions(max_error=2.0, max_num_trials=500)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A database that is not matched, and the model of its true poses."""
    folder = tmp_path_factory.mktemp("posed")
    return write_posed_views(folder / "db.db", COUNT), write_reference(folder / "true", true_poses(range(COUNT)))


@pytest.fixture
def database(prepared, tmp_path):
    return shutil.copy(prepared[0], tmp_path / "db.db")


def match(path, **changes):
    options = {"options": MatchingOptions(device="cpu"), "verification": VERIFICATION}
    return match_database(path, **options | changes)


def pairs(path):
    """Matches and agreeing ones of each pair, as bytes."""
    with MatchStore(path) as store:
        return {pair: tuple(each.tobytes() for each in store.told_matches(*pair)) for pair in PAIRS}


def true_ones(path, pair):
    """How many of a pair's agreeing matches are true, and how many are not."""
    with MatchStore(path) as store:
        is_true = store.inlier_matches(*pair)[:, 0] < TRUE
    return np.count_nonzero(is_true), np.count_nonzero(~is_true)


def test_few_true_matches_are_found_where_ransac_finds_none(database, prepared, tmp_path):
    by_ransac = shutil.copy(database, tmp_path / "ransac.db")
    assert match(by_ransac).verified < len(PAIRS) / 2
    assert match(database, reference=prepared[1]).verified == len(PAIRS)
    for pair in PAIRS:
        true, wrong = true_ones(database, pair)
        assert true > 0.95 * TRUE
        assert wrong < 10
    with closing(pycolmap.Database.open(database)) as colmap:
        geometry = colmap.read_two_view_geometry(1, 3)
    assert geometry.config == pycolmap.TwoViewGeometryConfiguration.CALIBRATED
    expected = pose_of(2) * pose_of(0).inverse()
    np.testing.assert_allclose(geometry.cam2_from_cam1.matrix(), expected.matrix(), atol=1e-12)


def test_few_of_many_matches_are_enough_and_mapping_takes_them_as_they_are(database, prepared, monkeypatch):
    """Of 8 pixels' room, in which chance puts one match in thirty, RANSAC could fit as many to some geometry."""
    match(database, reference=prepared[1], verification=VerificationOptions())
    monkeypatch.setattr(chance, "_is_plane", lambda *_: False)
    wide = Thresholds(Threshold(8.0), Threshold(8.0), frozenset(), {})
    with MatchStore(database) as store:
        cameras, inliers = [store.camera(each) for each in (1, 2)], len(store.inlier_matches(1, 2))
        assert chance.chance_explains(cameras, TRUE + WRONG, inliers, 8.0)
        assert not len(chance.chance_pairs(store, wide))
        forget_poses(store, np.zeros((0, 2), int))
        assert len(chance.chance_pairs(store, wide))


def test_the_seed_counts_no_more(database, prepared, tmp_path):
    other = shutil.copy(database, tmp_path / "other.db")
    match(database, reference=prepared[1])
    match(other, reference=prepared[1], verification=VerificationOptions(max_error=2.0, max_num_trials=500, seed=5))
    assert pairs(database) == pairs(other)


def test_pairs_of_images_without_a_pose_are_verified_as_ever(database, tmp_path):
    by_ransac = shutil.copy(database, tmp_path / "ransac.db")
    match(by_ransac)
    match(database, reference=write_reference(tmp_path / "some", true_poses(range(COUNT - 1))))
    found, expected = pairs(database), pairs(by_ransac)
    assert all(found[pair] == expected[pair] for pair in PAIRS if COUNT in pair)
    assert all(true_ones(database, pair)[0] > 0.95 * TRUE for pair in PAIRS if COUNT not in pair)


def test_pairs_that_are_there_are_verified_again_and_keep_their_matches(database, prepared, tmp_path):
    at_once = shutil.copy(database, tmp_path / "at_once.db")
    match(at_once, reference=prepared[1])
    match(database)
    before = pairs(database)
    summary = match(database, reference=prepared[1])
    assert (summary.already_there, summary.verified) == (0, len(PAIRS))
    found = pairs(database)
    assert found == pairs(at_once)
    assert all(found[pair][0] == before[pair][0] for pair in PAIRS)
    assert match(database, reference=prepared[1]).already_there == len(PAIRS)


def test_pairs_that_were_not_asked_for_are_verified_by_them_too(database, prepared, tmp_path):
    at_once = shutil.copy(database, tmp_path / "at_once.db")
    match(at_once, reference=prepared[1])
    match(database)
    (tmp_path / "pairs.txt").write_text(f"{name_of(0)}\t{name_of(1)}\n")
    some = PairSelectionOptions(pairs=str(tmp_path / "pairs.txt"))
    assert match(database, reference=prepared[1], pairs=some).pairs == len(PAIRS)
    assert pairs(database) == pairs(at_once)


def test_later_verification_goes_by_them_too(database, prepared):
    match(database, reference=prepared[1])
    before = pairs(database)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM two_view_geometries")
    verify_again(database, VERIFICATION)
    assert pairs(database) == before
    assert match(database).already_there == len(PAIRS)  # without the option they stay


def test_overwriting_without_the_option_forgets_them(database, prepared, tmp_path):
    by_ransac = shutil.copy(database, tmp_path / "ransac.db")
    match(by_ransac)
    match(database, reference=prepared[1])
    match(database, overwrite=True)
    assert pairs(database) == pairs(by_ransac)
    with MatchStore(database) as store:
        assert known_views(store) == {}


def test_poses_of_elsewhere_verify_nothing(database, tmp_path):
    about_the_view = [pycolmap.Rotation3d(np.array([0, 0, 0.7 * number])) for number in range(COUNT)]
    turned = {
        number: pycolmap.Rigid3d(rotation, np.zeros(3)) * pose_of(number)
        for number, rotation in enumerate(about_the_view)
    }
    assert match(database, reference=write_reference(tmp_path / "turned", turned)).verified == 0


def test_guided_matches_are_those_that_the_poses_allow(database, prepared, tmp_path):
    guided = shutil.copy(database, tmp_path / "guided.db")
    match(database, reference=prepared[1])
    match(guided, reference=prepared[1], options=MatchingOptions(device="cpu", guided=True))
    for pair in PAIRS:
        assert true_ones(guided, pair)[0] >= true_ones(database, pair)[0]


def test_two_images_of_one_place_are_verified_by_ransac(database, tmp_path):
    reference = write_reference(tmp_path / "one", {0: pose_of(0), 1: pose_of(0)})
    by_ransac = shutil.copy(database, tmp_path / "ransac.db")
    match(by_ransac)
    match(database, reference=reference)
    assert pairs(database) == pairs(by_ransac)


def test_views_come_with_the_noted_camera_and_pose(database, prepared):
    match(database, reference=prepared[1])
    with closing(sqlite3.connect(database)) as connection, connection:  # what extraction has guessed does not count
        connection.execute("UPDATE cameras SET params = zeroblob(32)")
    with MatchStore(database) as store:
        view = MatchingInputs(store, torch.device("cpu")).view(3)
    assert view.camera.params.tolist() == [900, 900, 400, 300]
    assert view.camera.has_prior_focal_length
    np.testing.assert_array_equal(view.cam_from_world.matrix(), pose_of(2).matrix())


@pytest.mark.parametrize(
    "note", ['{"max_error": 1}', '{"cameras": {}, "images": {"view 0.jpg": [1, 0, 0]}}', "[]", "x"]
)
def test_a_note_of_others_is_refused_and_replaced(database, prepared, note):
    match(database)
    with MatchStore(database) as store:
        store.note_and_unverify(Note.POSES, note, pair_ids(*np.array(PAIRS).T))
        with pytest.raises(RuntimeError, match=r"the note .*poses"):
            known_views(store)
    assert match(database, reference=prepared[1]).verified == len(PAIRS)


def test_what_can_not_be_used_is_told(database, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_reference(tmp_path / "small", true_poses(range(COUNT)), size=(400, 300))
    write_reference(tmp_path / "alone", true_poses([0]))
    for arguments, sentence in (
        (["--reference", "nowhere"], "no COLMAP model in nowhere"),
        (["--reference", "small"], f"{name_of(0)} is 400 x 300 px in small, 800 x 600 px in db.db"),
        (["--reference", "alone"], "alone and db.db have 1 image in common, expected two or more"),
        (["--reference", "small", "--no-verify"], "known poses verify pairs: --reference does not go with --no-verify"),
    ):
        assert main(["match", "db.db", *arguments]) == 2
        assert sentence in capsys.readouterr().err
    with MatchStore(database) as store:
        assert store.notes.read(Note.POSES) is None
    assert main(["match", "shards", "--shard", "1/2", "--reference", "small"]) == 2
    assert "--reference does not go with --shard: give it to d2sfm match" in capsys.readouterr().err
