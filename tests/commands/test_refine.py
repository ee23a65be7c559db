"""The options of d2sfm refine that decide how it computes; the others are tested in test_cli.py."""

import json
import shutil

import cv2
import pytest
from support.database_contents import rows
from support.feature_database import say_verified
from support.helpers import textured_picture
from support.runs import write_cut_outs

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
    assert note == expected | {"is_given": True, "rounds": 2, "grey": False, "continue_": False}


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


CONTRADICTIONS = {
    "--shard needs --parts DIR": ["--shard", "1/2"],
    "a shard is I/N with I from 1 to N, for example 2/7; found '3/2'": ["--parts", "shares", "--shard", "3/2"],
    "--output goes with --parts alone": ["--parts", "shares", "--shard", "1/2", "--output", "copy.db"],
    "--restore does not go with --parts": ["--parts", "shares", "--restore"],
    "--overwrite does not go with --parts: d2sfm refine --restore, and then --parts": ["--parts", "s", "--overwrite"],
    "no plan shares/plan.npz: d2sfm refine --database FILE --parts shares": ["--parts", "shares", "--shard", "1/2"],
}


@pytest.mark.parametrize("message", CONTRADICTIONS)
def test_shards_that_can_not_be_are_told(message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["refine", *CONTRADICTIONS[message]])
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_network")
def test_shards_say_what_is_next_and_end_as_one_process(tmp_path, capsys):
    folder = tmp_path / "photographs"
    folder.mkdir()
    write_cut_outs(folder, 3)
    database = tmp_path / "db.db"
    assert main(["extract", "--images", str(folder), "--database", str(database), "--quiet"]) == 0
    assert main(["match", "--database", str(database), "--quiet", "--no-verify"]) == 0
    say_verified(database, step=1)
    one = shutil.copy(database, tmp_path / "one.db")
    command = ["refine", "--parts", str(tmp_path / "shares"), "--no-continue", "--device", "cpu"]

    def run(code, *more):
        capsys.readouterr()
        assert main([*command, *more]) == code
        return capsys.readouterr().out

    of_database = ["--database", str(database)]
    parts = f"d2sfm refine --database {database} --parts {tmp_path / 'shares'} --shard"
    assert run(0, *of_database).startswith("refine: stage 1 (features) is next, ")
    assert run(0, "--shard", "1/2").startswith("refine: share 1/2 of the stage of features: ")
    assert run(1, *of_database).endswith(f"keypoints of share 2/2: {parts} 2/2\n")
    assert run(0, "--shard", "2/2").startswith("refine: share 2/2 of the stage of features: ")
    assert run(0, *of_database).endswith(f" keypoints: {parts} 1/N, and so on to N/N\n")
    found = json.loads(run(0, "--shard", "1/2", "--json"))["results"]["share"]
    assert (found["number"], found["of"], found["stage"], found["already_there"]) == (1, 2, "grey values", 0)
    found = json.loads(run(1, *of_database, "--json"))["results"]["parts"]
    assert (found["stage"], found["of"], found["missing"], found["refinement"]) == ("grey values", 2, [2], None)
    run(0, "--shard", "2/2")
    assert " keypoints of " in run(0, *of_database)
    assert main(["refine", "--database", str(one), "--no-continue", "--device", "cpu"]) == 0
    assert rows(database, "keypoints", "two_view_geometries") == rows(one, "keypoints", "two_view_geometries")
