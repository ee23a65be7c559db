"""The options of d2sfm refine that decide how it computes; the others are tested in test_cli.py."""

import cv2
import pytest
from support.helpers import textured_picture

from d2sfm.cli import main
from d2sfm.database import RefinementStore


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    folder = tmp_path_factory.mktemp("matched")
    (folder / "photographs").mkdir()
    whole = textured_picture(3, (140, 96))
    for index in range(2):
        cv2.imwrite(str(folder / "photographs" / f"{index}.png"), whole[:, 20 * index : 20 * index + 96])
    database = str(folder / "db.db")
    assert main(["extract", "--images", str(folder / "photographs"), "--database", database, "--quiet"]) == 0
    assert main(["match", "--database", database, "--quiet"]) == 0
    return folder / "db.db"


@pytest.mark.slow
def test_the_options_are_noted_with_the_keypoints(database, tmp_path, capsys):
    options = ["--max-error", "3", "--seed", "4", "--weights", "d2_ots", "--preprocessing", "torch"]
    options += [
        "--precision",
        "float32",
        "--device",
        "cpu",
        "--cache-limit",
        "0.5",
        "--rounds",
        "2",
        "--no-grey",
        "--no-continue",
        "--verbose",
    ]
    output = ["--output", str(tmp_path / "copy.db"), "--images", str(database.parent / "photographs")]
    assert main(["refine", "--database", str(database), *options, *output]) == 0
    assert "keypoints of" in capsys.readouterr().out
    with RefinementStore(tmp_path / "copy.db") as store:
        note = store.notes.refinement()
    expected = {"max_error": 3.0, "seed": 4, "preprocessing": "torch", "precision": "float32", "weights": "d2_ots"}
    assert note == expected | {"rounds": 2, "grey": False, "continue_": False}


@pytest.mark.slow
def test_a_cache_without_room_stays_empty(database, tmp_path, capsys):
    options = ["--cache", str(tmp_path / "maps"), "--cache-limit", "0", "--quiet"]
    assert main(["refine", "--database", str(database), "--output", str(tmp_path / "copy.db"), *options]) == 0
    assert list((tmp_path / "maps").iterdir()) == []
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_an_interrupted_refinement_of_a_copy_goes_on(database, tmp_path, capsys):
    command = ["refine", "--database", str(database), "--output", str(tmp_path / "copy.db")]
    assert main([*command, "--images", str(tmp_path / "nowhere")]) == 2
    assert main(command) == 0
    assert "keypoints of" in capsys.readouterr().out
    assert main(["refine", "--database", str(tmp_path / "copy.db"), "--output", str(database)]) == 2
    assert "is not a copy of" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("option", [("--images", "."), ("--cache", "maps"), ("--max-error", "1")])
def test_restore_takes_no_options_of_refinement(database, option, capsys):
    assert main(["refine", "--database", str(database), "--restore", *option]) == 2
    assert "--restore needs neither" in capsys.readouterr().err


def test_restoring_and_overwriting_are_not_asked_for_together(database, capsys):
    assert main(["refine", "--database", str(database), "--restore", "--overwrite"]) == 2
    assert "expected --restore or --overwrite, found both" in capsys.readouterr().err
