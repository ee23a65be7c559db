"""Features that are to be written again: they count as none, and stay until then."""

import os

import numpy as np
import pytest
from support.database_contents import contents
from support.feature_database import SIZE, descriptors_of_place, write_feature_database

from d2sfm.database import (
    FeatureStore,
    MatchStore,
    RefinementStore,
    begin_overwriting,
    create_database,
    end_overwriting,
    outdated_images,
    stopped_overwriting,
)
from d2sfm.features.record import Features
from d2sfm.options import Convention

NAMES = ["a.jpg", "b.jpg", "c.jpg"]


@pytest.fixture
def database(tmp_path):
    """Three images with features of the fingerprint "settings", matched and refined."""
    path = write_feature_database(
        tmp_path / "db.db", {name: descriptors_of_place(0, seed) for seed, name in enumerate(NAMES)}
    )
    with MatchStore(path) as store:
        for pair in ((1, 2), (1, 3), (2, 3)):
            store.write(*pair, np.array([[0, 1], [2, 3]]))
    with FeatureStore(path) as store:
        store.notes.write("match", '{"ratio": 0.5}')
    with RefinementStore(path) as store:
        store.replace({image_id: store.keypoints(image_id)[:, :2] + 0.25 for image_id in (1, 2, 3)}, {"max_error": 2.0})
        store.save_part("run", "stage", np.arange(3), np.zeros((3, 2)))
    return path


def write(path, name, fingerprint):
    record = Features(
        keypoints=np.ones((4, 4), np.float32),
        descriptors=np.ones((4, 512), np.float16),
        image_size=SIZE,
        input_size=SIZE,
        convention=Convention.COLMAP,
        scales=(1.0,),
    )
    with FeatureStore(path) as store:
        store.write(name, record, fingerprint)


def extracted(path):
    with FeatureStore(path) as store:
        return store.extracted()


def refinement(path):
    with RefinementStore(path) as store:
        return store.notes.refinement(), len(store.parts("run", "stage", 2))


def test_they_count_as_none_and_nothing_is_removed(database):
    before = contents(database)
    begin_overwriting(database, NAMES[:2], "new")
    assert outdated_images(database) == {"a.jpg": 1, "b.jpg": 2}
    assert extracted(database) == {"c.jpg": "settings"}
    with MatchStore(database) as store:
        assert [store.has_features(image_id) for image_id in (1, 2, 3)] == [False, False, True]
    with FeatureStore(database) as store, pytest.raises(RuntimeError, match=r"no d2sfm features of a\.jpg"):
        store.read("a.jpg")
    after = contents(database)
    for kind in ("keypoints", "descriptors", "originals", "matches", "two_view_geometries"):
        assert after[kind] == before[kind]


def test_what_hangs_on_them_goes_when_they_are_written(database):
    begin_overwriting(database, NAMES, "new")
    assert refinement(database) == ({}, 1)
    write(database, "a.jpg", "new")
    assert extracted(database) == {"a.jpg": "new"}
    assert outdated_images(database) == {"b.jpg": 2, "c.jpg": 3}
    assert refinement(database) == ({}, 0)
    found = contents(database)
    assert found["matches"].keys() == {("b.jpg", "c.jpg")}
    assert found["settings"].keys() == {"match", "refinement", "overwriting"}
    write(database, "b.jpg", "new")
    assert contents(database)["settings"].keys() == {"refinement", "overwriting"}
    write(database, "c.jpg", "new")
    end_overwriting(database)
    found = contents(database)
    assert found["settings"] == found["matches"] == found["originals"] == {}
    assert outdated_images(database) == {}


def test_a_stopped_run_of_the_same_settings_goes_on(database):
    begin_overwriting(database, NAMES, "new")
    write(database, "a.jpg", "new")
    assert stopped_overwriting(database) == "new"
    begin_overwriting(database, NAMES, "new")
    assert list(outdated_images(database)) == ["b.jpg", "c.jpg"]
    begin_overwriting(database, NAMES, "newer")
    assert list(outdated_images(database)) == NAMES
    end_overwriting(database)
    assert stopped_overwriting(database) is None
    assert list(outdated_images(database)) == NAMES  # what the run could not write is still to be written


def test_a_database_without_features_has_none_to_overwrite(tmp_path):
    create_database(tmp_path / "db.db")
    end_overwriting(tmp_path / "db.db")
    assert stopped_overwriting(tmp_path / "db.db") is None
    assert outdated_images(tmp_path / "db.db") == {}
    begin_overwriting(tmp_path / "db.db", NAMES, "new")
    assert outdated_images(tmp_path / "db.db") == {}


def test_photographs_that_the_database_cant_have_are_passed_over(database):
    begin_overwriting(database, ["a.jpg", "new.jpg", os.fsdecode(b"caf\xe9.jpg")], "new")
    assert outdated_images(database) == {"a.jpg": 1}
