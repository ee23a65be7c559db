"""What databases of COLMAP 3.8 lack: pose priors in a table of their own, rigs and frames, a type of descriptors."""

import sqlite3

import cv2
import numpy as np
import pycolmap
import pytest
from support.database_contents import done_pairs
from support.feature_database import descriptors_of_place, write_feature_database
from support.helpers import textured_picture
from support.old_database import write_old_copy

from d2sfm.database import FeatureStore, ForeignStore, MatchStore, create_database, import_photographs
from d2sfm.database.connection import Connection, open_pycolmap
from d2sfm.database.migration import SCHEMA_VERSION, bring_up_to_date, complete_frames
from d2sfm.database.tables import columns
from d2sfm.extraction.extract import extract_to_database
from d2sfm.mapping.reconstruct import reconstruct
from d2sfm.matching.match import match_database
from d2sfm.options import ExtractionOptions, PairSelectionOptions, ReconstructionOptions, VerificationOptions

pytestmark = pytest.mark.usefixtures("narrow_network")
WGS84, CARTESIAN = pycolmap.PosePriorCoordinateSystem.WGS84, pycolmap.PosePriorCoordinateSystem.CARTESIAN
GPS = {"view 0.jpg": (55.7, 13.1, 30.0), "view 1.jpg": (55.7, 13.1001, 31.0), "view 3.jpg": (0.0, 0.0, 0.0)}


@pytest.fixture
def images(tmp_path):
    """A database with four images, "view 0.jpg" to "view 3.jpg", with features."""
    named = {f"view {index}.jpg": descriptors_of_place(0, index) for index in range(4)}
    return write_feature_database(tmp_path / "new.db", named)


def user_version(path):
    with Connection(path) as connection:
        return connection.rows("PRAGMA user_version")[0][0]


@pytest.mark.parametrize("opened_by", [create_database, lambda path: MatchStore(path).close()])
def test_positions_become_pose_priors(tmp_path, images, opened_by):
    path = write_old_copy(images, tmp_path / "old.db", GPS)
    assert user_version(path) == 3800
    opened_by(path)
    assert user_version(path) == SCHEMA_VERSION
    opened_by(path)  # once more changes nothing
    with MatchStore(path) as store:
        names, priors = store.image_names(), store.pose_priors()
    assert {names[image_id]: tuple(prior.position) for image_id, prior in priors.items()} == {
        name: position for name, position in GPS.items() if any(position)
    }
    assert {prior.coordinate_system for prior in priors.values()} == {WGS84}


def test_a_kill_while_positions_are_carried_loses_none(tmp_path, images, monkeypatch):
    """They are written all at once, as pycolmap would write each."""
    path = write_old_copy(images, tmp_path / "old.db", GPS)

    def killed(connection, sql, values):
        for row in list(values)[:1]:
            connection.rows(sql, row)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "run_many", killed)
        with pytest.raises(KeyboardInterrupt):
            bring_up_to_date(path)
    with MatchStore(path) as store:
        assert len(store.pose_priors()) == 2
    with Connection(path) as connection:
        found = connection.rows("SELECT * FROM pose_priors")
        connection.rows("DELETE FROM pose_priors")
    with open_pycolmap(path) as colmap:
        for image_id, position in ((1, GPS["view 0.jpg"]), (2, GPS["view 1.jpg"])):
            prior = pycolmap.PosePrior(position=np.array(position), coordinate_system=WGS84)
            prior.corr_data_id = colmap.read_image(image_id).data_id
            colmap.write_pose_prior(prior)
    with Connection(path) as connection:
        assert connection.rows("SELECT * FROM pose_priors") == found


def test_positions_that_are_no_latitudes(tmp_path, images):
    path = write_old_copy(images, tmp_path / "old.db", {"view 0.jpg": (1.0, 2, 3), "view 2.jpg": (-91.0, 0, 0)})
    create_database(path)
    with MatchStore(path) as store:
        assert {prior.coordinate_system for prior in store.pose_priors().values()} == {CARTESIAN}


def test_priors_that_are_there_stay(tmp_path, images):
    path = write_old_copy(images, tmp_path / "old.db")
    create_database(path)
    with open_pycolmap(path) as colmap:
        prior = pycolmap.PosePrior(position=np.array([7.0, 8, 9]), coordinate_system=CARTESIAN)
        prior.corr_data_id = colmap.read_image(1).data_id
        colmap.write_pose_prior(prior)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE images SET prior_tx = 1, prior_ty = 1, prior_tz = 1")
    connection.commit()
    connection.close()
    bring_up_to_date(path)
    with MatchStore(path) as store:
        assert [prior.position.tolist() for prior in store.pose_priors().values()] == [[7, 8, 9]]


def test_spatial_pairs_of_an_old_database(tmp_path, images):
    path = write_old_copy(
        images, tmp_path / "old.db", GPS | {"view 2.jpg": (56.0, 13.1, 0), "view 3.jpg": (57.0, 13, 0)}
    )
    pairs = PairSelectionOptions(pairs="spatial", max_distance_m=50)
    assert match_database(path, verification=None, pairs=pairs).pairs == 1
    with MatchStore(path) as store:
        assert done_pairs(store, verified=False) == {(1, 2)}


def framed(path):
    """(names of the images with a frame, number of rigs)"""
    with open_pycolmap(path) as colmap:
        return {image.name for image in colmap.read_all_images() if image.has_frame_id()}, colmap.num_rigs()


def test_photographs_that_are_added_to_an_old_database(tmp_path, images):
    """COLMAP's import gives new images frames; mapping refuses a database where only some have one."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for index in range(4):
        cv2.imwrite(str(folder / f"view {index}.jpg"), textured_picture(index, (80, 60)))
    cv2.imwrite(str(folder / "new.jpg"), textured_picture(9, (80, 60)))
    path = write_old_copy(images, tmp_path / "old.db")
    connection = sqlite3.connect(path)
    for table in ("keypoints", "descriptors"):
        connection.execute(f"DELETE FROM {table}")
    connection.commit()
    connection.close()
    summary = extract_to_database(path, folder, options=ExtractionOptions(max_edge=80))
    assert (summary.extracted, summary.skipped) == (5, {})
    with FeatureStore(path) as store:
        names = set(store.extracted())
    assert framed(path) == (names, 5)
    (tmp_path / "models").mkdir()
    pycolmap.incremental_mapping(path, folder, tmp_path / "models")  # raises where some lack a frame


def test_images_without_frames_stay_so_where_none_has_one(tmp_path, images):
    path = write_old_copy(images, tmp_path / "old.db")
    create_database(path)
    complete_frames(path)
    assert framed(path) == (set(), 0)


def test_an_image_whose_camera_has_a_rig_joins_it(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.jpg"), textured_picture(0, (80, 60)))
    path = tmp_path / "db.db"
    create_database(path)
    import_photographs(path, folder, ["a.jpg"])
    with open_pycolmap(path) as colmap:
        colmap.write_image(pycolmap.Image(name="b.jpg", camera_id=1))
    complete_frames(path)
    assert framed(path) == ({"a.jpg", "b.jpg"}, 1)


def test_the_extractor_of_an_old_database(tmp_path, images):
    path = write_old_copy(images, tmp_path / "old.db")
    with ForeignStore(path) as store:
        assert store.extractor() == "SIFT"
    with FeatureStore(path) as store:
        assert store.extracted() == {}
    assert user_version(path) == 3800  # reading changes nothing
    with Connection(path) as connection:
        assert "type" not in columns(connection, "descriptors")
        assert columns(connection, "frames") == []


@pytest.fixture(scope="module")
def sift_scene(tmp_path_factory):
    """A database of 3.8 with keypoints, SIFT's descriptors and matches of six views, without geometries."""
    folder = tmp_path_factory.mktemp("scene")
    pycolmap.set_random_seed(0)
    create_database(folder / "new.db")
    options = pycolmap.SyntheticDatasetOptions(
        num_rigs=1, num_cameras_per_rig=1, num_frames_per_rig=6, num_points3D=100, camera_has_prior_focal_length=True
    )
    with open_pycolmap(folder / "new.db") as colmap:
        pycolmap.synthesize_dataset(options, colmap)
    path = write_old_copy(folder / "new.db", folder / "old.db")
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM two_view_geometries")
    connection.commit()
    connection.close()
    return path


def test_matches_of_an_old_database_are_verified_and_mapped(tmp_path, sift_scene):
    path = tmp_path / "old.db"
    path.write_bytes(sift_scene.read_bytes())
    summary = match_database(path, verification=VerificationOptions())
    assert summary.pairs == summary.verified == 15
    found = reconstruct(path, tmp_path / "sparse", options=ReconstructionOptions(max_starts=1, min_starts=1))
    assert found.statistics[0].images == 6


def test_d2_features_are_not_put_beside_those_of_sift(tmp_path, sift_scene):
    (tmp_path / "photographs").mkdir()
    cv2.imwrite(str(tmp_path / "photographs" / "a.png"), textured_picture(0, (80, 60)))
    path = tmp_path / "old.db"
    path.write_bytes(sift_scene.read_bytes())
    with pytest.raises(RuntimeError, match="holds keypoints of SIFT for 6 images"):
        extract_to_database(path, tmp_path / "photographs")
