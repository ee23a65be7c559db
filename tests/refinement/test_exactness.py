"""The rule that decides within how many pixels refined keypoints are verified, and that all who ask go by it."""

import sqlite3
from contextlib import closing
from dataclasses import asdict, replace

import numpy as np
import pycolmap
import pytest
from scipy.spatial.transform import Rotation
from support.feature_records import random_features

from d2sfm.database import FeatureStore, MatchStore, RefinementStore, create_database
from d2sfm.database.connection import open_pycolmap
from d2sfm.mapping.reconstruct import read_input
from d2sfm.matching.match import match_database, verify_again
from d2sfm.matching.settings import Threshold, noted_thresholds
from d2sfm.options import ReconstructionOptions, RefinementOptions, VerificationOptions
from d2sfm.refinement.exactness import EXACT_PX, MAX_ERROR, exact_limit_px
from d2sfm.refinement.refine import refine_database

SIZE, FOCAL_PX, COUNT = (1600, 1200), 1500.0, 240
FACTOR = 2.0  # pixels of the photograph for one of the network input
FEW_TRIALS = VerificationOptions(max_num_trials=500)
AS_EARLIER = RefinementOptions(grey=False)  # all that there was
NOTE = asdict(RefinementOptions()) | {"max_error": MAX_ERROR, "rounds": 1}  # as earlier versions left it
NOTE = {name: NOTE[name] for name in ("weights", "preprocessing", "precision", "max_error", "seed", "rounds")}
NOTE_OF_NOW = NOTE | {"grey": False, "continue_": False}


def refined_pair(path, noise_px, wrong=40):
    """A database of two photographs, refined and verified: what they see of random points, and wrong matches."""
    generator = np.random.default_rng(0)
    points = generator.uniform((-2.5, -2, 5), (2.5, 2, 12), (COUNT, 3))
    turned = points @ Rotation.from_euler("y", 12, degrees=True).as_matrix().T + (-1.5, 0.2, 0.3)
    views = [seen[:, :2] / seen[:, 2:] * FOCAL_PX + np.array(SIZE) / 2 for seen in (points, turned)]
    views = [xy + generator.normal(0, noise_px, xy.shape) for xy in views]
    views[1][:wrong] = generator.uniform((0, 0), SIZE, (wrong, 2))
    create_database(path)
    with open_pycolmap(path) as colmap:
        params = [FOCAL_PX, FOCAL_PX, SIZE[0] / 2, SIZE[1] / 2]
        camera = pycolmap.Camera(model="PINHOLE", width=SIZE[0], height=SIZE[1], params=params)
        camera_id = colmap.write_camera(camera)
        for name in "ab":
            colmap.write_image(pycolmap.Image(name=name, camera_id=camera_id))
    with FeatureStore(path) as store:
        for name in "ab":
            sizes = {"image_size": SIZE, "input_size": tuple(int(edge / FACTOR) for edge in SIZE)}
            store.write(name, random_features(0, COUNT, **sizes), "settings")
    with MatchStore(path) as store:
        store.write(1, 2, np.tile(np.arange(COUNT)[:, None], 2))
    with RefinementStore(path) as store:
        store.replace({1: views[0], 2: views[1]}, NOTE)
        store.notes.note_match_settings({"max_num_trials": FEW_TRIALS.max_num_trials})
    verify_again(path, FEW_TRIALS)
    return path


def contents(path):
    """The note of refinement, and all geometries."""
    with closing(sqlite3.connect(path)) as connection:
        geometries = connection.execute("SELECT * FROM two_view_geometries ORDER BY 1").fetchall()
    with FeatureStore(path) as store:
        return store.notes.refinement(), geometries


def inliers(path):
    with MatchStore(path) as store:
        return len(store.inlier_matches(1, 2))


@pytest.mark.parametrize(("noise_px", "expected"), [(0.2, EXACT_PX), (1.2, None)])
def test_exact_keypoints_get_the_tight_threshold_and_others_keep_the_wide_one(tmp_path, noise_px, expected):
    database = refined_pair(tmp_path / "db.db", noise_px)
    assert inliers(database) > 180  # at the wide one
    assert exact_limit_px(database, FEW_TRIALS) == expected


def test_no_verified_pair_says_nothing(tmp_path):
    database = refined_pair(tmp_path / "db.db", 0.2, wrong=COUNT)
    assert inliers(database) == 0
    assert exact_limit_px(database, FEW_TRIALS) is None


@pytest.mark.slow
def test_refine_verifies_a_database_of_earlier_versions_within_what_it_finds_and_again_as_it_is_told(tmp_path):
    database = refined_pair(tmp_path / "db.db", 0.2)
    wide = contents(database)
    summary = refine_database(database, options=AS_EARLIER)
    assert "1 of 1 pair verified again within 2 px of the network input and 1 px of the photograph" in str(summary)
    found = contents(database)
    assert found[0] == NOTE | {"max_error_px": EXACT_PX}
    assert refine_database(database, options=AS_EARLIER).verified == 0  # nothing is left to do
    assert contents(database) == found
    refine_database(database, options=replace(AS_EARLIER, max_error=MAX_ERROR))
    assert contents(database) == (NOTE_OF_NOW | {"is_given": True}, wide[1])
    refine_database(database, options=AS_EARLIER)
    assert contents(database) == (NOTE_OF_NOW | {"max_error_px": EXACT_PX}, found[1])
    refine_database(database, options=replace(AS_EARLIER, seed=1))
    assert contents(database)[0] == NOTE_OF_NOW | {"max_error_px": EXACT_PX, "seed": 1}


def test_refine_leaves_a_database_of_earlier_versions_as_it_is_where_keypoints_are_not_exact(tmp_path):
    database = refined_pair(tmp_path / "db.db", 1.2)
    wide = contents(database)
    refine_database(database, options=AS_EARLIER)
    note, *others = contents(database)
    assert [note, *others] == [wide[0] | {"is_exact": False}, *wide[1:]]  # it is not looked for again


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [1, 2])
def test_a_run_that_is_stopped_while_it_verifies_ends_as_an_unbroken_one(tmp_path, monkeypatch, stop_at):
    """Within the wide threshold, and within the one that was found."""
    unbroken, database = (refined_pair(tmp_path / name, 0.2) for name in ("unbroken.db", "db.db"))
    refine_database(unbroken, options=AS_EARLIER)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM two_view_geometries")
    write, calls = MatchStore.write, []

    def stop(store, *pair, **kept):
        calls.append(pair)
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        write(store, *pair, **kept)

    with monkeypatch.context() as patch:
        patch.setattr(MatchStore, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            refine_database(database, options=AS_EARLIER)
    assert contents(database)[1] == []
    refine_database(database, options=AS_EARLIER)
    assert contents(database) == contents(unbroken)


def test_matching_and_mapping_go_by_the_limit_that_was_found(tmp_path, caplog):
    database = refined_pair(tmp_path / "db.db", 1.2)
    wide = inliers(database)
    with FeatureStore(database) as store:
        assert noted_thresholds(store).common == Threshold(MAX_ERROR)  # as earlier versions noted it
    given = read_input(database, ReconstructionOptions())
    assert (given.pixel_factor, given.max_error_px) == (FACTOR, MAX_ERROR * FACTOR)
    with RefinementStore(database) as store:
        store.verify_otherwise({"max_error": MAX_ERROR, "max_error_px": EXACT_PX})
    match_database(database, verification=VerificationOptions(max_error=4.0, max_num_trials=500))
    assert "within 2 px of the network input and 1 px of the photograph, as d2sfm refine does" in caplog.text
    assert 50 < inliers(database) < 0.8 * wide
    given = read_input(database, ReconstructionOptions())
    assert (given.pixel_factor, given.max_error_px) == (1.0, EXACT_PX)
    assert exact_limit_px(database, FEW_TRIALS) is None  # once is enough
