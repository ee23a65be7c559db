"""What refinement reads of a database, against plain loops over its rows."""

import numpy as np
import pycolmap
import pytest

from d2sfm.coordinates import image_from_input
from d2sfm.database import FeatureStore, MatchStore
from d2sfm.database.connection import open_pycolmap
from d2sfm.features.record import Features
from d2sfm.options import Convention
from d2sfm.refinement import collection as collection_module
from d2sfm.refinement.collection import read_collection, read_images
from d2sfm.refinement.warps import local_warps

IMAGE_SIZE, INPUT_SIZE = (640, 480), (320, 200)
COUNTS = {"c.jpg": 30, "a.jpg": 20, "b.jpg": 0, "d.jpg": 25}  # image_id 1, 2, 3, 4


def make_features(name, convention=Convention.COLMAP):
    random = np.random.default_rng(COUNTS[name])
    keypoints = random.uniform(1, 400, (COUNTS[name], 4)).astype(np.float32)
    keypoints[:, 2] = random.choice([1.0, 2.0], COUNTS[name]) * 2.4
    descriptors = random.normal(size=(COUNTS[name], 512)).astype(np.float32)
    return Features(
        keypoints=keypoints,
        descriptors=descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True),
        image_size=IMAGE_SIZE,
        input_size=INPUT_SIZE,
        convention=convention,
        scales=(0.5, 1.0),
    )


def some_matches(seed, name_a, name_b, count):
    random = np.random.default_rng(seed)
    indices = [random.permutation(COUNTS[name])[:count] for name in (name_a, name_b)]
    return np.column_stack(indices).astype(np.uint32)


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "db.db"
    with open_pycolmap(path) as colmap:
        for name in [*COUNTS, "without.jpg"]:
            camera = pycolmap.Camera(model="SIMPLE_RADIAL", width=640, height=480, params=[700, 320, 240, 0])
            colmap.write_image(pycolmap.Image(name=name, camera_id=colmap.write_camera(camera)))
    with FeatureStore(path) as store:
        for name in COUNTS:
            store.write(name, make_features(name), "settings")
    return path


@pytest.fixture
def matched(database):
    """Pairs c-a and d-c are verified, a-d has no geometry, b has no keypoints."""
    with MatchStore(database) as store:
        for (id_a, a), (id_b, b), inliers in (((1, "c"), (2, "a"), 12), ((4, "d"), (1, "c"), 9)):
            matches = some_matches(id_a, f"{a}.jpg", f"{b}.jpg", 18)
            store.write(id_a, id_b, matches, pycolmap.TwoViewGeometry(inlier_matches=matches[:inliers]))
        store.write(2, 4, some_matches(0, "a.jpg", "d.jpg", 10))
        store.write(2, 3, np.zeros((0, 2)), pycolmap.TwoViewGeometry())
    return database


def images_of(path):
    with FeatureStore(path) as features:
        return read_images(features)


def collection_of(path):
    images = images_of(path)
    with MatchStore(path) as store:
        return read_collection(images, store)


def test_images_are_those_with_features_sorted_by_name(database):
    images = images_of(database)
    assert [image.name for image in images] == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert [image.image_id for image in images] == [2, 3, 1, 4]
    for image in images:
        assert (image.image_size, image.input_size) == (IMAGE_SIZE, INPUT_SIZE)
        assert image.xy.shape == (COUNTS[image.name], 2)
        assert image.xy.dtype == image.scale.dtype == np.float64


def test_positions_and_scales_are_pixels_of_the_networks_input_and_lead_back(database):
    for image in images_of(database):
        stored = make_features(image.name).keypoints
        np.testing.assert_allclose(image.xy, stored[:, :2] * (320 / 640, 200 / 480) - 0.5, atol=1e-9)
        # Edges shrink by 2 and 2.4: a keypoint's scale is one of the coarser axis.
        np.testing.assert_allclose(image.scale, stored[:, 2] / 2.4, atol=1e-6)
        np.testing.assert_allclose(image.in_image(image.xy), stored[:, :2], atol=1e-9)
        back = image_from_input(image.xy, INPUT_SIZE, IMAGE_SIZE, Convention.COLMAP)
        assert np.array_equal(image.in_image(image.xy), back)
        # What is written again without a move is the same float32.
        assert np.array_equal(back.astype(np.float32), stored[:, :2])


def test_keypoints_of_the_published_codes_frame_are_refused(database):
    with FeatureStore(database) as store:
        store.write("d.jpg", make_features("d.jpg", Convention.REFERENCE), "settings")
        with pytest.raises(RuntimeError, match=r"db\.db holds features in the frame reference"):
            read_images(store)


def test_nodes_count_through_the_keypoints_of_all_images(matched):
    collection = collection_of(matched)
    assert collection.first_node.tolist() == [0, 20, 20, 50, 75]
    assert collection.image_of_node.tolist() == [0] * 20 + [2] * 30 + [3] * 25
    assert np.array_equal(collection.xy[20:50], collection.images[2].xy)
    assert np.array_equal(collection.scale[50:], collection.images[3].scale)


def test_edges_are_the_verified_matches_with_cosine_and_warp(matched):
    collection = collection_of(matched)
    expected, warps = {}, {}
    for name_a, name_b, count, seed in (("c.jpg", "a.jpg", 12, 1), ("d.jpg", "c.jpg", 9, 4)):
        first = dict(zip(("a.jpg", "b.jpg", "c.jpg", "d.jpg"), collection.first_node.tolist(), strict=False))
        features_a, features_b = make_features(name_a), make_features(name_b)
        for a, b in some_matches(seed, name_a, name_b, 18)[:count].tolist():
            nodes = first[name_a] + a, first[name_b] + b
            expected[frozenset(nodes)] = features_a.descriptors[a] @ features_b.descriptors[b]
    edges = collection.edges
    assert len(edges.a) == len(edges.b) == len(collection.warps) == 21
    found = {frozenset(pair): weight for *pair, weight in zip(*map(np.ndarray.tolist, edges), strict=True)}
    assert found.keys() == expected.keys()
    for pair, weight in expected.items():
        assert found[pair] == pytest.approx(weight, abs=1e-6)
    for image_a in np.unique(collection.image_of_node[edges.a]):
        for image_b in np.unique(collection.image_of_node[edges.b]):
            of_a, of_b = collection.image_of_node[edges.a], collection.image_of_node[edges.b]
            of_pair = (of_a == image_a) & (of_b == image_b)
            warps = local_warps(collection.xy[edges.a[of_pair]], collection.xy[edges.b[of_pair]])
            assert np.array_equal(collection.warps[of_pair], warps.astype(np.float32))


def test_nothing_depends_on_the_room_for_descriptors(matched, monkeypatch):
    expected = collection_of(matched)
    monkeypatch.setattr(collection_module, "DESCRIPTOR_CACHE_BYTES", 0)
    found = collection_of(matched)
    for field, other in zip(found.edges, expected.edges, strict=True):
        assert np.array_equal(field, other)
    assert np.array_equal(found.warps, expected.warps)


def test_no_verified_pairs_say_what_to_run(database):
    with pytest.raises(RuntimeError, match=r"db\.db holds no verified pairs of images: run d2sfm match first"):
        collection_of(database)
    with MatchStore(database) as store:
        store.write(1, 2, some_matches(1, "c.jpg", "a.jpg", 18))
        store.write(1, 4, some_matches(1, "c.jpg", "d.jpg", 3), pycolmap.TwoViewGeometry())
    with pytest.raises(RuntimeError, match=r"holds 1 pair whose matches agree on no geometry, .* tells likely causes"):
        collection_of(database)
