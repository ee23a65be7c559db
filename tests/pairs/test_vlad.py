import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from support.feature_database import descriptors_of_place, unit, write_feature_database

from d2sfm.database import MatchStore
from d2sfm.pairs import vlad as module
from d2sfm.pairs.vlad import global_descriptors, make_vocabulary, vlad


def vlad_plainly(descriptors, words):
    """One descriptor after the other."""
    sums = np.zeros(words.shape)
    for descriptor in descriptors:
        nearest = np.argmin(((descriptor - words) ** 2).sum(axis=1))
        sums[nearest] += descriptor - words[nearest]
    for row in sums:
        row /= np.linalg.norm(row) or 1
    root = np.sign(sums) * np.sqrt(np.abs(sums))
    return root.ravel() / np.linalg.norm(root)


def test_vlad_by_its_definition():
    generator = np.random.default_rng(0)
    descriptors, words = unit(generator.normal(size=(50, 8))), generator.normal(size=(5, 8)).astype(np.float32)
    words[4] = 90.0  # no descriptor is near it
    found = vlad(descriptors, words)
    assert found.shape == (40,)
    np.testing.assert_allclose(found, vlad_plainly(descriptors, words), atol=1e-6)


def test_vlad_of_nothing():
    assert vlad(np.zeros((0, 8), np.float32), np.ones((3, 8), np.float32)).tolist() == [0.0] * 24


def test_descriptors_that_are_all_words_still_look_like_something():
    words = np.eye(3, 8, dtype=np.float32)
    np.testing.assert_allclose(vlad(words[:2], words), np.full(24, 24**-0.5), rtol=1e-6)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """12 images of 3 places in turn, and one without keypoints."""
    found = {f"{number:02}.jpg": descriptors_of_place(number % 3, number) for number in range(12)}
    found["empty.jpg"] = np.zeros((0, 512), np.float32)
    return write_feature_database(tmp_path_factory.mktemp("places") / "db.db", found)


def read(path, image_ids, **options):
    with MatchStore(path) as store:
        return global_descriptors(store, image_ids, **options)


def test_images_of_a_place_are_alike(places):
    found = read(places, range(1, 14), words=8)
    assert found.shape == (13, 8 * 512)
    assert found.dtype == np.float16
    found = found.astype(np.float32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1] * 12 + [0], atol=1e-3)
    similarity = found[:12] @ found[:12].T
    same = np.equal.outer(np.arange(12) % 3, np.arange(12) % 3)
    assert similarity[same].min() > similarity[~same].max() + 0.1


def test_the_same_numbers_every_time_in_the_order_of_the_images(places):
    found = read(places, range(1, 14), words=8)
    np.testing.assert_array_equal(read(places, range(1, 14), words=8), found)


@pytest.mark.slow
def test_the_same_numbers_with_any_number_of_threads(places):
    code = (
        "import sys; from d2sfm.database import MatchStore; from d2sfm.pairs.vlad import global_descriptors\n"
        "with MatchStore(sys.argv[1]) as store: "
        "sys.stdout.buffer.write(global_descriptors(store, range(1, 14), words=8).tobytes())"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", code, places],
            env=os.environ | {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for threads in ("1", "3")
    ]
    assert len(found[0]) == 13 * 8 * 512 * 2
    assert found[0] == found[1]


def test_words_come_from_a_bounded_sample(places, monkeypatch):
    monkeypatch.setattr(module, "SAMPLE_IMAGES", 5)
    monkeypatch.setattr(module, "SAMPLE_DESCRIPTORS", 100)
    seen, kmeans2 = [], module.kmeans2

    def watch(sample, *arguments, **options):
        seen.append(len(sample))
        return kmeans2(sample, *arguments, **options)

    monkeypatch.setattr(module, "kmeans2", watch)
    found = read(places, range(1, 13), words=8).astype(np.float32)
    assert seen == [100]
    similarity, same = found @ found.T, np.equal.outer(np.arange(12) % 3, np.arange(12) % 3)
    assert similarity[same].min() > similarity[~same].max()


def test_words_are_means_of_their_descriptors(places):
    with MatchStore(places) as store:
        words = make_vocabulary(store, range(1, 14), 8)
        sample = np.concatenate([store.descriptors(image_id) for image_id in range(1, 14)]).astype(np.float64)
    nearest = ((sample[:, None] - words) ** 2).sum(axis=2).argmin(axis=1)
    assert np.unique(nearest).tolist() == list(range(8))
    means = np.stack([sample[nearest == word].mean(axis=0) for word in range(8)])
    np.testing.assert_allclose(words, means, atol=1e-5)


def test_equal_descriptors_leave_words_without_any(tmp_path):
    three = unit(np.random.default_rng(0).normal(size=(3, 512)))
    path = write_feature_database(tmp_path / "db.db", {"a.jpg": three.repeat(9, axis=0), "b.jpg": three[:2]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read(path, [1, 2], words=8)
    assert found.shape == (2, 8 * 512)
    np.testing.assert_allclose(np.linalg.norm(found.astype(np.float32), axis=1), 1, atol=1e-3)


def test_fewer_descriptors_than_words(tmp_path):
    few = unit(np.random.default_rng(0).normal(size=(3, 512)))
    path = write_feature_database(tmp_path / "db.db", {"a.jpg": few[:2], "b.jpg": few[2:], "c.jpg": few[:0]})
    found = read(path, [1, 2, 3], words=8)
    assert found.shape == (3, 3 * 512)
    assert np.isfinite(found).all()
    nothing = write_feature_database(tmp_path / "none.db", {"a.jpg": few[:0], "b.jpg": few[:0]})
    assert read(nothing, [1, 2], words=8).size == 0
