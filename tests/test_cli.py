import json
import logging
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from support.database_contents import done_pairs
from support.helpers import save_plain_weights, textured_picture
from support.photograph_folder import write_overlapping

from d2sfm import __version__
from d2sfm.cli import main
from d2sfm.database import FeatureStore, MatchStore

pytestmark = pytest.mark.usefixtures("narrow_network")

COMMANDS = ["run", "extract", "match", "refine", "reconstruct", "triangulate", "train", "demo"]
SMALL = ["--max-edge", "96"]


@pytest.fixture
def photographs(tmp_path):
    return write_overlapping(tmp_path / "photographs")


def run(*arguments):
    return main([str(argument) for argument in arguments])


def extract(photographs, database, *more):
    return run("extract", "--images", photographs, "--database", database, *SMALL, *more)


def test_the_three_commands_one_after_the_other(photographs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("extract", "--images", "photographs", *SMALL, "--camera-mode", "single") == 0
    assert capsys.readouterr().out.startswith("extract: 3 photographs")
    assert run("match", "--seed", "3") == 0
    assert capsys.readouterr().out.startswith("match: 3 pairs")
    # Cut-outs of one plane have no depth.
    assert run("reconstruct") == 1
    output = capsys.readouterr().out
    assert "nothing could be reconstructed from 3 images" in output
    assert "likely cause" in output
    with MatchStore(tmp_path / "db.db") as store:
        assert len(store.done_pairs(verified=True)) == 3


@pytest.mark.slow
def test_second_runs_have_nothing_to_do(photographs, tmp_path, capsys):
    for _ in range(2):
        assert extract(photographs, tmp_path / "db.db") == 0
        assert run("match", "--database", tmp_path / "db.db") == 0
    output = capsys.readouterr().out
    assert "3 there already" in output
    assert "3 pairs there already" in output


@pytest.mark.slow
def test_pairs_of_other_settings_stay_with_a_warning_until_overwrite(photographs, tmp_path, capsys):
    extract(photographs, tmp_path / "db.db")
    match = ["match", "--database", tmp_path / "db.db"]
    assert run(*match) == 0
    assert "--overwrite" not in capsys.readouterr().err
    assert run(*match, "--max-error", "3") == 0
    captured = capsys.readouterr()
    assert "max_error 8.0 (now 3.0)" in captured.err
    assert "3 pairs there already" in captured.out
    assert run(*match, "--max-error", "3", "--overwrite") == 0
    captured = capsys.readouterr()
    assert "warning" not in captured.err
    assert "already" not in captured.out
    assert run(*match, "--max-error", "3") == 0
    assert "warning" not in capsys.readouterr().err


@pytest.mark.slow
def test_quiet_runs_print_nothing(photographs, tmp_path, capsys):
    assert extract(photographs, tmp_path / "db.db", "--quiet", "--camera-mode", "single") == 0
    assert run("match", "--database", tmp_path / "db.db", "--quiet") == 0
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_a_quiet_run_leaves_the_logger_as_it_was(tmp_path):
    logger = logging.getLogger("d2sfm")
    before = logger.level
    main(["match", "--database", str(tmp_path / "none.db"), "--quiet"])
    assert logger.level == before


def test_pairs_of_a_file_and_no_verification(photographs, tmp_path):
    extract(photographs, tmp_path / "db.db")
    (tmp_path / "pairs.txt").write_text("0.png 2.png\n")
    assert run("match", "--database", tmp_path / "db.db", "--pairs", tmp_path / "pairs.txt", "--no-verify") == 0
    with MatchStore(tmp_path / "db.db") as store:
        assert done_pairs(store, verified=False) == {(1, 3)}
        assert done_pairs(store, verified=True) == set()


def test_options_reach_the_features(photographs, tmp_path):
    options = "--multiscale --max-keypoints 7 --convention reference --preprocessing torch --no-relu --device cpu"
    options += " --max-sum-edges 150 --descriptor-dtype float32 --precision float32"
    assert extract(photographs, tmp_path / "db.db", *options.split()) == 0
    with FeatureStore(tmp_path / "db.db") as store:
        features = store.read("0.png")
        settings = json.loads(store.extracted()["0.png"])
    assert len(features) == 7
    assert features.scales == (0.5, 1.0, 2.0)
    assert features.convention == "reference"
    assert features.descriptors.dtype == np.float32
    assert sum(features.input_size) == 150
    assert (settings["preprocessing"], settings["relu"]) == ("torch", False)


def test_a_list_of_photographs(photographs, tmp_path, capsys):
    (tmp_path / "list.txt").write_text(f"{photographs / '0.png'}\n{photographs / 'none.png'}\n")
    code = run("extract", "--image-list", tmp_path / "list.txt", "--output-type", "mat", *SMALL)
    assert code == 1  # one of the two is missing
    assert (photographs / "0.png.d2-net").exists()
    captured = capsys.readouterr()
    assert "none.png" in captured.err
    assert "1 skipped" in captured.out


def test_masks_border_and_camera_mask(photographs, tmp_path, capsys):
    masks = tmp_path / "masks"
    masks.mkdir()
    columns, rows = np.meshgrid(np.arange(96), np.arange(96))
    cv2.imwrite(str(masks / "0.png.png"), np.uint8(255 * (columns >= 40)))
    cv2.imwrite(str(tmp_path / "all.png"), np.uint8(255 * (rows >= 30)))
    more = ["--masks", masks, "--camera-mask", tmp_path / "all.png", "--border", "10"]
    assert extract(photographs, tmp_path / "db.db", *more) == 0
    assert "no mask, so all pixels are used: 2 photographs (1.png the first)" in capsys.readouterr().err
    with FeatureStore(tmp_path / "db.db") as store:
        for index in range(3):
            x, y = store.read(f"{index}.png").keypoints[:, :2].T
            assert x.min() >= (40 if index == 0 else 10)
            assert y.min() >= 30
            assert max(x.max(), y.max()) < 86
    assert extract(photographs, tmp_path / "db.db") == 2
    assert "holds features with border 10, masks True, camera_mask" in capsys.readouterr().err


@pytest.mark.slow
def test_an_existing_camera_and_a_default_focal_length(photographs, tmp_path):
    database = tmp_path / "db.db"
    assert extract(photographs, database, "--default-focal-length-factor", "0.9", "--camera-mode", "single") == 0
    cv2.imwrite(str(photographs / "new.png"), textured_picture(4, (96, 96)))
    cv2.imwrite(str(photographs / "small.png"), textured_picture(4, (64, 64)))
    assert extract(photographs, database, "--existing-camera", "1") == 1  # one does not fit
    with MatchStore(database) as store:
        assert sorted(store.image_names().values()) == ["0.png", "1.png", "2.png", "new.png"]
        assert {store.camera(image_id).mean_focal_length() for image_id in store.image_names()} == {0.9 * 96}
        assert {store.camera(image_id).camera_id for image_id in store.image_names()} == {1}


def test_skipped_photographs_give_exit_code_1_and_one_line_each(photographs, tmp_path, capsys):
    whole = (photographs / "0.png").read_bytes()
    (photographs / "cut.png").write_bytes(whole[: len(whole) // 2])
    (photographs / "moving.gif").write_bytes(b"GIF89a")
    (photographs / "notes.txt").write_text("no picture")
    assert extract(photographs, tmp_path / "db.db", "--camera-mode", "single") == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("warning: skipped cut.png: ")
    assert lines[1].startswith("warning: skipped moving.gif: ")


def test_a_picture_without_keypoints_is_mentioned(photographs, tmp_path, capsys):
    weights = save_plain_weights(tmp_path / "zero.pth", gain=0)
    assert extract(photographs, tmp_path / "db.db", "--weights", weights, "--camera-mode", "single") == 0
    assert "0.png has no keypoints" in capsys.readouterr().err
    assert run("match", "--database", tmp_path / "db.db") == 0


BAD = {
    "no folder": (["extract", "--images", "none"], "no such folder"),
    "an empty folder": (["extract", "--images", "empty"], "holds no photographs"),
    "a file for a folder": (["extract", "--images", "text.txt"], "expected a folder"),
    "no database": (["match", "--database", "none.db"], "none.db"),
    "a database that is none": (["match", "--database", "text.txt"], "not a COLMAP database"),
    "a database that is none, to extract": (
        ["extract", "--images", "photographs", "--database", "text.txt"],
        "not a COLMAP database",
    ),
    "no database to map": (["reconstruct", "--database", "none.db"], "none.db"),
    "no database to refine": (["refine", "--database", "none.db"], "none.db"),
    "an error of nothing": (["refine", "--max-error", "0"], "max_error"),
    "a cache for files": (["extract", "--image-list", "text.txt", "--cache", "maps"], "--images"),
    "a database and files": (
        ["extract", "photographs", "--output-type", "npz", "--database", "a.db"],
        "--database and the options of cameras go with --images and a database, not with files (d2sfm export",
    ),
    "masks for files": (["extract", "--image-list", "text.txt", "--masks", "empty"], "--images"),
    "a part of files": (["extract", "--image-list", "text.txt", "--only", "a"], "--images"),
    "a part of nothing": (["extract", "--images", "photographs", "--only", "a"], "matches 'a' of --only"),
    "no file of cameras": (["extract", "--images", "photographs", "--cameras", "none"], "no file of cameras none"),
    "no rigs": (["extract", "--images", "photographs", "--rig-config", "none"], "no rig configuration none"),
    "no masks": (["extract", "--images", "photographs", "--masks", "none"], "no folder of masks none"),
    "masks of nothing": (["extract", "--images", "photographs", "--masks", "empty"], "no mask of any photograph"),
    "a camera mask that is none": (
        ["extract", "--images", "photographs", "--camera-mask", "text.txt"],
        "the mask text.txt is not a picture",
    ),
    "a border below 0": (["extract", "--images", "photographs", "--border", "-1"], "border must be 0"),
    "an existing camera in no database": (
        ["extract", "--images", "photographs", "--database", "none.db", "--existing-camera", "1"],
        "no database none.db",
    ),
    "two cameras for all": (
        ["extract", "--images", "photographs", "--existing-camera", "1", "--camera-mode", "single"],
        "leave out camera_mode",
    ),
    "a focal length of nothing": (
        ["extract", "--images", "photographs", "--default-focal-length-factor", "0"],
        "default_focal_length_factor",
    ),
    "missing weights": (["extract", "--images", "photographs", "--weights", "none.pth"], "no weights"),
    "misspelt weights": (["extract", "--images", "photographs", "--weights", "d2_otss"], "did you mean d2_ots?"),
    "a misspelt camera model": (
        ["extract", "--images", "photographs", "--camera-model", "pinhol"],
        "no camera model PINHOL: did you mean PINHOLE?",
    ),
    "weights that are none": (["extract", "--images", "photographs", "--weights", "text.txt"], "checkpoint"),
    "no list": (["extract", "--image-list", "none.txt"], "no image list"),
    "an unknown camera model": (["extract", "--images", "photographs", "--camera-model", "PIN"], "PIN"),
    "wrong camera parameters": (
        ["extract", "--images", "photographs", "--camera-model", "PINHOLE", "--camera-params", "1,2"],
        "PINHOLE",
    ),
    "no such device": (["extract", "--images", "photographs", "--device", "tpu"], "tpu"),
    "scales that are none": (["extract", "--images", "photographs", "--scales", "0"], "scales"),
    "a scale that is no number": (["extract", "--images", "photographs", "--scales", "nan"], "scales"),
    "no extension": (["extract", "--image-list", "text.txt", "--output-extension", ""], "output_extension"),
    "half precision in mat": (
        ["extract", "--image-list", "text.txt", "--output-type", "mat", "--descriptor-dtype", "float16"],
        "float16",
    ),
    "camera options for files": (["extract", "--image-list", "text.txt", "--camera-mode", "single"], "--images"),
    "a seed that is too large": (["reconstruct", "--seed", "3000000000"], "seed"),
    "no threads": (["reconstruct", "--num-threads", "0"], "num_threads"),
    "a negative seed for the demonstration": (["demo", "--seed", "-1"], "seed"),
    "a ratio above one": (["match", "--ratio", "3"], "ratio"),
    "views that are too few": (["demo", "--views", "2"], "views"),
    "a folder of others for the demonstration": (["demo", "--output", "photographs"], "photographs holds 0.png"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line_and_exit_code_2(case, photographs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("text")
    before = {path: path.stat().st_mtime_ns for path in photographs.iterdir()}
    arguments, message = BAD[case]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert error.startswith(f"error: d2sfm {arguments[0]}: ")
    assert message in error
    assert {path: path.stat().st_mtime_ns for path in photographs.iterdir()} == before
    assert (tmp_path / "text.txt").read_text() == "text"


FAILING = [
    ["extract", "--images", "none"],
    ["match", "--database", "none.db"],
    ["refine", "--database", "none.db"],
    ["reconstruct", "--database", "none.db"],
    ["triangulate", "--database", "none.db", "--reference", "none"],
    ["train", "--dataset-path", "none", "--scene-info-path", "none"],
    ["demo", "--output", "text.txt"],
]


@pytest.mark.parametrize("arguments", FAILING, ids=" ".join)
def test_verbose_shows_the_traceback_and_quiet_the_error_alone(arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("text")
    assert run(*arguments, "--verbose") == 2
    assert "Traceback" in capsys.readouterr().err
    assert run(*arguments, "--quiet") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_every_option(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert "--quiet" in capsys.readouterr().out


def test_the_module_is_the_command():
    output = subprocess.run([sys.executable, "-m", "d2sfm", "--version"], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == f"d2sfm {__version__}"


@pytest.mark.parametrize(("given", "expected"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_threads_wait_without_burning_what_other_programs_need(given, expected):
    """OpenMP reads it when torch loads, which must be later."""
    code = (
        "import os, sys; from d2sfm.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | given
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert output.stdout.splitlines()[-1] == f"{expected} False"
