"""D2 features where SIFT has left photographs apart."""

import json
import os
import shutil
import time
from functools import partial
from random import Random

import numpy as np
import pytest
from support.all_tests import ALL_TESTS
from support.bridge_database import dump
from support.narrow_network import begin_with_narrow_network
from support.old_database import write_old_copy
from support.runs import finish, start
from support.sift_scene import APART

from d2sfm.bridge import bridge
from d2sfm.bridge.added import added_pairs
from d2sfm.bridge.bridge import bridge_database, unbridge_database
from d2sfm.colmap import read_model
from d2sfm.database import BridgeStore, FeatureStore, MatchStore, RefinementStore, layer_of
from d2sfm.database.bridge_tables import LAYER
from d2sfm.database.connection import Connection, open_pycolmap
from d2sfm.database.pair_rows import are_among
from d2sfm.localization.localizer import Localizer
from d2sfm.mapping.extend import extend_model
from d2sfm.mapping.reconstruct import reconstruct
from d2sfm.options import (
    BridgeOptions,
    ExtractionOptions,
    LocalizationOptions,
    Precision,
    ReconstructionOptions,
    RefineCameras,
    VerificationOptions,
)

pytestmark = pytest.mark.slow

# A camera that moves along one line and looks one way does not tell its focal length.
HELD = ReconstructionOptions(num_threads=1, refine_cameras=RefineCameras.NO)
KILLS = 10 if ALL_TESTS else 1


def files(database):
    return sorted(path.name for path in database.parent.iterdir())


def test_photographs_apart_get_verified_pairs(scene, bridged):
    database, summary = bridged
    assert (summary.images, summary.apart, summary.connected, summary.bridged) == (5, 2, 2, 5)
    assert not summary.skipped
    with MatchStore(database) as store:
        ids = store.image_ids()
        pairs = {(a, b): inliers for a, b, _, inliers in store.pairs_table()}
    assert all(any(APART[0] in pair and pairs[pair] >= 15 for pair in pairs) for name in ids)
    assert files(database) == ["db.db"]


def test_all_that_was_there_stays_the_first_part(scene, bridged):
    database, _ = bridged
    with MatchStore(scene.database) as before, MatchStore(database) as after:
        for image_id in before.image_names():
            old = before.keypoints(image_id)
            assert np.array_equal(after.keypoints(image_id)[: len(old)], old)
        for a, b in ((1, 2), (1, 3), (2, 3)):
            for kind in ("matches", "inlier_matches"):
                old, new = (getattr(store, kind)(a, b) for store in (before, after))
                assert np.array_equal(new[: len(old)], old)
                assert len(new) > len(old)
    old, new = (
        {row[0]: row[4:] for row in dump(each)["two_view_geometries"][1]} for each in (scene.database, database)
    )
    assert old.items() <= new.items()
    assert len(old) == 3


def test_matches_are_of_keypoints_of_one_kind_that_lie_on_epipolar_lines(bridged):
    database, _ = bridged
    with BridgeStore(database) as store:
        images = {image.image_id: image for image in store.images().values()}
    with MatchStore(database) as store:
        for pair in ((3, 4), (4, 5)):
            inliers, first = store.inlier_matches(*pair), np.array([images[image_id].first for image_id in pair])
            assert (inliers < first + [images[image_id].count for image_id in pair]).all()
            are_d2 = inliers >= first
            assert np.array_equal(are_d2[:, 0], are_d2[:, 1])
            assert min(np.bincount(are_d2[:, 0], minlength=2)) > 15
            a, b = (store.keypoints(image_id)[rows] for image_id, rows in zip(pair, inliers.T, strict=True))
            beside = np.abs(a[:, 1] - b[:, 1])  # the camera moves along x
            assert np.median(beside) < 0.3
            assert (beside[~are_d2[:, 0]] < 1).mean() > 0.9


def test_d2_keypoints_are_refined(bridged):
    with layer_of(bridged[0]) as layer, FeatureStore(layer) as features:
        assert features.notes.refinement()


def test_matches_that_refinement_has_refuted_are_not_verified_again(scene, bridged):
    pair = (4, 5)  # which SIFT has not verified
    with BridgeStore(scene.database) as store:
        counts = store.own_counts()
    with layer_of(bridged[0]) as layer:
        with MatchStore(layer) as store:
            refuted = store.inlier_matches(*pair)[::3]
        with RefinementStore(layer) as store:
            store.replace({}, store.notes.refinement(), refuted={pair: refuted}, others_stay=True)
        added = {each.images: each for each in added_pairs(scene.database, layer, counts, VerificationOptions())}
    first = np.array([counts[image_id] for image_id in pair], np.uint32)
    inliers = added[pair].geometry.inlier_matches
    of_d2 = inliers[(inliers >= first).all(axis=1)] - first
    assert len(of_d2) > 15
    assert not are_among(refuted, of_d2).any()


@pytest.fixture(scope="module")
def mapped(bridged, tmp_path_factory):
    """What reconstruct makes of the bridged database."""
    output = tmp_path_factory.mktemp("sparse")
    return reconstruct(bridged[0], output, options=HELD)


def test_the_bridged_database_is_mapped_whole(mapped):
    assert mapped.statistics[0].images == 5


def test_a_model_of_before_is_extended_by_the_photographs_that_were_apart(scene, bridged, tmp_path):
    [model] = reconstruct(scene.database, tmp_path / "sparse", images=scene.images, options=HELD).models
    result = extend_model(bridged[0], model, tmp_path / "new", options=HELD)
    assert result.added == APART
    old, new = read_model(model), read_model(result.model)
    for image in old.images.values():
        assert np.array_equal(new.images[image.image_id].cam_from_world().matrix(), image.cam_from_world().matrix())
    for point_id, point in old.points3D.items():
        assert np.array_equal(new.points3D[point_id].xyz, point.xyz)
        assert np.array_equal(new.points3D[point_id].color, point.color)
    # in colour, as the bridge's own run has noted where photographs are
    assert all(new.points3D[point_id].color.any() for point_id in set(new.points3D) - set(old.points3D))


@pytest.mark.usefixtures("narrow_network")
def test_photographs_are_placed_by_d2_points(scene, bridged, mapped):
    localizer = Localizer(bridged[0], mapped.models[0], options=LocalizationOptions(refine=False))
    pose = localizer.localize(scene.images / APART[0])
    images = {image.name: image for image in localizer.map.model.images.values()}
    image, beside = images[APART[0]], images[APART[1]]
    moved = pose.cam_from_world * image.cam_from_world().inverse()
    step = np.linalg.norm(image.projection_center() - beside.projection_center())
    assert np.linalg.norm(moved.translation) < 0.1 * step
    assert moved.rotation.angle() < 0.01


def test_restored_every_table_is_as_it_was(scene, bridged, tmp_path):
    database = shutil.copy(bridged[0], tmp_path / "db.db")
    assert unbridge_database(database) == 5
    assert dump(database) == dump(scene.database)
    assert unbridge_database(database) == 0


def test_a_second_run_does_nothing(scene, bridged, monkeypatch):
    database, _ = bridged
    there = dump(database)
    monkeypatch.setattr(bridge, "extract_images", None)
    again = bridge_database(database)  # the folder is noted
    assert (again.apart, again.connected, again.pairs) == (2, 2, 0)
    assert dump(database) == there


@pytest.mark.usefixtures("narrow_network")
@pytest.mark.parametrize("is_auto", [True, False])
def test_another_run_adds_what_it_is_asked_for_more(scene, bridged, tmp_path, is_auto):
    database = shutil.copy(bridged[0], tmp_path / "db.db")
    with BridgeStore(database) as store:
        before = store.pairs().tolist()
    with layer_of(database) as layer, FeatureStore(layer) as store:
        features, of_layer = store.read("0.png"), json.loads(store.extracted()["0.png"])["precision"]
    precision = Precision.AUTO if is_auto else Precision(of_layer)
    bridge_database(database, options=BridgeOptions(all_=True), features=ExtractionOptions(precision=precision))
    with BridgeStore(database) as store:
        assert {*map(tuple, store.pairs().tolist())} >= {*map(tuple, before)}
    with layer_of(database) as layer, FeatureStore(layer) as store:
        assert np.array_equal(store.read("0.png").descriptors, features.descriptors)
    unbridge_database(database)
    assert dump(database) == dump(scene.database)


@pytest.mark.usefixtures("narrow_network")
def test_a_database_of_colmap_3_8(scene, tmp_path):
    old = write_old_copy(scene.database, tmp_path / "old.db")
    with open_pycolmap(shutil.copy(old, tmp_path / "opened.db")):
        pass
    (tmp_path / "pairs.txt").write_text("0.png 3.png\n")
    summary = bridge_database(old, scene.images, options=BridgeOptions(pairs=tmp_path / "pairs.txt"))
    assert (summary.bridged, summary.pairs, summary.new_pairs) == (2, 1, 1)
    unbridge_database(old)
    assert dump(old) == dump(tmp_path / "opened.db")


@pytest.mark.usefixtures("narrow_network")
def test_what_is_apart_is_matched_with_what_looks_most_like_it(scene, tmp_path):
    database = shutil.copy(scene.database, tmp_path / "db.db")
    summary = bridge_database(database, scene.images, options=BridgeOptions(num_neighbours=1))
    assert summary.apart == 2
    with BridgeStore(database) as store:
        pairs = store.pairs().tolist()
    assert [4, 5] in pairs  # their neighbours by where they were taken
    assert len(pairs) <= 3
    assert files(database) == ["db.db"]


def test_killed_at_any_moment_a_database_is_whole_and_another_run_ends_as_an_unbroken_one(
    scene, bridged, narrow_weights, tmp_path
):
    random, prepare, (unbroken, summary) = Random(1), partial(begin_with_narrow_network, narrow_weights), bridged
    before, after = dump(scene.database), without_folder(dump(unbroken))
    for number in range(KILLS):
        database, is_killed = tmp_path / f"{number}.db", False
        command = ["bridge", "--database", database, "--images", scene.images]
        while not is_killed:
            restart(scene.database, database)
            process = start(command, prepare, os.devnull)
            while process.is_alive() and not database.with_name(f"{database.name}.lock").exists():
                time.sleep(0.001)
            process.join(random.uniform(0, summary.seconds))
            is_killed = process.exitcode is None
            process.kill()
            process.join()
            assert dump(database) == before or without_folder(dump(database)) == after
        finish(command, prepare)
        assert without_folder(dump(database)) == after
        assert sorted(path.name for path in tmp_path.glob(f"{number}.db*")) == [database.name]


def restart(source, database):
    for path in database.parent.glob(f"{database.name}*"):
        path.unlink()
    shutil.copy(source, database)


def without_folder(tables):
    """A dump of a bridged database, but for where its photographs lie to it, and the order of its notes."""
    name = f"{LAYER}d2sfm_settings"
    sql, rows = tables[name]
    return tables | {name: (sql, sorted(row for row in rows if row[0] != "images_beside"))}


@pytest.mark.usefixtures("narrow_network")
def test_what_is_damaged_stays_as_it_is(scene, tmp_path, caplog):
    database = shutil.copy(scene.database, tmp_path / "db.db")
    with Connection(database) as connection:
        connection.rows("UPDATE keypoints SET cols = 3 WHERE image_id = 4")
        connection.rows("UPDATE matches SET rows = 7 WHERE pair_id = 2147483647 + 2")
    there = {row[0]: row for row in dump(database)["keypoints"][1]}
    (tmp_path / "pairs.txt").write_text("0.png 1.png\n0.png 2.png\n0.png 3.png\n")
    summary = bridge_database(database, scene.images, options=BridgeOptions(pairs=tmp_path / "pairs.txt"))
    assert "left as it is: " in caplog.text
    assert "3.png has keypoints of 3 numbers" in caplog.text
    with BridgeStore(database) as store:
        assert sorted(store.images()) == ["0.png", "1.png", "2.png"]
        assert [1, 2] not in store.pairs().tolist()
    assert summary.pairs == 2
    assert dump(database)["keypoints"][1][3] == there[4]
