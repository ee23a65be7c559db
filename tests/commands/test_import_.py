"""The command d2sfm import and its options."""

import json

import numpy as np
import pytest
from support.feature_records import write_as_hloc
from support.transfer_files import INPUT, NAMES, SIZE, write_database, write_photographs

from d2sfm.cli import main
from d2sfm.database import FeatureStore, MatchStore, cameras_given, read_rigs


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_photographs(tmp_path / "photographs")


@pytest.fixture
def from_hloc(photographs):
    for name in NAMES:
        write_as_hloc(photographs.parent / "f.h5", name, np.array([[1.5, 1.5]]), (INPUT, SIZE))


def run_import(*arguments):
    return main(["import", "--database", "new.db", "--images", "photographs", *map(str, arguments)])


def read(name="a.png"):
    """(features, settings of the fingerprint)"""
    with FeatureStore("new.db") as store:
        return store.read(name), json.loads(store.extracted()[name])


def test_what_export_wrote(photographs, tmp_path, capsys):
    write_database(tmp_path / "old.db", photographs)
    assert main(["export", "--database", "old.db"]) == 0
    arguments = ["--features", "exported/features.h5", "--matches", "exported/matches.h5", "--no-verify"]
    assert run_import(*arguments, "--descriptor-dtype", "float32") == 0
    assert "import: features of 3 photographs, 18 keypoints, 15 matches of 3 pairs in" in capsys.readouterr().out
    assert read()[0].descriptors.dtype == np.float32
    with MatchStore("new.db") as store:
        assert (len(store.done_pairs(verified=False)), len(store.done_pairs(verified=True))) == (3, 0)
    assert main(["reconstruct", "--database", "new.db"]) == 2
    assert "holds no verified pairs of images: run d2sfm match first" in capsys.readouterr().err


def test_matches_are_verified_with_the_given_options(photographs, tmp_path, capsys):
    write_database(tmp_path / "old.db", photographs)
    assert main(["export", "--database", "old.db"]) == 0
    arguments = ["--features", "exported/features.h5", "--matches", "exported/matches.h5", "--min-num-inliers", "6"]
    ransac = ["--max-error", "3", "--min-inlier-ratio", "0.2", "--max-num-trials", "500", "--seed", "7"]
    assert run_import(*arguments, *ransac) == 0
    assert "15 matches of 3 pairs, 0 verified" in capsys.readouterr().out
    expected = {"max_error": 3, "min_inlier_ratio": 0.2, "max_num_trials": 500, "min_num_inliers": 6, "seed": 7}
    with FeatureStore("new.db") as store:
        assert json.loads(store.notes.read("match")) == expected
    with MatchStore("new.db") as store:
        assert len(store.done_pairs(verified=True)) == 3


def test_the_options_that_pairs_were_verified_with_first_stay_noted(photographs, tmp_path):
    write_database(tmp_path / "old.db", photographs)
    assert main(["export", "--database", "old.db"]) == 0
    arguments = ["--features", "exported/features.h5", "--matches", "exported/matches.h5", "--max-error"]
    for max_error in (3, 5):
        assert run_import(*arguments, max_error) == 0
    with FeatureStore("new.db") as store:
        assert json.loads(store.notes.read("match"))["max_error"] == 3


def test_the_frame_and_the_camera(from_hloc):
    camera = ["--camera-model", "PINHOLE", "--camera-params", "150,150,80,60", "--camera-mode", "single"]
    assert run_import("--features", "f.h5", "--convention", "reference", *camera) == 0
    features, settings = read()
    np.testing.assert_allclose(features.keypoints[0, :2], [8, 8], atol=1e-4)
    assert settings["convention"] == "colmap, moved from reference"
    with FeatureStore("new.db") as store:
        assert {image.camera_id for image in store.images().values()} == {1}
    assert cameras_given("new.db") == {1}


def test_the_default_focal_length_and_an_existing_camera(from_hloc, photographs, tmp_path):
    assert run_import("--features", "f.h5", "--default-focal-length-factor", "2") == 0
    with MatchStore("new.db") as store:
        assert {store.camera(image_id).focal_length for image_id in store.image_names()} == {320}
    write_photographs(photographs, ["new.png"])
    write_as_hloc(tmp_path / "f.h5", "new.png", np.array([[1.5, 1.5]]), (INPUT, SIZE))
    assert run_import("--features", "f.h5", "--existing-camera", "2") == 0
    with FeatureStore("new.db") as store:
        assert store.images()["new.png"].camera_id == 2


@pytest.mark.parametrize(("option", "expected"), [("--max-edge", (40, 30)), ("--max-sum-edges", (22, 17))])
def test_a_folder_of_published_files(photographs, tmp_path, option, expected):
    with (tmp_path / "photographs" / "a.png.feat").open("wb") as stream:
        np.savez(stream, keypoints=np.array([[3.0, 3, 1]]), scores=np.ones(1), descriptors=np.eye(1, 512))
    arguments = ["--features", "photographs", "--extension", ".feat", "--convention", "reference", option, "40"]
    assert run_import(*arguments) == 0
    features, settings = read()
    assert features.input_size == expected
    assert settings[option[2:].replace("-", "_")] == 40


def test_what_can_not_be_used_is_named_in_a_line_each(from_hloc, tmp_path, capsys):
    (tmp_path / "photographs" / "b c.png").write_text("no picture")
    (tmp_path / "photographs" / "b\nc.png").write_text("no picture")
    write_as_hloc(tmp_path / "f.h5", "b\nc.png", np.array([[1.5, 1.5]]), (INPUT, SIZE))
    assert run_import("--features", "f.h5") == 1
    shown = capsys.readouterr()
    assert "warning: skipped b c.png: " in shown.err
    assert "warning: skipped b\\nc.png: " in shown.err
    assert ", 2 skipped" in shown.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--features", "nowhere.h5"], "no file nowhere.h5"),
        (["--features", "photographs/a.png"], "photographs/a.png is not an HDF5 file, or is damaged"),
        (["--features", "f.h5", "--no-verify"], "--no-verify and the options of verification go with --matches"),
        (["--features", "f.h5", "--max-error", "3"], "--no-verify and the options of verification go with --matches"),
        (["--features", "f.h5", "--extension", ""], "extension must be a suffix without '/', found ''"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(from_hloc, tmp_path, capsys, arguments, message):
    assert run_import(*arguments) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert error.startswith(f"error: d2sfm import: {message}")
    assert not (tmp_path / "new.db").exists()


def test_more_and_less_is_said(from_hloc, capsys):
    assert run_import("--features", "f.h5", "--convention", "colmap", "--quiet") == 0
    assert capsys.readouterr().out == ""
    assert run_import("--features", "nowhere.h5", "--verbose") == 2
    assert "Traceback" in capsys.readouterr().err


def test_larger_photographs_are_skipped(from_hloc, capsys):
    assert run_import("--features", "f.h5", "--quiet", "--max-megapixels", "0.01") == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "--max-megapixels allows 0.01" in line and NAMES[0] in line]


def test_cameras_and_rigs_are_those_of_their_files(photographs, tmp_path, from_hloc, caplog):
    (tmp_path / "cameras.toml").write_text('["sub"]\nmodel = "PINHOLE"\nparams = [90, 91, 80, 60]\n["usb"]')
    rig = [{"image_prefix": "a", "ref_sensor": True}, {"image_prefix": "sub/a"}]
    (tmp_path / "rig.json").write_text(json.dumps([{"cameras": rig}]))
    arguments = ["--features", "f.h5", "--cameras", "cameras.toml", "--rig-config", "rig.json"]
    assert run_import(*arguments) == 0
    assert 'cameras.toml: no photograph matches ["usb"]' in caplog.text
    with FeatureStore("new.db") as store:
        of_sub = store.images()["sub/a.png"].camera_id
    assert cameras_given("new.db") == {of_sub}
    assert [sensor.id for rig in read_rigs("new.db").values() for sensor in rig.non_ref_sensors] == [of_sub]
