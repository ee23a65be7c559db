"""Pairs of SIFT's keypoints are verified where SIFT has matched them, and asked for nowhere else."""

import shutil

import numpy as np
import pycolmap
import pytest
from support.database_contents import done_pairs, dump
from support.sift_scene import make_sift_scene
from support.small_map import write_true_model

from d2sfm.cli import main
from d2sfm.database import FeatureStore, MatchStore, Note
from d2sfm.database.connection import Connection, open_pycolmap
from d2sfm.features.record import Features
from d2sfm.options import Convention

MATCHED = {(1, 2), (1, 3), (2, 3)}  # of five images


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_sift_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def database(scene, tmp_path, monkeypatch):
    """With geometries of all its pairs, in the working folder, beside the true model of the photographs."""
    monkeypatch.chdir(tmp_path)
    write_true_model(tmp_path / "true", range(5))
    return shutil.copy(scene.database, tmp_path / "db.db")


def run_sql(path, *statements):
    with Connection(path) as connection:
        for statement in statements:
            connection.rows(statement)


def pairs(path, verified=True):
    with MatchStore(path) as store:
        return done_pairs(store, verified)


@pytest.mark.parametrize("options", [[], ["--pairs", "exhaustive"], ["--pairs", "pairs.txt"]])
def test_those_that_have_matches_are_verified_and_no_others(database, tmp_path, capsys, options):
    run_sql(database, "DELETE FROM two_view_geometries")
    (tmp_path / "pairs.txt").write_text("0.png 1.png\n0.png 2.png\n1.png 2.png\n2.png 3.png\n")
    assert main(["match", "db.db", *options, "--write-pairs", "written.txt"]) == 0
    assert pairs(database) == pairs(database, verified=False) == MATCHED
    said = capsys.readouterr()
    assert "match: 3 pairs" in said.out
    left = "1 pair" if options == ["--pairs", "pairs.txt"] else "7 pairs"
    assert f"left out: {left} without matches, as descriptors of 5 images (0.png the first)" in said.err
    assert ("warning: left out" in said.err) == bool(options)  # where the pairs were named
    assert (tmp_path / "written.txt").read_text() == "0.png 1.png\n0.png 2.png\n1.png 2.png\n"
    with MatchStore(database) as store:
        assert min(len(store.inlier_matches(*pair)) for pair in MATCHED) > 30


def test_known_poses_verify_them(database):
    assert main(["match", "db.db", "--reference", "true"]) == 0
    assert pairs(database) == MATCHED
    with MatchStore(database) as store:
        assert store.notes.read(Note.POSES) is not None


def test_many_images_are_not_looked_at_for_those_that_look_alike(database, monkeypatch):
    monkeypatch.setattr("d2sfm.pairs.select.EXHAUSTIVE_LIMIT", 2)
    run_sql(database, "DELETE FROM two_view_geometries")
    assert main(["match", "db.db"]) == 0
    assert pairs(database) == MATCHED


def test_d2_features_beside_them_are_matched(database, capsys):
    with open_pycolmap(database) as colmap:
        for name in ("6.png", "7.png"):
            colmap.write_image(pycolmap.Image(name=name, camera_id=1))
    random = np.random.default_rng(0)
    for name in ("6.png", "7.png"):
        descriptors = random.normal(size=(30, 512))
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
        found = Features(
            keypoints=random.uniform(5, 200, (30, 4)).astype(np.float32),
            descriptors=descriptors.astype(np.float16),
            image_size=(320, 240),
            input_size=(320, 240),
            convention=Convention.COLMAP,
            scales=(1.0,),
        )
        with FeatureStore(database) as store:
            store.write(name, found, "settings")
    assert main(["match", "db.db"]) == 0
    assert "left out: 17 pairs without matches, as descriptors of 5 images" in capsys.readouterr().err
    assert pairs(database) == MATCHED | {(6, 7)}
    assert main(["match", "db.db", "--overwrite"]) == 2
    (database.parent / "pairs.txt").write_text("6.png 7.png\n0.png 3.png\n")
    assert main(["match", "db.db", "--overwrite", "--pairs", "pairs.txt"]) == 0
    assert pairs(database) == MATCHED | {(6, 7)}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--pairs", "apart.txt"], "holds keypoints of SIFT for 5 images (0.png the first), but no pair asked for has"),
        (["--pairs", "retrieval", "--num-neighbours", "1"], "have 128 bytes each, but those of D2-Net have 1024"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--reference", "true"]])
def test_what_is_refused_changes_nothing(database, tmp_path, capsys, options, said, more):
    assert main(["match", "db.db", "--reference", "true"]) == 0  # which notes settings
    run_sql(database, "DELETE FROM two_view_geometries WHERE pair_id = 2147483647 + 2")
    (tmp_path / "apart.txt").write_text("0.png 3.png\n")
    there = dump(database)
    assert main(["match", "db.db", *options, *more, "--write-pairs", "written.txt"]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert dump(database) == there
    assert not (tmp_path / "written.txt").exists()


@pytest.mark.parametrize("more", [[], ["--reference", "true"], ["--pairs", "exhaustive"]])
def test_they_are_not_matched_again_and_a_later_run_verifies_them(database, capsys, more):
    run_sql(database, "DELETE FROM two_view_geometries WHERE pair_id = 2147483647 + 2")
    there = dump(database)
    assert main(["match", "db.db", "--overwrite", *more]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: d2sfm match: db.db holds keypoints of SIFT for 5 images (0.png the first), which --overwrite can't "
        "match again: match them with the tool that made them, then run d2sfm match without --overwrite"
    )
    assert dump(database) == there
    assert main(["match", "db.db"]) == 0
    assert pairs(database) == MATCHED


def test_without_any_matches_the_way_is_told(database, capsys):
    run_sql(database, "DELETE FROM matches", "DELETE FROM two_view_geometries")
    there = dump(database)
    assert main(["match", "db.db"]) == 2
    said = "but no pair asked for has matches: match them with the tool that made them, then run d2sfm match to verify"
    assert said in capsys.readouterr().err
    assert dump(database) == there
