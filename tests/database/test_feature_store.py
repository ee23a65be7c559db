"""Features in the database: a round trip through sqlite3, and pycolmap reading what was written."""

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from support.database_contents import done_pairs

from d2sfm.coordinates import resize_factor
from d2sfm.database import FeatureStore, MatchStore, descriptor_rows
from d2sfm.database import connection as connection_module
from d2sfm.database.connection import Connection, open_pycolmap
from d2sfm.database.descriptor_rows import MAX_ROW_BYTES, check_count
from d2sfm.features.record import Features
from d2sfm.options import Convention, DescriptorDtype

FLOAT16, FLOAT32 = DescriptorDtype.FLOAT16, DescriptorDtype.FLOAT32
WIDTH, HEIGHT = 64, 48


@pytest.fixture
def database(tmp_path):
    """A database of five images without features."""
    path = tmp_path / "db.db"
    with open_pycolmap(path) as colmap:
        for name in ("b.jpg", "sub/c.jpg", "a.jpg", "e.jpg", "d.jpg"):
            camera = pycolmap.Camera(model="SIMPLE_RADIAL", width=WIDTH, height=HEIGHT, params=[70, 32, 24, 0])
            colmap.write_image(pycolmap.Image(name=name, camera_id=colmap.write_camera(camera)))
    return path


def make_features(
    count, seed=0, image_size=(WIDTH, HEIGHT), convention=Convention.COLMAP, scales=(1.0,), dtype=FLOAT16
):
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(0.1, 40, (count, 4)).astype(np.float32)
    keypoints[:, 3] = np.sort(keypoints[:, 3])[::-1]
    descriptors = rng.normal(size=(count, 512)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    return Features(
        keypoints=keypoints,
        descriptors=descriptors.astype(dtype),
        image_size=image_size,
        input_size=(32, 20),
        convention=convention,
        scales=scales,
    )


def test_images_are_sorted_by_name_and_carry_the_size_of_their_camera(database):
    with FeatureStore(database) as store:
        images = store.images()
    assert list(images) == ["a.jpg", "b.jpg", "d.jpg", "e.jpg", "sub/c.jpg"]
    assert [image.image_id for image in images.values()] == [3, 1, 5, 4, 2]
    assert (images["e.jpg"].camera_id, images["e.jpg"].width, images["e.jpg"].height) == (4, WIDTH, HEIGHT)


@pytest.mark.parametrize("count", [0, 1, 37])
@pytest.mark.parametrize("convention", list(Convention))
def test_float32_features_come_back_bit_for_bit(database, count, convention):
    features = make_features(count, convention=convention, scales=(0.5, 1.0, 1.0 / 3), dtype=FLOAT32)
    with FeatureStore(database) as store:
        store.write("a.jpg", features, "settings")
    with FeatureStore(database) as store:
        stored = store.read("a.jpg")
    assert stored.keypoints.dtype == np.float32
    assert stored.descriptors.dtype == np.float32
    assert np.array_equal(stored.keypoints, features.keypoints)
    assert np.array_equal(stored.descriptors, features.descriptors)
    assert stored.descriptors.flags.writeable  # torch warns of arrays that are not
    for field in ("image_size", "input_size", "convention", "scales"):
        assert getattr(stored, field) == getattr(features, field)


@pytest.mark.parametrize("count", [0, 37])
def test_float16_features_come_back_bit_for_bit(database, count):
    features = make_features(count)
    with FeatureStore(database) as store:
        store.write("a.jpg", features, "settings")
        stored = store.read("a.jpg")
    assert stored.descriptors.dtype == np.float16
    assert np.array_equal(stored.descriptors, features.descriptors)
    assert np.array_equal(stored.keypoints, features.keypoints)


@pytest.mark.parametrize(("descriptor_dtype", "row_bytes"), [(FLOAT16, 1024), (FLOAT32, 2048)])
@pytest.mark.parametrize("count", [0, 5])
def test_pycolmap_reads_what_sqlite3_wrote(database, descriptor_dtype, row_bytes, count):
    features = make_features(count, dtype=descriptor_dtype)
    with FeatureStore(database) as store:
        store.write("e.jpg", features, "settings")
    with open_pycolmap(database) as colmap:
        assert colmap.exists_keypoints(4)
        keypoints = colmap.read_keypoints(4)
        descriptors = colmap.read_descriptors(4)
    assert keypoints.shape == (count, 4)
    assert np.array_equal(keypoints[:, :3], features.keypoints[:, :3])
    assert not keypoints[:, 3].any()
    assert descriptors.type == pycolmap.FeatureExtractorType.UNDEFINED
    assert descriptors.data.shape == (count, row_bytes)
    assert descriptors.data.tobytes() == features.descriptors.tobytes()


def test_rows_are_those_that_pycolmap_writes(database):
    features = make_features(6, dtype=FLOAT32)
    with FeatureStore(database) as store:
        store.write("a.jpg", features, "settings")
    keypoints = features.keypoints * np.array([1, 1, 1, 0], np.float32)
    undefined = pycolmap.FeatureExtractorType.UNDEFINED
    with open_pycolmap(database) as colmap:
        colmap.write_keypoints(1, keypoints)
        colmap.write_descriptors(1, pycolmap.FeatureDescriptors(undefined, features.descriptors.view(np.uint8)))
    connection = sqlite3.connect(database)
    for table in ("keypoints", "descriptors"):
        rows = {row[0]: row[1:] for row in connection.execute(f"SELECT * FROM {table}")}
        assert rows[3] == rows[1]
    connection.close()


def test_extracted_gives_fingerprints_of_whole_images_only(database):
    with FeatureStore(database) as store:
        assert store.extracted() == {}
        store.write("sub/c.jpg", make_features(3), "one")
        store.write("a.jpg", make_features(0), "two")
        assert list(store.extracted().items()) == [("a.jpg", "two"), ("sub/c.jpg", "one")]
    with open_pycolmap(database) as colmap:
        colmap.clear_descriptors()
    with FeatureStore(database) as store:
        assert store.extracted() == {}
        with pytest.raises(RuntimeError, match=r"no d2sfm features of sub/c\.jpg"):
            store.read("sub/c.jpg")
    with open_pycolmap(database) as colmap:  # as many as there are keypoints, but not ours
        sift = pycolmap.FeatureDescriptors(pycolmap.FeatureExtractorType.SIFT, np.ones((3, 128), np.uint8))
        colmap.write_descriptors(2, sift)
    with FeatureStore(database) as store:
        assert store.extracted() == {}


def test_writing_again_replaces_features_and_removes_the_pairs_of_that_image_only(database):
    with FeatureStore(database) as store:
        for name in store.images():
            store.write(name, make_features(8, dtype=FLOAT32), "old")
    geometry = pycolmap.TwoViewGeometry(inlier_matches=np.array([[0, 1]], np.uint32))
    pairs = [(i, j) for j in range(1, 6) for i in range(1, j)]
    with MatchStore(database) as store:
        for i, j in pairs:
            store.write(i, j, np.array([[0, 1], [2, 3]]), geometry)
    features = make_features(2, seed=1)
    with FeatureStore(database) as store:
        store.write("a.jpg", features, "new")
        assert np.array_equal(store.read("a.jpg").keypoints, features.keypoints)
        assert [name for name, fingerprint in store.extracted().items() if fingerprint == "new"] == ["a.jpg"]
    with MatchStore(database) as store:
        assert done_pairs(store, verified=True) == {pair for pair in pairs if 3 not in pair}
        assert done_pairs(store, verified=False) == {pair for pair in pairs if 3 not in pair}


def test_a_failed_write_leaves_what_was_there(database, monkeypatch):
    with FeatureStore(database) as store:
        store.write("a.jpg", make_features(8, dtype=FLOAT32), "old")
        rows = store._connection.rows

        def interrupted(sql, values=()):
            if sql.startswith("INSERT INTO d2sfm_features"):
                raise KeyboardInterrupt
            return rows(sql, values)

        monkeypatch.setattr(store._connection, "rows", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.write("a.jpg", make_features(2, seed=1, dtype=FLOAT32), "new")
        monkeypatch.undo()
        assert store.extracted() == {"a.jpg": "old"}
        assert np.array_equal(store.read("a.jpg").keypoints, make_features(8).keypoints)


@pytest.mark.parametrize("count", [3, 4, 5, 9])
@pytest.mark.parametrize("descriptor_dtype", list(DescriptorDtype))
def test_descriptors_pass_in_pieces(database, monkeypatch, descriptor_dtype, count):
    features = make_features(count, dtype=descriptor_dtype)
    for module in (descriptor_rows, connection_module):
        monkeypatch.setattr(module, "PIECE_BYTES", 4096)  # four rows of float16, two of float32
    with FeatureStore(database) as store:
        store.write("a.jpg", features, "settings")
        stored = store.read("a.jpg")
    assert stored.descriptors.dtype == descriptor_dtype
    assert np.array_equal(stored.descriptors, features.descriptors)


@pytest.mark.slow
def test_writing_and_reading_make_no_further_copy_of_the_descriptors(database):
    """Resident memory, as SQLite's own is not known to Python."""
    clear = Path("/proc/self/clear_refs")
    if not os.access(clear, os.W_OK):
        pytest.skip("peaks of resident memory can't be reset here")

    def growth(step):
        clear.write_text("5")
        before = resident("VmRSS")
        result = step()
        return result, resident("VmHWM") - before

    def resident(key):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))

    count = 64_000
    descriptors = np.ones((count, 512), np.float16)
    features = replace(make_features(0), keypoints=np.ones((count, 4), np.float32), descriptors=descriptors)
    with FeatureStore(database) as store:
        _, grown = growth(lambda: store.write("a.jpg", features, "settings"))
        assert grown < descriptors.nbytes // 2
        stored, grown = growth(lambda: store.read("a.jpg"))
        assert grown < descriptors.nbytes * 3 // 2
    assert np.array_equal(stored.descriptors, descriptors)


def test_more_than_a_row_can_hold_is_refused_with_the_way_out(database, monkeypatch):
    check_count(976_562, FLOAT16)
    check_count(488_281, FLOAT32)
    with pytest.raises(ValueError, match=r"^has 976563 keypoints, .* use --max-keypoints 976562$"):
        check_count(976_563, FLOAT16)
    with pytest.raises(ValueError, match=r"use --max-keypoints 488281 or --descriptor-dtype float16$"):
        check_count(600_000, FLOAT32)
    monkeypatch.setattr(descriptor_rows, "MAX_ROW_BYTES", 5 * 1024 + 100)
    with FeatureStore(database) as store:
        store.write("a.jpg", make_features(5), "old")
        with pytest.raises(ValueError, match="has 6 keypoints, but a database holds at most 5"):
            store.write("a.jpg", make_features(6), "new")
        assert store.extracted() == {"a.jpg": "old"}


def test_the_limit_of_a_row_is_sqlites():
    connection = sqlite3.connect(":memory:")
    assert connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) >= MAX_ROW_BYTES
    connection.close()


def test_descriptors_of_another_length_than_their_row_says_are_refused(database):
    with FeatureStore(database) as store:
        store.write("a.jpg", make_features(5), "settings")
        store._connection.rows("UPDATE descriptors SET data = zeroblob(5119)")
        with pytest.raises(RuntimeError, match=r"db\.db has no d2sfm features of a\.jpg"):
            store.read("a.jpg")


def test_unknown_image_wrong_size_and_another_dtype_are_refused(database):
    with FeatureStore(database) as store:
        with pytest.raises(ValueError, match=r"no image x\.jpg"):
            store.write("x.jpg", make_features(1), "settings")
        with pytest.raises(ValueError, match=r"no image x\.jpg"):
            store.read("x.jpg")
        with pytest.raises(RuntimeError, match=r"picture of 48 x 64, the camera in .* has 64 x 48"):
            store.write("a.jpg", make_features(1, image_size=(HEIGHT, WIDTH)), "settings")
        with pytest.raises(ValueError, match=r"descriptors of float64, expected float16 or float32"):
            store.write("a.jpg", make_features(1, dtype="float64"), "settings")
        assert store.extracted() == {}


def test_resize_factors_leave_out_images_without_our_row(database):
    with FeatureStore(database) as store:
        assert store.resize_factors() == {}
        store.write("a.jpg", make_features(0), "settings")
        store.write("b.jpg", make_features(1), "settings")
        factor = resize_factor((32, 20), (WIDTH, HEIGHT))
        assert factor == 2.4
        assert store.resize_factors() == {1: factor, 3: factor}


def test_reading_changes_no_file(database):
    before = database.read_bytes()
    with FeatureStore(database) as store:
        store.images(), store.extracted(), store.resize_factors(), store.notes.read("images")
    assert database.read_bytes() == before


def test_rows_go_with_their_image(database):
    with FeatureStore(database) as store:
        store.write("a.jpg", make_features(3), "settings")
    with Connection(database) as connection:
        connection.rows("DELETE FROM images WHERE image_id = 3")
        assert connection.rows("SELECT image_id FROM d2sfm_features") == []
    with FeatureStore(database) as store:
        assert store.extracted() == {}


def test_keypoints_of_whole_images_come_with_their_image_and_the_networks_size(database):
    sizes = {"e.jpg": 3, "a.jpg": 0, "sub/c.jpg": 7}
    with FeatureStore(database) as store:
        assert list(store.keypoints()) == []
        for name, count in sizes.items():
            convention = Convention.REFERENCE if name == "e.jpg" else Convention.COLMAP
            store.write(name, make_features(count, seed=count, convention=convention), "settings")
    with open_pycolmap(database) as colmap:
        colmap.write_keypoints(5, np.ones((4, 4), np.float32))  # another extractor's
    with FeatureStore(database) as store:
        found, images = list(store.keypoints()), store.images()
    assert [stored.image.name for stored in found] == ["a.jpg", "e.jpg", "sub/c.jpg"]
    for stored in found:
        expected = make_features(sizes[stored.image.name], seed=sizes[stored.image.name]).keypoints
        assert stored.image == images[stored.image.name]
        assert stored.keypoints.dtype == np.float32
        assert np.array_equal(stored.keypoints, expected * np.array([1, 1, 1, 0], np.float32))
        assert stored.input_size == (32, 20)
    assert [stored.convention for stored in found] == [Convention.COLMAP, Convention.REFERENCE, Convention.COLMAP]
