"""Databases of the same images, matched on different pairs, become one."""

import runpy
import shutil
import sqlite3
from contextlib import closing
from itertools import combinations
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from support.bridge_database import bridge, write_foreign, write_random_layer
from support.database_contents import contents, require_whole, rows
from support.feature_database import SIZE, unit

from d2sfm.database import FeatureStore, MatchStore, RefinementStore, cameras_given, create_database, mark_cameras_given
from d2sfm.database.connection import Connection, open_pycolmap
from d2sfm.database.pair_ids import pair_ids
from d2sfm.database.pair_rows import COLUMNS
from d2sfm.database.tables import REFUTED, create_our_tables
from d2sfm.exchange.merge import merge_databases
from d2sfm.features.record import Features
from d2sfm.matching.match import match_database
from d2sfm.options import Convention, MatchingOptions, PairSelectionOptions, VerificationOptions
from d2sfm.pairs.pair_files import write_pairs

NAMES = ("ä.png", "b.png", "sub/a b.png", "sub/c.png", "d.png", "e.png")
COUNT = 12  # keypoints of an image
KINDS = pycolmap.TwoViewGeometryConfiguration
PAIR_TABLES = tuple(COLUMNS)


def generator_of(*what):
    return np.random.default_rng(list(repr(what).encode()))


def write_images(path, names, camera_of=lambda name: name):
    """Images with ids in this order, of the same features wherever they are, and a camera for each of camera_of."""
    create_database(path)
    cameras = {}
    with open_pycolmap(path) as colmap:
        for name in names:
            camera = pycolmap.Camera(model="PINHOLE", width=SIZE[0], height=SIZE[1], params=[90, 90, 40, 30])
            key = camera_of(name)
            if key not in cameras:
                cameras[key] = colmap.write_camera(camera)
                rig = pycolmap.Rig()
                rig.add_ref_sensor(pycolmap.sensor_t(pycolmap.SensorType.CAMERA, cameras[key]))
                colmap.write_rig(rig)
            image_id = colmap.write_image(pycolmap.Image(name=name, camera_id=cameras[key]))
            frame = pycolmap.Frame(rig_id=list(cameras).index(key) + 1)
            frame.add_data_id(colmap.read_image(image_id).data_id)
            colmap.write_frame(frame)
    with FeatureStore(path) as store:
        for name in names:
            store.write(name, features_of(name), "{}")
    return path


def features_of(name, dtype=np.float16):
    generator = generator_of(name)
    return Features(
        keypoints=generator.uniform(5, 55, (COUNT, 4)).astype(np.float32),
        descriptors=unit(generator.normal(size=(COUNT, 512))).astype(dtype),
        image_size=SIZE,
        input_size=SIZE,
        convention=Convention.COLMAP,
        scales=(1.0,),
    )


def pair_of(first, second, variant=0):
    """What a pair of names has: matches from the first to the second, a geometry, similarities, why it is refused."""
    generator = generator_of(first, second, variant)
    matches = np.stack([generator.permutation(COUNT), generator.permutation(COUNT)], 1)[: generator.integers(COUNT)]
    is_refused, turn = generator.random() < 0.3, generator.normal(size=4)
    geometry = pycolmap.TwoViewGeometry(
        config=KINDS.DEGENERATE if is_refused else KINDS.CALIBRATED,
        inlier_matches=matches[: 0 if is_refused else len(matches) // 2].astype(np.uint32),
        F=generator.normal(size=(3, 3)),
        E=generator.normal(size=(3, 3)),
        H=generator.normal(size=(3, 3)),
        cam2_from_cam1=pycolmap.Rigid3d(pycolmap.Rotation3d(turn / np.linalg.norm(turn)), generator.normal(size=3)),
    )
    similarities = generator.random(len(matches)).astype(np.float16) if generator.random() < 0.7 else None
    return matches, geometry, similarities, "for a test" if is_refused else ""


def write_pair(store, pair, variant=0, without_geometry=False):
    ids = {name: image_id for image_id, name in store.image_names().items()}
    matches, geometry, similarities, refused = pair_of(*pair, variant)
    if without_geometry:
        geometry, refused = None, ""
    store.write(*(ids[name] for name in pair), matches, geometry, similarities=similarities, refused=refused)


def assert_is(path, pair, variant=0):
    """The pair is the one that ``write_pair`` wrote, whichever order the ids have here."""
    matches, geometry, similarities, refused = pair_of(*pair, variant)
    with MatchStore(path) as store:
        ids = {name: image_id for image_id, name in store.image_names().items()}
        first, second = (ids[name] for name in pair)
        assert np.array_equal(store.matches(first, second), matches)
        found = store.similarities(first, second)
        assert (found is None) == (similarities is None)
        assert found is None or np.array_equal(found, similarities)
        number = min(first, second) * 2147483647 + max(first, second)
        assert store.refusals().get(number, "") == refused
    with open_pycolmap(path) as colmap:
        assert np.array_equal(colmap.read_matches(first, second).reshape(-1, 2), matches)
        found = colmap.read_two_view_geometry(first, second)
    assert found.config == geometry.config
    assert np.array_equal(found.inlier_matches.reshape(-1, 2), geometry.inlier_matches.reshape(-1, 2))
    for name in "FEH":
        np.testing.assert_allclose(getattr(found, name), getattr(geometry, name), rtol=1e-9)
    np.testing.assert_allclose(found.cam2_from_cam1.matrix(), geometry.cam2_from_cam1.matrix(), atol=1e-9)


def draw(generator, folder):
    """Some databases that share some images, in any order, with any pairs. Returns them with what each has: variants
    by pair of names."""
    names, cut = list(generator.permutation(NAMES)), generator.integers(0, 4)
    found = []
    for number, own in enumerate((names[: len(names) - cut], names[generator.integers(0, 3) :], names[2:])):
        order = [str(name) for name in generator.permutation(own)]
        single = generator.random() < 0.5
        path = write_images(folder / f"{number}.db", order, (lambda name: 0) if single else (lambda name: name))
        pairs = {
            pair: int(generator.random() < 0.3) for pair in combinations(sorted(order), 2) if generator.random() < 0.6
        }
        with MatchStore(path) as store:
            for pair, variant in pairs.items():
                write_pair(store, pair, variant)
        found.append((path, order, pairs))
    return found[: generator.integers(2, 4)]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_pairs_of_all_are_in_the_whole(tmp_path, seed, caplog):
    drawn = draw(np.random.default_rng(seed), tmp_path)
    merged, paths = tmp_path / "merged.db", [path for path, *_ in drawn]
    before = [path.read_bytes() for path in paths]
    expected, names, different = {}, set(), 0
    for _, order, pairs in drawn:
        different += sum(expected.get(pair, variant) != variant for pair, variant in pairs.items())
        expected = pairs | expected
        names |= set(order)
    assert merge_databases(paths, merged) == len(names)
    assert [path.read_bytes() for path in paths] == before
    whole = require_whole(merged)
    assert whole["images"] == sorted(names)
    assert len(whole["matches"]) == len(whole["two_view_geometries"]) == len(expected)
    for pair, variant in expected.items():
        assert_is(merged, pair, variant)
    with FeatureStore(merged) as store:
        for name in names:
            assert store.read(name).descriptors.tobytes() == features_of(name).descriptors.tobytes()
    told = [record for record in caplog.records if "different rows" in record.getMessage()]
    assert sum(int(record.args[0].split()[0]) for record in told) == different
    with open_pycolmap(merged) as colmap:
        images, rigs = colmap.read_all_images(), {rig.rig_id: rig for rig in colmap.read_all_rigs()}
        assert len(colmap.read_all_frames()) == len(names)
        assert {image.camera_id for image in images} == {camera.camera_id for camera in colmap.read_all_cameras()}
        for image in images:
            assert rigs[colmap.read_frame(image.frame_id).rig_id].ref_sensor_id.id == image.camera_id


@pytest.mark.slow
@pytest.mark.parametrize("order", [pytest.param(NAMES, id="same"), pytest.param(NAMES[::-1], id="turned")])
def test_a_database_merged_with_its_like_stays_itself(tmp_path, order, caplog):
    """Also where the pairs come turned: no rounding makes them different."""
    paths = [write_images(tmp_path / "0.db", NAMES), write_images(tmp_path / "1.db", order)]
    for path, other in ((paths[0], None), (paths[1], tmp_path / "whole.db")):
        with MatchStore(path) as store:
            for pair in combinations(NAMES[:4], 2):
                write_pair(store, pair)
        if other is not None:
            merge_databases([path, paths[0]], other)
            assert contents(other) == contents(path)
            merge_databases([paths[0], other], tmp_path / "again.db")
            assert rows(tmp_path / "again.db", *PAIR_TABLES) == rows(paths[0], *PAIR_TABLES)
    assert "different rows" not in caplog.text


@pytest.fixture
def two(tmp_path):
    """Two databases of the same images without pairs, ids in the other order."""
    return [write_images(tmp_path / "a.db", NAMES[:3]), write_images(tmp_path / "b.db", NAMES[2::-1])]


@pytest.mark.parametrize("is_turned", [False, True])
def test_geometry_and_similarities_come_to_equal_matches_alone(tmp_path, two, is_turned, caplog):
    sources = two if is_turned else [two[0], Path(shutil.copy(two[0], two[1]))]
    equal, other = ("ä.png", "b.png"), ("b.png", "sub/a b.png")
    with MatchStore(sources[0]) as store:
        write_pair(store, equal, without_geometry=True)
        write_pair(store, other, variant=1, without_geometry=True)
    with MatchStore(sources[1]) as store:
        write_pair(store, equal)
        write_pair(store, other)
    execute(sources[0], "DELETE FROM d2sfm_similarities")
    merge_databases(sources, tmp_path / "merged.db")
    assert_is(tmp_path / "merged.db", equal)
    found = require_whole(tmp_path / "merged.db")
    assert found["matches"][other] == contents(sources[0])["matches"][other]
    assert other not in found["two_view_geometries"]
    a, b = sources
    assert f"1 pair with different rows in {b} and in {a}: those of {a} were taken" in caplog.text


def test_refuted_matches_come_with_pairs_whose_images_change_places(tmp_path, two):
    pair, refuted = ("ä.png", "b.png"), [[1, 2], [4, 0]]
    with MatchStore(two[1]) as store:
        write_pair(store, pair)
        ids = store.image_ids()
    in_order = [ids[name] for name in pair] if ids[pair[0]] < ids[pair[1]] else [ids[name] for name in pair[::-1]]
    columns = np.array(refuted if ids[pair[0]] < ids[pair[1]] else [match[::-1] for match in refuted], "<u4")
    with Connection(two[1]) as connection:
        create_our_tables(connection)
    execute(two[1], f"INSERT INTO {REFUTED} VALUES (?, ?)", (int(pair_ids(*in_order)), columns.tobytes()))
    merge_databases(two, tmp_path / "merged.db")
    for path in (two[1], tmp_path / "merged.db"):
        with MatchStore(path) as store:
            ids = store.image_ids()
            assert store.refuted(*(ids[name] for name in pair)).tolist() == refuted


def execute(path, sql, values=()):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(sql, values)
        connection.commit()


def refine(path, note):
    with RefinementStore(path) as store:
        store.replace({1: store.keypoints(1)[:, :2] + 0.25}, note)


def changed_blob(table, column):
    """SQL that changes the last byte of the image in the middle, whose id is 2 in both."""
    other = f"CAST(substr({column}, 1, length({column}) - 1) || x'3D' AS BLOB)"
    return f"UPDATE {table} SET {column} = {other} WHERE image_id = 2"


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        (changed_blob("keypoints", "data"), "keypoints"),
        (changed_blob("descriptors", "data"), "descriptors"),
        (changed_blob("d2sfm_features", "scores"), "scores, sizes or settings of extraction"),
        ("UPDATE d2sfm_features SET fingerprint = '' WHERE image_id = 2", "scores, sizes or settings of extraction"),
        ("UPDATE cameras SET params = zeroblob(32) WHERE camera_id = 2", "cameras"),
    ],
)
def test_other_features_or_cameras_are_refused(tmp_path, two, sql, what):
    execute(two[1], sql)
    message = (
        rf"^1 image \(b\.png\) with different {what} in .*a\.db and in .*b\.db, expected the same: .*d2sfm remove$"
    )
    for sources in (two, two[::-1]):
        with pytest.raises(RuntimeError, match=message if sources is two else f"different {what} in"):
            merge_databases(sources, tmp_path / "merged.db")
    assert not [path for path in tmp_path.iterdir() if "merged" in path.name]


def test_keypoints_that_were_refined_apart_are_refused(tmp_path, two):
    for path in two:
        refine(path, {"max_error": 2.0})
    with pytest.raises(RuntimeError, match=r"2 images .* with different keypoints .*--restore"):
        merge_databases(two, tmp_path / "merged.db")


def test_copies_of_a_refined_database(tmp_path, two):
    refine(two[0], {"max_error": 2.0})
    shutil.copy(two[0], two[1])
    for path, pair in zip(two, (NAMES[:2], NAMES[1:3]), strict=True):
        with MatchStore(path) as store:
            write_pair(store, pair)
    merge_databases(two, tmp_path / "merged.db")
    with RefinementStore(tmp_path / "merged.db") as store:
        assert store.refined() == {1}
        assert store.notes.refinement() == {"max_error": 2.0}
    for pair in (NAMES[:2], NAMES[1:3]):
        assert_is(tmp_path / "merged.db", pair)


def test_what_one_database_lacks_comes_from_the_other(tmp_path, two):
    """Descriptors and features, a camera that was given, a position."""
    execute(two[0], "DELETE FROM descriptors")
    for table in ("keypoints", "descriptors", "d2sfm_features"):
        execute(two[1], f"DELETE FROM {table} WHERE image_id = 3")
    mark_cameras_given(two[1], [1])
    for path, name, x in ((two[0], "b.png", 1), (two[1], "b.png", 2), (two[1], NAMES[2], 3)):
        with open_pycolmap(path) as colmap:
            prior = pycolmap.PosePrior(position=np.array([x, 0.0, 0.0]))
            prior.corr_data_id = colmap.read_image_with_name(name).data_id
            colmap.write_pose_prior(prior)
    merge_databases(two, tmp_path / "merged.db")
    with FeatureStore(tmp_path / "merged.db") as store:
        assert list(store.extracted()) == ["b.png", NAMES[2]]
        camera_id = store.images()[NAMES[2]].camera_id
    assert cameras_given(tmp_path / "merged.db") == {camera_id}
    with MatchStore(tmp_path / "merged.db") as store:
        names = store.image_names()
        found = {names[image_id]: prior.position[0] for image_id, prior in store.pose_priors().items()}
    assert found == {"b.png": 1, NAMES[2]: 3}


def test_positions_that_differ_are_told(tmp_path, two, caplog):
    for x, path in enumerate(two):
        with open_pycolmap(path) as colmap:
            prior = pycolmap.PosePrior(position=np.array([x, 0.0, 0.0]))
            prior.corr_data_id = colmap.read_image(2).data_id
            colmap.write_pose_prior(prior)
    merge_databases(two, tmp_path / "merged.db")
    assert (
        f"positions of 1 image in {two[1]} differ from those in the databases before it, which are kept" in caplog.text
    )


def take_two_at_one_time(path):
    """The first two cameras of a database are one rig, and their images one frame."""
    execute(path, "INSERT INTO rig_sensors SELECT 1, 2, ref_sensor_type, NULL FROM rigs WHERE rig_id = 2")
    execute(path, "DELETE FROM rigs WHERE rig_id = 2")
    execute(path, "UPDATE frame_data SET frame_id = 1 WHERE frame_id = 2")
    execute(path, "DELETE FROM frames WHERE frame_id = 2")


@pytest.mark.slow
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("are_shared", [True, False])
def test_rigs_that_one_database_alone_has(tmp_path, two, order, are_shared):
    """As a database of older versions has none: all images get what mapping asks for."""
    take_two_at_one_time(two[1])
    for table in ("frame_data", "frames", "rig_sensors", "rigs"):
        execute(two[0], f"DELETE FROM {table}")
    if not are_shared:
        execute(two[0], "UPDATE images SET name = 'alone/' || name")
    merge_databases(two[::order], tmp_path / "merged.db")
    with open_pycolmap(tmp_path / "merged.db") as colmap:
        images, frames = colmap.read_all_images(), {frame.frame_id: frame for frame in colmap.read_all_frames()}
        rigs = {rig.rig_id: {sensor.id for sensor in rig.sensor_ids()} for rig in colmap.read_all_rigs()}
    assert sorted(len(sensors) for sensors in rigs.values()) == ([1, 2] if are_shared else [1, 1, 1, 1, 2])
    members = sorted(data.id for frame in frames.values() for data in frame.image_ids)
    assert members == sorted(image.image_id for image in images)
    assert all(image.camera_id in rigs[frames[image.frame_id].rig_id] for image in images)


def test_frames_of_several_images(tmp_path, two):
    """Two cameras that take pictures at one time are one rig in both, or it is refused."""
    take_two_at_one_time(two[1])  # ids are 3, 2, 1 of the first one's
    with pytest.raises(RuntimeError, match=r"^rigs of images that are in .*b\.db and in a database before it"):
        merge_databases(two, tmp_path / "merged.db")
    shutil.copy(two[1], two[0])
    merge_databases(two, tmp_path / "merged.db")
    tables = ("rigs", "rig_sensors", "frames", "frame_data", "images", "cameras")
    assert rows(tmp_path / "merged.db", *tables) == rows(two[0], *tables)


def test_bridged_databases_share_no_image(tmp_path):
    first, second = write_foreign(tmp_path / "first.db"), write_foreign(tmp_path / "second.db")
    bridge(second, write_random_layer(second, tmp_path / "layer.db"))
    with pytest.raises(RuntimeError, match=r"4 images .*second\.db is bridged: run d2sfm bridge --restore on it"):
        merge_databases((first, second), tmp_path / "merged.db")


def test_rows_that_are_not_whole_are_not_turned(tmp_path, two):
    with MatchStore(two[1]) as store:
        write_pair(store, NAMES[:2])
    execute(two[1], "UPDATE matches SET data = x'00'")
    with pytest.raises(
        RuntimeError, match=r"b\.db: the pair b\.png - ä\.png has a row that is not whole: match it again"
    ):
        merge_databases(two, tmp_path / "merged.db")


@pytest.mark.slow
def test_half_of_the_pairs_in_each_copy_are_all_of_them(tmp_path, monkeypatch):
    """Matching and verification themselves: rows equal to the bit."""
    benchmarks = Path(__file__).parents[2] / "benchmarks"
    monkeypatch.syspath_prepend(benchmarks)
    runpy.run_path(str(benchmarks / "large_matching.py"), run_name="imported")["write_features"](
        whole := tmp_path / "whole.db", 7, 150, 7
    )
    halves = [Path(shutil.copy(whole, tmp_path / f"{number}.db")) for number in range(2)]
    with MatchStore(whole) as store:
        names = store.image_names()
    pairs = list(combinations(names, 2))
    for database, of_one in ((whole, pairs), (halves[0], pairs[::2]), (halves[1], pairs[1::2] + pairs[:3])):
        listed = database.with_suffix(".txt")
        write_pairs(listed, np.array(of_one), names)
        options = {"options": MatchingOptions(device="cpu"), "verification": VerificationOptions()}
        match_database(database, **options, pairs=PairSelectionOptions(pairs=str(listed)))
    merge_databases(halves, tmp_path / "merged.db")
    tables = ("images", "cameras", "keypoints", "descriptors", "d2sfm_features", *PAIR_TABLES)
    assert rows(tmp_path / "merged.db", *tables) == rows(whole, *tables)
    assert len(rows(whole, "two_view_geometries")["two_view_geometries"]) == len(pairs) == 21
