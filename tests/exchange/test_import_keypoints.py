"""Import of other features than D2-Net's: keypoints with their matches, which are verified, mapped and triangulated."""

import re
import shutil

import h5py
import numpy as np
import pycolmap
import pytest
from PIL import Image
from support.feature_records import random_features
from support.other_features import VIEWS, Scene

from d2sfm.database import FeatureStore, ForeignStore, MatchStore
from d2sfm.database.connection import open_pycolmap
from d2sfm.exchange.export import export_database
from d2sfm.exchange.import_features import import_features
from d2sfm.exchange.merge import merge_databases
from d2sfm.extraction.extract import extract_to_database
from d2sfm.mapping.reconstruct import reconstruct
from d2sfm.mapping.triangulate import triangulate
from d2sfm.options import Convention, ImportOptions, ReconstructionOptions, VerificationOptions


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return Scene(tmp_path_factory.mktemp("scene"))


def take(scene, files, database, **changes):
    arguments = {"matches": files / "m.h5", "cameras": scene.given, "verification": VerificationOptions()} | changes
    return import_features(database, scene.images, files / "f.h5", **arguments)


def foreign(path):
    with ForeignStore(path) as store:
        return store.images(), store.extractor()


def write_image(path, name):
    """A database with an image of 160 x 120 px without features."""
    with open_pycolmap(path) as colmap:
        camera = pycolmap.Camera(model="SIMPLE_PINHOLE", width=160, height=120, params=[170, 80, 60])
        colmap.write_image(pycolmap.Image(name=name, camera_id=colmap.write_camera(camera)))


def write_foreign(path, name, kind):
    write_image(path, name)
    with ForeignStore(path) as store:
        store.write(name, np.ones((3, 2)), kind)
    return path


@pytest.mark.parametrize(
    ("layout", "kind", "tolerance"),
    [
        ("superpoint", "f.h5 (256 numbers each)", 1e-4),
        ("dense", "f.h5 (without descriptors)", 1e-4),
        ("deep_image_matching", "f.h5 (128 numbers each)", 0.3),
    ],
)
def test_keypoints_and_matches_come_as_they_are_and_are_verified(tmp_path, scene, layout, kind, tolerance):
    database = tmp_path / "db.db"
    summary = take(scene, getattr(scene, layout)(tmp_path / "files"), database)
    pairs, matches = len(scene.matches), sum(map(len, scene.matches.values()))
    assert (summary.imported, summary.keypoints) == (VIEWS, sum(map(len, scene.xy.values())))
    assert (summary.pairs, summary.matches, summary.verified, summary.skipped) == (pairs, matches, pairs, {})
    assert " keypoints without descriptors, " in str(summary)
    assert foreign(database) == (scene.names, kind)
    with MatchStore(database) as store:
        ids = store.image_ids()
        for name, xy in scene.xy.items():
            np.testing.assert_allclose(store.keypoints(ids[name]), xy, atol=tolerance)
        for (a, b), expected in scene.matches.items():
            assert sorted(store.matches(ids[a], ids[b]).tolist()) == sorted(expected.tolist())


def test_they_are_mapped_and_triangulated(tmp_path, scene):
    database = tmp_path / "db.db"
    take(scene, scene.dense(tmp_path / "files"), database)
    mapped = reconstruct(database, tmp_path / "sparse", options=ReconstructionOptions(min_starts=1, max_starts=1))
    assert mapped.statistics[0].images == VIEWS
    triangulated = triangulate(database, scene.folder, tmp_path / "triangulated")
    assert triangulated.statistics.points > 50


def test_a_second_run_goes_on(tmp_path, scene):
    files, database = scene.superpoint(tmp_path / "files"), tmp_path / "db.db"
    with h5py.File(files / "m.h5", "a") as file:
        group = scene.names[0].replace("/", "-")
        file.move(group, "kept")
    assert take(scene, files, database, verification=None).pairs == 3
    with h5py.File(files / "m.h5", "a") as file:
        file.move("kept", group)
    again = take(scene, files, database)
    assert (again.imported, again.already_there, again.pairs, again.verified) == (0, VIEWS, 3, 6)


def test_matches_of_other_keypoints_in_a_file_of_the_same_name_are_refused(tmp_path, scene):
    """As a second run of an extractor writes them: the same keypoints in another order."""
    database, name = tmp_path / "db.db", scene.names[0]
    take(scene, scene.superpoint(tmp_path / "first"), database)
    files = scene.superpoint(tmp_path / "second")
    with h5py.File(files / "f.h5", "a") as file:
        file[f"{name}/keypoints"][:] = file[f"{name}/keypoints"][:][::-1]
    before = database.read_bytes()
    message = f"db.db holds other keypoints of 1 image ({name}) than {files / 'f.h5'}: give the file"
    with pytest.raises(RuntimeError, match=re.escape(message)):
        take(scene, files, database)
    assert database.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"matches": None}, "imported only with their matches: add --matches FILE"),
        (
            {"options": ImportOptions(convention=Convention.REFERENCE)},
            "--convention reference is for D2-Net's keypoints, leave it out",
        ),
    ],
)
def test_what_would_be_of_no_use_is_refused_before_the_work(tmp_path, scene, changes, message):
    files = scene.superpoint(tmp_path / "files")
    with pytest.raises(ValueError, match=re.escape(message)) as refused:
        take(scene, files, tmp_path / "db.db", **changes)
    assert "f.h5 has descriptors of 256 numbers, D2-Net's have 512 numbers" in str(refused.value)
    assert not (tmp_path / "db.db").exists()


@pytest.mark.parametrize(("size", "described"), [(512, "descriptors of 512 numbers"), (0, "no descriptors")])
def test_a_mixed_file_is_refused_with_both_named(tmp_path, scene, size, described):
    files, first = scene.superpoint(tmp_path / "files"), scene.names[0]
    with h5py.File(files / "f.h5", "a") as file:
        del file[f"{first}/descriptors"]
        if size:
            file[f"{first}/descriptors"] = np.eye(size, len(scene.xy[first]))
    others = f"{scene.names[1]} has descriptors of 256 numbers"
    expected = f"f.h5 mixes features: {first} has {described}, {others}"
    with pytest.raises(ValueError, match=re.escape(expected)):
        take(scene, files, tmp_path / "db.db")
    assert not (tmp_path / "db.db").exists()


def test_bad_keypoints_are_skipped_and_leave_nothing_behind(tmp_path, scene):
    files = scene.dense(tmp_path / "files")
    a, b, c, _ = scene.names
    with h5py.File(files / "f.h5", "a") as file:
        file[f"{a}/keypoints"][0] = np.nan
        file[f"{b}/keypoints"][0] = scene.size[0] + 4, 5
        file[f"{c}/keypoints"][0] = scene.size[0] + 3, 5  # dense matchers round positions
    summary = take(scene, files, tmp_path / "db.db")
    width, height = scene.size
    outside = f"1 of {len(scene.xy[b])} keypoints lies outside of the {width} x {height} px: ({width + 4.5}, 5.5)"
    assert summary.skipped == {a: "its keypoints are not all finite", b: outside}
    with FeatureStore(tmp_path / "db.db") as store:
        assert list(store.images()) == scene.names[2:]


def test_turned_photographs_whose_keypoints_do_not_tell_are_skipped(tmp_path, scene):
    files, name = scene.dense(tmp_path / "files"), scene.names[0]
    shutil.copytree(scene.images, tmp_path / "images")
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(scene.images / name).save(tmp_path / "images" / name, exif=exif)
    summary = import_features(tmp_path / "db.db", tmp_path / "images", files / "f.h5", matches=files / "m.h5")
    assert summary.imported == VIEWS - 1
    assert summary.skipped[name].startswith("has an EXIF orientation, and its size does not show")


@pytest.mark.slow
def test_features_of_different_kinds_are_not_put_into_one_database(tmp_path, scene):
    def refuse(run, message):
        with pytest.raises(RuntimeError, match=re.escape(message)) as refused:
            run()
        assert "\n" not in str(refused.value)

    files, database = scene.superpoint(tmp_path / "files"), tmp_path / "db.db"
    take(scene, files, database)
    held = f"holds keypoints of f.h5 (256 numbers each) for {VIEWS} images ({scene.names[0]} the first)"
    asked = "but these are of f.h5 (without descriptors): import each kind into a database of its own"
    refuse(lambda: take(scene, scene.dense(tmp_path / "dense"), database), f"{held}, {asked}")
    refuse(lambda: extract_to_database(database, scene.images), f"{held}, not of d2sfm")
    refuse(lambda: export_database(database, tmp_path / "out"), f"holds no d2sfm features, only {held[6:]}")
    shutil.copytree(scene.images, tmp_path / "others")
    message = f"holds the photographs of {scene.images}"
    refuse(lambda: import_features(database, tmp_path / "others", files / "f.h5", matches=files / "m.h5"), message)

    write_image(tmp_path / "ours.db", "a.jpg")
    with FeatureStore(tmp_path / "ours.db") as store:
        store.write("a.jpg", random_features(0), '{"extractor": "d2sfm"}')
    message = "holds keypoints of d2sfm for 1 image (a.jpg), but these are of f.h5 (256 numbers each)"
    refuse(lambda: take(scene, files, tmp_path / "ours.db"), message)


def test_databases_of_one_kind_are_merged_and_others_are_not(tmp_path):
    one, two = (
        write_foreign(tmp_path / "1.db", "a.jpg", "f.h5 (one)"),
        write_foreign(tmp_path / "2.db", "b.jpg", "f.h5 (one)"),
    )
    assert merge_databases([one, two], tmp_path / "all.db") == 2
    assert foreign(tmp_path / "all.db") == (["a.jpg", "b.jpg"], "f.h5 (one)")
    other = write_foreign(tmp_path / "3.db", "c.jpg", "f.h5 (other)")
    with pytest.raises(RuntimeError, match=r"1\.db holds keypoints of f\.h5 \(one\), .*3\.db holds keypoints of f\.h5"):
        merge_databases([one, other], tmp_path / "mixed.db")
