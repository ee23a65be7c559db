"""Merging: everything of each database is in the whole, and pycolmap reads it."""

import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sqlite3
from concurrent.futures import ProcessPoolExecutor

import cv2
import numpy as np
import pycolmap
import pytest
from support.feature_records import random_features
from support.helpers import textured_picture
from support.old_database import write_old_copy

from d2sfm.database import (
    FeatureStore,
    MatchStore,
    Note,
    RefinementStore,
    begin_overwriting,
    cameras_given,
    create_database,
    import_photographs,
    mark_cameras_given,
    outdated_images,
    remove_photographs,
    stopped_overwriting,
)
from d2sfm.database.bridge_tables import BRIDGE_PAIR_TABLES, BRIDGE_TABLES, LAYER
from d2sfm.database.connection import Connection, open_pycolmap
from d2sfm.database.lock import exclusive
from d2sfm.database.pair_ids import image_pairs, pair_ids
from d2sfm.database.removal import MAX_IMAGES
from d2sfm.database.tables import OUR_PAIR_TABLES, OUR_TABLES, PAIR_TABLES, PAIRS_ANEW, PARTS, REFUTED, SETTINGS, tables
from d2sfm.exchange.merge import merge_databases
from d2sfm.exchange.merged_rows import RENUMBERED
from d2sfm.options import CameraMode, CameraOptions
from d2sfm.parts import part_path

FINGERPRINT = json.dumps({"extractor": "d2sfm", "max_edge": 80})
SIZE = (80, 60)
NAMES = {"a": ["a0.png", "sub/a 1.png", "ä2.png"], "b": ["A0.png", "sub/b 1.png"], "c": ["c0.png", "c1.png", "c2.png"]}


@pytest.fixture(scope="module")
def some_photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "photographs"
    for names in NAMES.values():
        for index, name in enumerate(names):
            (folder / name).parent.mkdir(exist_ok=True, parents=True)
            cv2.imwrite(str(folder / name), textured_picture(index, SIZE))
    return folder


@pytest.fixture
def photographs(some_photographs, tmp_path):
    return shutil.copytree(some_photographs, tmp_path / "photographs")


def geometry(number):
    """A two-view geometry that is not that of the pair turned round."""
    found = pycolmap.TwoViewGeometry()
    found.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
    found.F = np.arange(9).reshape(3, 3) + number
    found.inlier_matches = np.array([[0, 1], [2, 0]], np.uint32)
    found.cam2_from_cam1 = pycolmap.Rigid3d(pycolmap.Rotation3d(), [number, 1, 2])
    return found


def write_database(path, photographs, names, fingerprint=FINGERPRINT, seed=0):
    """Photographs in groups of a camera, features, GPS positions, and all pairs with matches and geometries."""
    create_database(path)
    import_photographs(path, photographs, names, CameraOptions(camera_mode=CameraMode.PER_FOLDER))
    with FeatureStore(path) as store:
        for index, name in enumerate(names):
            features = random_features(10 * seed + index, count=4 + index, image_size=SIZE, input_size=(40, 30))
            store.write(name, features, fingerprint)
        store.notes.write("images", str(photographs))
    mark_cameras_given(path, [1])
    with open_pycolmap(path) as colmap:
        for image in colmap.read_all_images():
            prior = pycolmap.PosePrior(position=np.array([seed, image.image_id, 0.0]))
            prior.corr_data_id = image.data_id
            colmap.write_pose_prior(prior)
    with MatchStore(path) as store:
        ids = list(store.image_names())
        for number, (i, j) in enumerate((i, j) for i in ids for j in ids if i < j):
            store.write(i, j, np.array([[0, 1], [2, 0], [3, 3 - number % 2]]), geometry(number + seed))
    return path


@pytest.fixture(scope="module")
def written(tmp_path_factory, some_photographs):
    folder = tmp_path_factory.mktemp("parts")
    return [
        write_database(folder / f"{key}.db", some_photographs, names, seed=seed)
        for seed, (key, names) in enumerate(NAMES.items())
    ]


@pytest.fixture
def parts(tmp_path, photographs, written):
    """Copies of them, beside the photographs of the test."""
    copies = [shutil.copy(path, tmp_path / path.name) for path in written]
    for path in copies:
        set_setting(path, "images", str(photographs))
    return copies


def content(path):
    """All that a database holds of its images, by name, as pycolmap and d2sfm read it."""
    with FeatureStore(path) as store:
        images, fingerprints = store.images(), store.extracted()
        features = {name: store.read(name) for name in fingerprints}
    with RefinementStore(path) as store:
        refined = store.refined()
    found, given = {}, cameras_given(path)
    with open_pycolmap(path) as colmap:
        cameras = {name: colmap.read_camera(image.camera_id) for name, image in images.items()}
        priors = {prior.corr_data_id.id: prior for prior in colmap.read_all_pose_priors()}
        for name, image in images.items():
            frame = colmap.read_frame(colmap.read_image(image.image_id).frame_id)
            rig = colmap.read_rig(frame.rig_id)
            camera, of_one = cameras[name], features.get(name)
            found[name] = {
                "camera": (camera.model_name, camera.width, camera.height, tuple(camera.params)),
                "shares": {other for other in images if images[other].camera_id == image.camera_id},
                "is_given": image.camera_id in given,
                "is_refined": image.image_id in refined,
                "frame": {data.id for data in frame.data_ids} == {image.image_id},
                "rig": (rig.ref_sensor_id.id == image.camera_id, rig.num_sensors()),
                "prior": tuple(priors[image.image_id].position) if image.image_id in priors else None,
                "prior_sensor": image.image_id not in priors
                or priors[image.image_id].corr_data_id.sensor_id.id == image.camera_id,
                "fingerprint": fingerprints.get(name),
                "features": of_one and (of_one.keypoints.tolist(), of_one.descriptors.tobytes(), of_one.input_size),
            }
        names = {image.image_id: name for name, image in images.items()}
        pairs = {}
        for i in names:
            for j in names:
                if i < j and colmap.exists_matches(i, j):
                    geometry = colmap.read_two_view_geometry(i, j)
                    pose = geometry.cam2_from_cam1
                    pairs[names[i], names[j]] = (
                        colmap.read_matches(i, j).tolist(),
                        geometry.inlier_matches.tolist(),
                        geometry.config,
                        None if geometry.F is None else geometry.F.tolist(),
                        None if pose is None else pose.matrix().tolist(),
                    )
    return found, pairs


def test_each_databases_content_is_in_the_whole(tmp_path, parts):
    before = [path.read_bytes() for path in parts]
    assert merge_databases(parts, tmp_path / "merged.db") == 8
    assert [path.read_bytes() for path in parts] == before
    images, pairs = content(tmp_path / "merged.db")
    expected_images, expected_pairs = {}, {}
    for path in parts:
        of_part, pairs_of_part = content(path)
        expected_images |= of_part
        expected_pairs |= pairs_of_part
    assert images == expected_images
    assert all(image["frame"] and image["rig"] == (True, 1) and image["prior_sensor"] for image in images.values())
    assert {image["is_given"] for image in images.values()} == {True, False}
    assert pairs == expected_pairs
    assert len(pairs) == 3 + 1 + 3
    with FeatureStore(tmp_path / "merged.db") as store:
        assert store.notes.all() == {"images": str(tmp_path / "photographs"), "images_beside": "photographs"}
    with Connection(tmp_path / "merged.db") as connection:
        assert connection.rows("PRAGMA foreign_key_check") == []
        assert connection.rows("PRAGMA integrity_check") == [("ok",)]
    assert sorted(os.listdir(tmp_path)) == ["a.db", "b.db", "c.db", "merged.db", "photographs"]


def test_what_a_killed_merge_left_goes(tmp_path, parts):
    folder = tmp_path / "merged"
    folder.mkdir()
    part = part_path(folder / "merged.db")
    for suffix in (".lock", ".part", ".part-wal"):
        part.with_suffix(suffix).touch()
    (folder / ".merged.db.part").touch()  # somebody else's
    merge_databases(parts, folder / "merged.db")
    assert [name for name in os.listdir(folder) if name.startswith(".")] == [".merged.db.part"]


def names_by_id(path):
    with MatchStore(path) as store:
        return list(store.image_names().values())


def test_ids_count_on(tmp_path, parts):
    merge_databases(parts, tmp_path / "merged.db")
    assert names_by_id(tmp_path / "merged.db") == [name for part in parts for name in names_by_id(part)]


def test_every_table_of_d2sfm_is_thought_of():
    notes, left_out = {SETTINGS, f"{LAYER}{SETTINGS}"}, {PARTS, PAIRS_ANEW}
    of_images_and_cameras = {name for name in RENUMBERED if name.startswith("d2sfm_")}
    of_pairs = {*OUR_PAIR_TABLES, *BRIDGE_PAIR_TABLES}
    assert OUR_TABLES.keys() | BRIDGE_TABLES.keys() == of_images_and_cameras | of_pairs | notes | left_out


def test_every_table_of_colmap_is_thought_of(tmp_path):
    create_database(tmp_path / "db.db")
    with Connection(tmp_path / "db.db") as connection:
        assert tables(connection) - {"sqlite_sequence"} == {name for name in RENUMBERED if name[:6] != "d2sfm_"} | {
            *PAIR_TABLES
        }


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        ("INSERT INTO matches VALUES (?, 1, 2, ?)", (MAX_IMAGES * 1 + 5, bytes(8))),
        (
            "INSERT INTO pose_priors SELECT 77, 5, corr_sensor_id, 0, position, NULL, NULL, 0 FROM pose_priors "
            "WHERE pose_prior_id = ?",
            (1,),
        ),
    ],
)
def test_what_removed_images_left_does_not_become_others(tmp_path, parts, statement, values):
    """It has no foreign key, and 5 is the id that the first of the next images would have."""
    remove_photographs(parts[0], ["ä2.png"])
    connection = sqlite3.connect(parts[0])
    assert connection.execute(statement, values).rowcount == 1
    connection.commit()
    connection.close()
    merge_databases(parts, tmp_path / "merged.db")
    images, pairs = content(tmp_path / "merged.db")
    for path in parts[1:]:
        of_part, pairs_of_part = content(path)
        assert {name: images[name] for name in of_part} == of_part
        assert {pair: pairs[pair] for pair in pairs_of_part} == pairs_of_part
    assert len(pairs) == 1 + 1 + 3


@pytest.mark.parametrize("old", [0, 1])
def test_a_database_of_an_older_version(tmp_path, photographs, parts, old):
    """Images and pairs without d2sfm's tables, positions in columns of the images, no frames."""
    sources = parts[:2]
    positions = {name: (50.0, 10.0, index) for index, name in enumerate(NAMES["ab"[old]])}
    sources[old] = write_old_copy(parts[old], tmp_path / "old.db", positions)
    connection = sqlite3.connect(sources[old])
    connection.execute("DELETE FROM keypoints")
    connection.execute("DELETE FROM descriptors")
    connection.commit()
    connection.close()
    merge_databases(sources, tmp_path / "merged.db")
    images, pairs = content(tmp_path / "merged.db")
    assert {name: images[name]["prior"] for name in positions} == positions
    assert all(image["frame"] for image in images.values())
    assert len(pairs) == 3 + 1
    other = content(parts[1 - old])[0]
    assert {name: images[name] for name in other} == other
    with Connection(sources[old]) as connection:
        assert connection.rows("PRAGMA user_version") == [(3800,)]  # the source stays as it is


def refine(path, note):
    with RefinementStore(path) as store:
        store.save_part("unfinished", "stage", np.zeros(1), np.zeros((1, 2)))
        xy = store.keypoints(1)[:, :2] + 0.25
        continued = {1: np.full((1, 4), 5, np.float32)}
        store.replace({1: xy}, note, {1: np.full(len(xy) + 1, 0.125)}, (continued, {}))
        store.save_part("unfinished", "stage", np.zeros(1), np.zeros((1, 2)))


def test_refined_keypoints_and_their_originals(tmp_path, parts):
    originals = {path: content(path)[0] for path in parts}
    for path in parts:
        refine(path, {"seed": 1})
        with RefinementStore(path) as store:
            store.notes.write(Note.REFINING_ANEW, f"options of a stopped run on {path.name}")
    merge_databases(parts, tmp_path / "merged.db")
    images, _ = content(tmp_path / "merged.db")
    assert sum(image["is_refined"] for image in images.values()) == 3
    with RefinementStore(tmp_path / "merged.db") as store:
        assert store.parts("unfinished", "stage", 2) == []
        assert store.notes.refinement() == {"seed": 1}
        assert store.notes.read(Note.REFINING_ANEW) is None
        assert all((store.sigmas(image_id) == 0.125).all() for image_id in store.refined())
        assert store.restore() == 3
    images, _ = content(tmp_path / "merged.db")
    assert images == originals[parts[0]] | originals[parts[1]] | originals[parts[2]]


def refuse(tmp_path, sources, message, images=None):
    with pytest.raises(RuntimeError, match=re.escape(message)):
        merge_databases(sources, tmp_path / "merged.db", images)
    assert not [name for name in os.listdir(tmp_path) if "merged" in name]


def test_keypoints_that_are_not_refined_alike(tmp_path, parts):
    refine(parts[1], {"seed": 1})
    refuse(tmp_path, parts, "keypoints of " + str(parts[0]) + " and of " + str(parts[1]) + " are not refined alike")


def with_similarities(path, seed):
    """Writes all pairs again, each with its own similarities and refused, and with refuted matches."""
    refused = pycolmap.TwoViewGeometry(config=pycolmap.TwoViewGeometryConfiguration.DEGENERATE)
    generator, pairs = np.random.default_rng(seed), []
    with MatchStore(path) as store:
        for pair in image_pairs(store.done_pairs(verified=True)).tolist():
            matches = store.matches(*pair)
            kept = {"similarities": generator.uniform(0, 1, len(matches)), "refused": f"{path.name} {pair}"}
            store.write(*pair, matches, refused, **kept)
            pairs.append((int(pair_ids(*pair)), matches[seed : seed + 2].astype("<u4").tobytes()))
    for pair_id, data in pairs:
        run_sql(path, f"INSERT INTO {REFUTED} VALUES ({pair_id}, x'{data.hex()}')")


def of_pairs(path):
    """Similarities, reasons of refusal and refuted matches, of all matched pairs by names."""
    with MatchStore(path) as store:
        names, refusals = store.image_names(), store.refusals()
        numbers = store.done_pairs(verified=False)
        return {
            (names[a], names[b]): (store.similarities(a, b).tolist(), refusals[number], store.refuted(a, b).tolist())
            for number, (a, b) in zip(numbers.tolist(), image_pairs(numbers).tolist(), strict=True)
            if store.similarities(a, b) is not None
        }


@pytest.mark.parametrize("with_them", [(0, 1, 2), (0,), (2,), ()])
@pytest.mark.parametrize("lacking", ["rows", "tables"])
def test_similarities_and_reasons_of_refusal(tmp_path, parts, with_them, lacking):
    for number, path in enumerate(parts):
        if number in with_them:
            with_similarities(path, number)
        elif lacking == "tables":
            for table in OUR_PAIR_TABLES:
                run_sql(path, f"DROP TABLE {table}")
    merge_databases(parts, tmp_path / "merged.db")
    expected = {}
    for number in with_them:
        expected |= of_pairs(parts[number])
    assert len(expected) == sum((3, 1, 3)[number] for number in with_them)
    assert of_pairs(tmp_path / "merged.db") == expected


def test_similarities_that_removed_images_left_do_not_become_those_of_others(tmp_path, parts):
    """As those tools leave them that do not know the tables; 4 and 5 are ids of the images that come next."""
    with_similarities(parts[1], 1)
    for table, values in zip(OUR_PAIR_TABLES, ("x'00', x''", "'of others'", "x'00'"), strict=True):
        run_sql(parts[0], f"INSERT INTO {table} VALUES ({MAX_IMAGES * 4 + 5}, {values})")
    merge_databases(parts, tmp_path / "merged.db")
    assert of_pairs(tmp_path / "merged.db") == of_pairs(parts[1])


def run_sql(path, statement):
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_keypoints_that_are_not_as_exact_are_merged_as_if_that_was_not_known(tmp_path, parts):
    for path, note in zip(parts, ({"max_error_px": 1.0}, {}, {}), strict=True):
        refine(path, {"max_error": 2.0} | note)
    merge_databases(parts, tmp_path / "merged.db")
    with RefinementStore(tmp_path / "merged.db") as store:
        assert store.notes.refinement() == {"max_error": 2.0}


def test_a_refinement_of_earlier_versions_is_one_without_later_stages(tmp_path, parts):
    notes = (
        {"max_error": 2.0},
        {"max_error": 2.0, "grey": False, "continue_": False},
        {"grey": False, "max_error": 2.0},
    )
    for path, note in zip(parts, notes, strict=True):
        refine(path, note)
    merge_databases(parts, tmp_path / "merged.db")
    with RefinementStore(tmp_path / "merged.db") as store:
        assert store.notes.refinement() == notes[1]
    with RefinementStore(parts[0]) as store:
        store.notes.write("refinement", '{"max_error": 2.0, "grey": true}')
    with pytest.raises(RuntimeError, match="not refined alike"):
        merge_databases(parts, tmp_path / "again.db")


def test_a_note_of_keypoints_that_are_there_no_more(tmp_path, parts):
    """Extracting an image again takes its original keypoints away."""
    refine(parts[1], {"seed": 1})
    connection = sqlite3.connect(parts[1])
    connection.execute("DELETE FROM d2sfm_original_keypoints")
    connection.commit()
    connection.close()
    set_setting(parts[0], "copy_of", "another")
    assert merge_databases(parts, tmp_path / "merged.db") == 8
    with FeatureStore(tmp_path / "merged.db") as store:
        assert store.notes.all() == {"images": str(tmp_path / "photographs"), "images_beside": "photographs"}


def test_features_of_other_settings(tmp_path, photographs, parts):
    other = json.dumps({"extractor": "d2sfm", "max_edge": 96})
    write_database(tmp_path / "d.db", photographs, NAMES["b"], other)
    message = f"{parts[0]} holds features with max_edge 80, {tmp_path / 'd.db'} with max_edge 96"
    refuse(tmp_path, [parts[0], tmp_path / "d.db"], message)
    without_descriptors(tmp_path / "d.db")
    refuse(tmp_path, [parts[0], tmp_path / "d.db"], message)


def test_features_without_descriptors_are_merged_with_those_of_the_same_settings(tmp_path, parts):
    without_descriptors(parts[1])
    assert merge_databases(parts[:2], tmp_path / "merged.db") == 5
    with FeatureStore(tmp_path / "merged.db") as store:
        assert sorted(store.written()) == sorted(NAMES["a"] + NAMES["b"])
        assert sorted(store.extracted()) == sorted(NAMES["a"])


def without_descriptors(path):
    """As d2sfm assemble leaves it."""
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM descriptors")
    connection.commit()
    connection.close()
    with FeatureStore(path) as store:
        store.notes.write(Note.WITHOUT_DESCRIPTORS, "shards")


def test_a_fingerprint_without_features_counts_as_none(tmp_path, photographs, parts):
    other = write_database(tmp_path / "d.db", photographs, NAMES["b"], json.dumps({"extractor": "another"}))
    connection = sqlite3.connect(other)
    connection.execute("DELETE FROM keypoints")
    connection.commit()
    connection.close()
    assert merge_databases([parts[0], other], tmp_path / "merged.db") == 5


def test_features_that_are_to_be_written_anew_stay_so(tmp_path, parts):
    """They count as none: nothing to compare, and a run of one file is none of the merged one."""
    begin_overwriting(parts[0], NAMES["a"], "other settings")
    merge_databases(parts[:2], tmp_path / "merged.db")
    assert list(outdated_images(tmp_path / "merged.db")) == NAMES["a"]
    assert stopped_overwriting(tmp_path / "merged.db") is None
    with FeatureStore(tmp_path / "merged.db") as store:
        assert list(store.extracted()) == NAMES["b"]


def test_keypoints_of_another_extractor(tmp_path, parts):
    connection = sqlite3.connect(parts[1])
    connection.execute("DELETE FROM d2sfm_features")
    connection.execute("UPDATE descriptors SET type = 0")
    connection.commit()
    connection.close()
    refuse(tmp_path, parts, f"{parts[0]} holds keypoints of d2sfm, {parts[1]} holds keypoints of SIFT")


def set_setting(path, key, value):
    with FeatureStore(path) as store:
        store.notes.write(key, value)


def test_photographs_in_different_folders(tmp_path, photographs, parts, caplog):
    set_setting(parts[1], "images", "/elsewhere")
    refuse(tmp_path, parts, f"{parts[0]} has its photographs in {photographs}, {parts[1]} in /elsewhere: give --images")
    (tmp_path / "half").mkdir()
    refuse(tmp_path, parts, "half lacks 8 photographs (A0.png the first) of the databases", tmp_path / "half")
    merge_databases(parts, tmp_path / "merged.db", photographs)
    with FeatureStore(tmp_path / "merged.db") as store:
        assert store.notes.read("images") == str(photographs)


def test_other_settings(tmp_path, parts, caplog):
    set_setting(parts[0], "match", '{"ratio": null}')
    set_setting(parts[1], "match", '{"ratio": 0.9}')
    set_setting(parts[2], "alone", "x")
    merge_databases(parts, tmp_path / "merged.db")
    assert f"pairs of {parts[0]} were made with" in caplog.text
    with FeatureStore(tmp_path / "merged.db") as store:
        assert store.notes.read("match") == '{"ratio": null}'
        assert store.notes.read("alone") == "x"
    (tmp_path / "merged.db").unlink()
    set_setting(parts[0], "alone", "y")
    refuse(tmp_path, parts, f"{parts[0]} has the setting alone y, {parts[2]} has x")


def test_known_poses_are_kept_unless_they_differ(tmp_path, parts, caplog):
    set_setting(parts[1], "poses", "of a model")
    merge_databases(parts, tmp_path / "merged.db")
    with FeatureStore(tmp_path / "merged.db") as store:
        assert store.notes.read("poses") == "of a model"
    (tmp_path / "merged.db").unlink()
    set_setting(parts[2], "poses", "of another")
    merge_databases(parts, tmp_path / "merged.db")
    with FeatureStore(tmp_path / "merged.db") as store:
        assert store.notes.read("poses") is None
    assert f"{parts[1]} and {parts[2]} were verified by different known poses, which are left out" in caplog.text


def test_what_can_not_be_merged(tmp_path, parts):
    with pytest.raises(ValueError, match="expected two or more databases, each once"):
        merge_databases([parts[0], parts[0]], tmp_path / "merged.db")
    with pytest.raises(ValueError, match="expected two or more databases"):
        merge_databases(parts[:1], tmp_path / "merged.db")
    with pytest.raises(FileNotFoundError, match=r"no database .*d\.db"):
        merge_databases([parts[0], tmp_path / "d.db"], tmp_path / "merged.db")
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        merge_databases(parts, tmp_path / "nowhere" / "merged.db")
    (tmp_path / "text.db").write_text("text " * 1000)
    refuse(tmp_path, [parts[0], tmp_path / "text.db"], "text.db is not a COLMAP database")
    with exclusive(parts[1]):
        refuse(tmp_path, parts, "b.db is in use by another run of d2sfm")
    with pytest.raises(RuntimeError, match=r"c\.db exists already"):
        merge_databases(parts[:2], parts[2])


def test_ids_that_are_too_large(tmp_path, photographs, parts):
    connection = sqlite3.connect(parts[1])
    connection.execute("INSERT INTO images (image_id, name, camera_id) VALUES (?, 'last.png', 1)", (MAX_IMAGES - 1,))
    connection.commit()
    connection.close()
    refuse(tmp_path, parts, f"ids of the images of {parts[1]} go up to {MAX_IMAGES - 1}: too far")


def merge_beyond_the_limit(sources, output, limit):
    """In a process of its own, in which no file may have more bytes than the limit."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        merge_databases(sources, output)
    except RuntimeError as error:
        return str(error)
    return "merged"


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 1.2])  # while the first is copied, while the others are added
def test_a_full_disk_leaves_nothing_behind(tmp_path, photographs, parts, share):
    for path, name in ((parts[0], "a0.png"), (parts[1], "A0.png")):
        with FeatureStore(path) as store:
            features = random_features(0, count=2000, image_size=SIZE, input_size=(40, 30))
            store.write(name, features, FINGERPRINT)
    before = [path.read_bytes() for path in parts]
    limit = int(share * len(before[0]))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        message = pool.submit(merge_beyond_the_limit, parts, tmp_path / "merged.db", limit).result()
    assert message.startswith(f"{tmp_path / 'merged.db'} can't be written: the disk is full")
    assert sorted(os.listdir(tmp_path)) == ["a.db", "b.db", "c.db", "photographs"]
    assert [path.read_bytes() for path in parts] == before
