"""The options of d2sfm match, by what they leave in the database."""

import json
import shutil

import cv2
import h5py
import numpy as np
import pycolmap
import pytest
from support.database_contents import done_pairs
from support.feature_database import descriptors_of_place, write_feature_database
from support.helpers import textured_picture

from d2sfm.cli import main
from d2sfm.database import FeatureStore, MatchStore
from d2sfm.database.connection import open_pycolmap

PLACE = [0, 0, 1, 1, 2, 2]  # of the images 1 to 6, "view 0.jpg" to "view 5.jpg"
OF_PLACES = {(1, 2), (3, 4), (5, 6)}


@pytest.fixture
def database(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = {f"view {index}.jpg": descriptors_of_place(place, index) for index, place in enumerate(PLACE)}
    path = write_feature_database(tmp_path / "db.db", named)
    with open_pycolmap(path) as colmap:
        for image_id, place in enumerate(PLACE, start=1):
            position = (55.7 + 0.01 * place, 13.19 + 1e-5 * image_id, 100.0 * image_id)
            data_id = colmap.read_image(image_id).data_id
            system = pycolmap.PosePriorCoordinateSystem.WGS84
            colmap.write_pose_prior(
                pycolmap.PosePrior(position=position, coordinate_system=system, corr_data_id=data_id)
            )
    return path


def match(*arguments):
    """The exit code of the command without verification, which the descriptors' random places would fail."""
    return main(["match", "--database", "db.db", "--no-verify", *map(str, arguments)])


def matched():
    with MatchStore("db.db") as store:
        return done_pairs(store, verified=False)


def test_retrieval(database, capsys):
    assert match("--pairs", "retrieval", "--num-neighbours", "1") == 0
    assert matched() == OF_PLACES
    assert "3 of the 15 pairs of 6 images (retrieval)" in capsys.readouterr().err


def test_retrieval_with_given_descriptors(database):
    with h5py.File("global.h5", "w") as file:
        for index in range(6):
            file.create_group(f"view {index}.jpg")["global_descriptor"] = np.eye(3)[index % 3]
    assert match("--pairs", "retrieval", "--num-neighbours", "1", "--global-descriptors", "global.h5") == 0
    assert matched() == {(1, 4), (2, 5), (3, 6)}


def test_few_images_are_matched_in_all_pairs_and_that_is_said(database, capsys):
    assert match("--pairs", "auto") == 0
    assert "--pairs exhaustive, as there are no more than 200 images" in capsys.readouterr().err
    assert len(matched()) == 15
    with MatchStore(database) as store:
        assert len(store.matches(1, 2)) >= 45  # what the two images of a place have in common


def test_sequences(database):
    assert match("--pairs", "sequential", "--overlap", "1", "--loop-candidates", "0") == 0
    assert matched() == {(i, i + 1) for i in range(1, 6)}


def test_positions(database):
    assert match("--pairs", "spatial", "--max-distance-m", "10", "--num-neighbours", "3") == 0
    assert matched() == OF_PLACES


def test_altitudes(database, capsys):
    assert match("--pairs", "spatial", "--max-distance-m", "99", "--use-altitude") == 2
    assert "--pairs spatial chooses no pair of the 6 images: loosen its limits" in capsys.readouterr().err
    assert match("--pairs", "spatial", "--max-distance-m", "101", "--use-altitude") == 0
    assert matched() == OF_PLACES


def test_the_views_of_a_model(database, tmp_path):
    model = pycolmap.Reconstruction()
    camera = pycolmap.Camera(camera_id=1, model="PINHOLE", width=8, height=6, params=[9, 9, 4, 3])
    model.add_camera_with_trivial_rig(camera)
    for index in range(6):  # in a row; every second one looks back
        rotation = np.diag([-1.0, 1, -1]) if index % 2 else np.eye(3)
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), -rotation @ [index + 0.1 * index**2, 0, 0])
        image = pycolmap.Image(f"view {index}.jpg", np.zeros((1, 2)), 1, index + 1)
        model.add_image_with_trivial_frame(image, pose)
    model.add_point3D(np.zeros(3), pycolmap.Track([pycolmap.TrackElement(2, 0), pycolmap.TrackElement(5, 0)]))
    (tmp_path / "model").mkdir()
    model.write_binary(tmp_path / "model")
    assert match("--pairs", "covisibility", "--model", "model") == 0
    assert matched() == {(2, 5)}
    assert match("--pairs", "poses", "--model", "model", "--max-angle-deg", "20", "--num-neighbours", "1") == 0
    assert matched() == {(2, 5), (1, 3), (3, 5), (2, 4), (4, 6)}


def test_pairs_are_written_and_read_again(database, tmp_path):
    assert match("--pairs", "retrieval", "--num-neighbours", "1", "--write-pairs", "pairs.txt") == 0
    expected = [f"view {a - 1}.jpg\tview {b - 1}.jpg\n" for a, b in sorted(OF_PLACES)]
    assert (tmp_path / "pairs.txt").read_text() == "".join(expected)
    (tmp_path / "retrieval").write_text(expected[0] + "view 0.jpg\tview 5.jpg\n")
    assert match("--pairs", "./retrieval", "--overwrite") == 0
    assert matched() == {*OF_PLACES, (1, 6)}


def test_settings_without_pairs_count_as_none(database, capsys):
    with FeatureStore(database) as store:
        store.notes.write("match", '{"ratio": 0.5}')  # of a run that was stopped before its first pair
    assert match("--ratio", "0.9") == 0
    assert "--overwrite" not in capsys.readouterr().err
    with FeatureStore(database) as store:
        assert json.loads(store.notes.read("match"))["ratio"] == 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--pairs", "exhaustive", "--num-neighbours", "5"],
            "--num-neighbours goes with --pairs auto or spatial or retrieval or covisibility or poses",
        ),
        (["--overlap", "5", "--pairs", "retrieval"], "--overlap goes with --pairs sequential, not with --pairs retr"),
        (["--loop-candidates", "0", "--pairs", "spatial"], "--loop-candidates goes with --pairs sequential"),
        (["--max-distance-m", "5", "--pairs", "retrieval"], "--max-distance-m goes with --pairs spatial"),
        (
            ["--use-altitude", "--pairs", "pairs.txt"],
            "--use-altitude goes with --pairs spatial, not with --pairs pairs",
        ),
        (
            ["--max-angle-deg", "5", "--pairs", "covisibility", "--model", "m"],
            "--max-angle-deg goes with --pairs poses",
        ),
        (["--model", "m", "--pairs", "spatial"], "--model goes with --pairs covisibility or poses"),
        (
            ["--global-descriptors", "f.h5", "--pairs", "exhaustive"],
            "--global-descriptors goes with --pairs sequential",
        ),
        (["--pairs", "poses"], "--pairs poses needs a COLMAP model: --model DIR"),
        (["--pairs", "covisibility", "--model", "nowhere"], "no COLMAP model in nowhere"),
        (["--pairs", "retrieval", "--global-descriptors", "nowhere.h5"], "no file nowhere.h5"),
        (["--pairs", "Retreival"], "no pairs file Retreival: did you mean retrieval?"),
        (["--write-pairs", "nowhere/pairs.txt"], "no folder nowhere for the pairs file pairs.txt"),
        (["--pairs", "sequential", "--overlap", "0"], "overlap must be 1 or more, found 0"),
        (["--pairs", "sequential", "--loop-candidates", "-1"], "loop_candidates must be 0 or more, found -1"),
        (["--pairs", "retrieval", "--num-neighbours", "0"], "num_neighbours must be 1 or more, found 0"),
        (["--pairs", "spatial", "--max-distance-m", "nan"], "max_distance_m must be above 0, found nan"),
        (["--pairs", "poses", "--model", "m", "--max-angle-deg", "181"], "max_angle_deg must lie from 0 to 180"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(database, capsys, arguments, message):
    assert match(*arguments, "--quiet") == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert error.startswith(f"error: d2sfm match: {message}")
    assert matched() == set()


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extracted")
    whole = textured_picture(3, (140, 96))
    (folder / "photographs").mkdir()
    for index in range(2):
        cv2.imwrite(str(folder / "photographs" / f"{index}.png"), whole[:, 20 * index : 20 * index + 96])
    assert main(["extract", "--images", str(folder / "photographs"), "--database", str(folder / "db.db")]) == 0
    return folder / "db.db"


def outcome(extracted, tmp_path, *options):
    """(matches, inliers, what is noted of the settings) of the one pair."""
    database = shutil.copy(extracted, tmp_path / "db.db")
    assert main(["match", "--database", str(database), *options]) == 0
    with MatchStore(database) as store:
        [(_, _, matches, inliers)] = store.pairs_table()
    with FeatureStore(database) as store:
        return matches, inliers, json.loads(store.notes.read("match"))


@pytest.mark.slow
@pytest.mark.parametrize("limit", [("--ratio", "0.6"), ("--max-distance", "0.5"), ("--min-similarity", "0.9")])
def test_limits_leave_fewer_matches_and_are_noted(extracted, tmp_path, limit):
    all_matches, _, _ = outcome(extracted, tmp_path)
    fewer, _, noted = outcome(extracted, tmp_path, *limit)
    assert 0 < fewer < all_matches
    option, value = limit
    assert noted[option.removeprefix("--").replace("-", "_")] == float(value)


def test_settings_of_verification_are_noted(extracted, tmp_path):
    options = ["--max-error", "3", "--min-inlier-ratio", "0.4", "--max-num-trials", "50", "--seed", "2"]
    _, inliers, noted = outcome(extracted, tmp_path, *options, "--verbose", "--device", "cpu")
    assert inliers >= 15
    expected = {"max_error": 3.0, "min_inlier_ratio": 0.4, "max_num_trials": 50, "seed": 2}
    assert noted | expected == noted


def test_a_pair_needs_so_many_inliers(extracted, tmp_path):
    matches, inliers, _ = outcome(extracted, tmp_path, "--min-num-inliers", "100000")
    assert matches > 0
    assert inliers == 0
