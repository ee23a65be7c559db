"""Matches and two-view geometries."""

import shutil
import sqlite3

import numpy as np
import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.database_contents import done_pairs

from d2sfm.database import FeatureStore, MatchStore, RefinementStore
from d2sfm.database.connection import Connection, open_pycolmap
from d2sfm.database.pair_ids import MAX_IMAGES, image_pairs, pair_ids
from d2sfm.features.record import Features
from d2sfm.options import Convention

MATCHES = np.array([[0, 1], [2, 0], [3, 3]], np.uint32)


@pytest.fixture
def database(tmp_path):
    """A database of four images; 1 and 2 have features, 3 has keypoints without descriptors, 4 has nothing."""
    path = tmp_path / "db.db"
    with open_pycolmap(path) as colmap:
        for number in range(1, 5):
            camera = pycolmap.Camera(model="PINHOLE", width=64, height=48, params=[60 + number, 70, 32, 24])
            colmap.write_image(pycolmap.Image(name=f"{5 - number}.jpg", camera_id=colmap.write_camera(camera)))
        colmap.write_keypoints(3, np.ones((7, 2), np.float32))
    with FeatureStore(path) as store:
        store.write("4.jpg", make_features(5, np.float16), "settings")
        store.write("3.jpg", make_features(0, np.float32), "settings")
    return path


def make_features(count, dtype=np.float16):
    rng = np.random.default_rng(count)
    return Features(
        keypoints=rng.uniform(0, 40, (count, 4)).astype(np.float32),
        descriptors=rng.uniform(-1, 1, (count, 512)).astype(dtype),
        image_size=(64, 48),
        input_size=(64, 48),
        convention=Convention.COLMAP,
        scales=(1.0,),
    )


def make_geometry(inliers=MATCHES[:2]):
    return pycolmap.TwoViewGeometry(
        config=pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED,
        F=np.arange(9.0).reshape(3, 3),
        inlier_matches=inliers,
    )


def test_images_and_cameras(database):
    with MatchStore(database) as store:
        assert list(store.image_names().items()) == [(1, "4.jpg"), (2, "3.jpg"), (3, "2.jpg"), (4, "1.jpg")]
        assert store.image_ids() == {"4.jpg": 1, "3.jpg": 2, "2.jpg": 3, "1.jpg": 4}
        assert store.camera(3).params.tolist() == [63, 70, 32, 24]
        assert [store.has_features(image_id) for image_id in (1, 2, 3, 4)] == [True, True, False, False]


def test_pose_priors_of_the_images(database):
    system = pycolmap.PosePriorCoordinateSystem.WGS84
    with open_pycolmap(database) as colmap:
        data_id = colmap.read_image(3).data_id
        prior = {"position": [55.7, 13.2, 60.0], "coordinate_system": system}
        colmap.write_pose_prior(pycolmap.PosePrior(corr_data_id=data_id, **prior))
        gone = pycolmap.data_t(sensor_id=data_id.sensor_id, id=17)
        colmap.write_pose_prior(pycolmap.PosePrior(corr_data_id=gone, **prior))
        imu = pycolmap.sensor_t(type=pycolmap.SensorType.IMU, id=1)
        colmap.write_pose_prior(pycolmap.PosePrior(corr_data_id=pycolmap.data_t(sensor_id=imu, id=1), **prior))
    with MatchStore(database) as store:
        [(image_id, found)] = store.pose_priors().items()
    assert image_id == 3
    assert found.position.ravel().tolist() == [55.7, 13.2, 60.0]
    assert found.coordinate_system == system


def test_keypoints_and_descriptors_are_those_that_were_written(database):
    features = make_features(5)
    with MatchStore(database) as store:
        keypoints, descriptors = store.keypoints(1), store.descriptors(1)
        no_keypoints, no_descriptors = store.keypoints(2), store.descriptors(2)
        two_columns = store.keypoints(3)
    assert keypoints.dtype == np.float32
    assert np.array_equal(keypoints, features.keypoints[:, :2])
    assert descriptors.dtype == np.float16
    assert descriptors.flags.writeable  # torch warns of arrays that are not
    assert np.array_equal(descriptors, features.descriptors)
    assert no_keypoints.shape == (0, 2)
    assert no_descriptors.shape == (0, 512)
    assert no_descriptors.dtype == np.float32
    assert two_columns.shape == (7, 2)


def test_missing_features_and_foreign_descriptors_are_named(database):
    with open_pycolmap(database) as colmap:
        sift = pycolmap.FeatureDescriptors(pycolmap.FeatureExtractorType.SIFT, np.ones((7, 128), np.uint8))
        colmap.write_descriptors(3, sift)
    with MatchStore(database) as store:
        with pytest.raises(RuntimeError, match=r"1\.jpg has no keypoints in .*db\.db"):
            store.keypoints(4)
        with pytest.raises(RuntimeError, match=r"1\.jpg has no descriptors in .*db\.db"):
            store.descriptors(4)
        with pytest.raises(
            RuntimeError,
            match=r"2\.jpg in .* have 128 bytes each, but those of D2-Net have 1024 .*: match them with the tool that "
            "made them",
        ):
            store.descriptors(3)


@pytest.mark.parametrize(("id_a", "id_b"), [(1, 3), (3, 1)])
def test_a_pair_is_written_in_either_order(database, id_a, id_b):
    with MatchStore(database) as store:
        store.write(id_a, id_b, MATCHES.astype(np.int64), make_geometry())
        assert done_pairs(store, verified=True) == {(1, 3)}
    with open_pycolmap(database) as colmap:
        assert np.array_equal(colmap.read_matches(id_a, id_b), MATCHES)
        geometry = colmap.read_two_view_geometry(id_a, id_b)
        swapped = colmap.read_two_view_geometry(id_b, id_a)
    assert np.array_equal(geometry.inlier_matches, MATCHES[:2])
    np.testing.assert_allclose(geometry.F, np.arange(9.0).reshape(3, 3))
    np.testing.assert_allclose(swapped.F, np.arange(9.0).reshape(3, 3).T)


def test_matches_are_open_unless_refuted_whichever_they_are_now(database):
    with MatchStore(database) as store:
        store.write(1, 3, MATCHES, make_geometry())
        assert np.array_equal(store.open_matches(1, 3), MATCHES)
    with RefinementStore(database) as store:
        store.replace({}, {}, refuted={(1, 3): np.concatenate([MATCHES[1:2], [[4, 4]]])}, others_stay=True)
    with MatchStore(database) as store:
        assert np.array_equal(store.open_matches(1, 3), MATCHES[[0, 2]])
        assert np.array_equal(store.open_matches(3, 1), MATCHES[[0, 2], ::-1])
        store.write(1, 3, MATCHES[[0, 2]], make_geometry())
        assert np.array_equal(store.open_matches(1, 3), MATCHES[[0, 2]])
        assert store.open_matches(1, 2).shape == (0, 2)


@pytest.mark.parametrize("reopened", [False, True])
@pytest.mark.parametrize("geometry", [None, make_geometry(MATCHES[2:])])
@pytest.mark.parametrize("matches", [MATCHES, MATCHES[1:], MATCHES[:0]])
def test_writing_again_replaces_the_pair(database, matches, geometry, reopened):
    store = MatchStore(database)
    store.write(1, 3, MATCHES, make_geometry())
    if reopened:
        store.close()
        store = MatchStore(database)
    with store:
        store.write(3, 1, matches[:, ::-1], geometry)
        assert done_pairs(store, verified=False) == {(1, 3)}
        assert done_pairs(store, verified=True) == (set() if geometry is None else {(1, 3)})
    with open_pycolmap(database) as colmap:
        assert np.array_equal(colmap.read_matches(1, 3), matches)
        assert colmap.exists_two_view_geometry(1, 3) == (geometry is not None)
        if geometry is not None:
            assert np.array_equal(colmap.read_two_view_geometry(3, 1).inlier_matches, geometry.inlier_matches)


def test_a_pair_that_another_tool_left_half_is_written_again(database):
    with open_pycolmap(database) as colmap:
        colmap.write_two_view_geometry(1, 2, make_geometry())
    with MatchStore(database) as store:
        assert done_pairs(store, verified=False) == set()
        assert done_pairs(store, verified=True) == set()
        store.write(1, 2, MATCHES[2:], make_geometry(MATCHES[2:]))
        assert done_pairs(store, verified=True) == {(1, 2)}
    with open_pycolmap(database) as colmap:
        assert np.array_equal(colmap.read_two_view_geometry(1, 2).inlier_matches, MATCHES[2:])


def pose():
    turn = np.array([0.1, -0.2, 0.3, 0.9])
    return pycolmap.Rigid3d(pycolmap.Rotation3d(turn / np.linalg.norm(turn)), np.array([1.0, 2, 3]))


MATRIX = np.arange(9.0).reshape(3, 3)
CAMERAS = [
    pycolmap.Camera(camera_id=7, model="SIMPLE_RADIAL", width=640, height=480, params=[600, 320, 240, 0.1]),
    pycolmap.Camera(model="PINHOLE", width=64, height=48, params=[60, 70, 32, 24], has_prior_focal_length=True),
]
GEOMETRIES = {
    "none": None,
    "degenerate": pycolmap.TwoViewGeometry(config=pycolmap.TwoViewGeometryConfiguration.DEGENERATE),
    "without inliers": make_geometry(MATCHES[:0]),
    "all": pycolmap.TwoViewGeometry(
        config=pycolmap.TwoViewGeometryConfiguration.CALIBRATED,
        F=MATRIX,
        E=MATRIX + 10,
        H=MATRIX**2 + np.eye(3),
        cam2_from_cam1=pose(),
        inlier_matches=MATCHES,
        camera1=CAMERAS[0],
        camera2=CAMERAS[1],
    ),
}


@pytest.mark.parametrize("pair", [(1, 3), (3, 1)])
@pytest.mark.parametrize("matches", [MATCHES, MATCHES[:0]])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_rows_are_those_of_pycolmap_byte_for_byte(database, tmp_path, pair, matches, geometry):
    geometry, by_colmap = GEOMETRIES[geometry], shutil.copy(database, tmp_path / "colmap.db")
    with open_pycolmap(by_colmap) as colmap:
        colmap.write_matches(*pair, matches)
        if geometry is not None:
            colmap.write_two_view_geometry(*pair, geometry)
    with MatchStore(database) as store:
        store.write(*pair, matches, geometry)
        assert np.array_equal(store.matches(*pair), matches)
        assert np.array_equal(store.matches(*pair[::-1]), matches[:, ::-1])
        expected = np.zeros((0, 2), np.uint32) if geometry is None else geometry.inlier_matches.reshape(-1, 2)
        assert np.array_equal(store.inlier_matches(*pair), expected)
    for table in ("matches", "two_view_geometries"):
        rows = []
        for path in (database, by_colmap):
            with Connection(path) as connection:
                rows.append(connection.rows(f"SELECT * FROM {table}"))
                rows.append(connection.rows(f"SELECT typeof(data), typeof(cols), typeof(rows) FROM {table}"))
        assert rows[:2] == rows[2:]
        assert len(rows[0]) == (table == "matches" or geometry is not None)


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(1, MAX_IMAGES - 1), st.integers(1, MAX_IMAGES - 1))))
def test_numbers_of_pairs_are_those_of_pycolmap(pairs):
    numbers = pair_ids(*np.array(pairs, np.int64).reshape(-1, 2).T)
    assert numbers.tolist() == [pycolmap.image_pair_to_pair_id(*pair) for pair in pairs]
    assert list(map(tuple, image_pairs(numbers).tolist())) == [tuple(sorted(pair)) for pair in pairs]


def test_a_pair_is_written_whole_or_not_at_all(database):
    with MatchStore(database) as store:
        store.write(1, 3, MATCHES, make_geometry())
        store._connection.rows(
            "CREATE TRIGGER refuse BEFORE INSERT ON two_view_geometries BEGIN SELECT raise(FAIL, 'no'); END"
        )
        with pytest.raises(RuntimeError, match=r"db\.db: no"):
            store.write(1, 3, MATCHES[1:], make_geometry())
        assert np.array_equal(store.matches(1, 3), MATCHES)


def test_bad_pairs_are_refused(database):
    with MatchStore(database) as store:
        with pytest.raises(ValueError, match="no image with id 9"):
            store.write(1, 9, MATCHES)
        with pytest.raises(ValueError, match="no image with id 0"):
            store.keypoints(0)
        with pytest.raises(ValueError, match="two images, found 2 twice"):
            store.write(2, 2, MATCHES)
        with pytest.raises(ValueError, match=r"shape \(3, 1\), expected \(M, 2\)"):
            store.write(1, 2, MATCHES[:, :1])
        assert done_pairs(store, verified=False) == set()


def test_a_file_that_is_no_database_and_one_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"x\.db"):
        MatchStore(tmp_path / "x.db")
    (tmp_path / "x.db").write_bytes(b"hello, world " * 100)
    with pytest.raises(RuntimeError, match=r"x\.db is not a COLMAP database"):
        MatchStore(tmp_path / "x.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.db"]


def test_our_tables_and_rows_survive_pycolmap(database):
    with MatchStore(database) as store:
        store.write(1, 2, MATCHES, make_geometry())
        store.write(1, 2, MATCHES[:1])
    with FeatureStore(database) as store:
        assert list(store.extracted()) == ["3.jpg", "4.jpg"]
        assert np.array_equal(store.read("4.jpg").keypoints, make_features(5).keypoints)
    connection = sqlite3.connect(database)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
