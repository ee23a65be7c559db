"""What --json prints of each command: one object, as its schema says, and nothing beside it."""

import json
import math
import os
import re
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pycolmap
import pytest
from support.dotted_scene import FEW, write_dotted_scene
from support.feature_database import say_verified
from support.hard_pairs import write_hard_pairs, write_list
from support.helpers import write_plane_scene
from support.photograph_folder import write_overlapping
from support.placed_model import CENTRES, write_given, write_positions
from support.plane_views import plane_views
from support.sequences import write_sequence
from support.shard_folder import write_shard_folder

from d2sfm.cli import main
from d2sfm.demo.show import DemoResult
from d2sfm.evaluation.poses import PoseErrors
from d2sfm.mapping.reconstruct import ReconstructionResult
from d2sfm.matching.match import MatchSummary

pytestmark = pytest.mark.usefixtures("narrow_network")


def strict(schema):
    """The schema without room for members that it does not name."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(each) for name, each in schema.items()}
    return found | ({"additionalProperties": False} if "properties" in found and found.get("type") == "object" else {})


def printed(capsys, *arguments):
    """(exit code, what was printed on standard output, on standard error)."""
    capsys.readouterr()
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as ended:
        code = ended.code
    return code, *capsys.readouterr()


@pytest.fixture
def run(capsys):
    """Runs a command with --json; returns its object, which is that of the schema and tells the exit code."""

    def run(command, *arguments):
        code, out, _ = printed(capsys, command, "--json", *arguments)
        [line] = out.splitlines()
        found = json.loads(line, parse_constant=pytest.fail)
        schema = json.loads(printed(capsys, "--print-schema", command)[1])
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate(found, strict(schema), cls=jsonschema.Draft202012Validator)
        assert (found["command"], found["exit_code"], found["version"]) == (command, code, 1)
        assert (found["error"] is None) == (code < 2)
        return found

    return run


@pytest.fixture(scope="module")
def matched(tmp_path_factory):
    """A folder with photographs and their matched database."""
    folder = tmp_path_factory.mktemp("matched")
    write_overlapping(folder / "photographs")
    database = ["--database", str(folder / "db.db"), "--quiet"]
    assert main(["extract", str(folder / "photographs"), "--camera-mode", "single", "--max-edge", "96", *database]) == 0
    assert main(["match", *database]) == 0
    say_verified(folder / "db.db")
    return folder


@pytest.fixture
def work(matched, tmp_path, monkeypatch):
    """A folder of the test's own with the same."""
    monkeypatch.chdir(tmp_path)
    write_overlapping(tmp_path / "photographs")
    (tmp_path / "db.db").write_bytes((matched / "db.db").read_bytes())
    return tmp_path


@pytest.mark.slow
def test_extract_and_match(work, run):
    (work / "photographs" / "broken.jpg").write_bytes(b"no picture")
    options = ("--database", "new.db", "--max-edge", "96", "--camera-mode", "single")
    extracted = run("extract", "photographs", *options)["results"]["extract"]
    assert (extracted["extracted"], list(extracted["skipped"])) == (3, ["broken.jpg"])
    found = run("match", "new.db")["results"]["match"]
    assert (found["pairs"], found["skipped"]) == (3, {})


@pytest.mark.slow
def test_shards(tmp_path, run):
    folder = write_shard_folder(tmp_path / "shards").path
    alike = ("--pairs", "retrieval", "--num-neighbours", "2")
    found = run("pairs", folder, "--shard", "1/1", *alike)["results"]
    assert found == {"vectors": {"images": 9, "blocks": 1, "already_there": 0}}
    chosen = run("pairs", folder, *alike)["results"]["selection"]
    assert (chosen["blocks"], chosen["images_read"], chosen["already_there"]) == (1, 9, False)
    assert run("match", folder, "--shard", "1/1")["results"]["match"]["pairs"] == chosen["pairs"]


@pytest.mark.slow
def test_refine_and_what_it_was_before(work, run):
    refined = run("refine")["results"]["refine"]
    assert (refined["images"], refined["pairs"]) == (3, 3)
    assert run("refine", "--restore")["results"] == {"restore": {"images": 3}}


@pytest.mark.slow
def test_stages_of_a_command_and_that_nothing_was_found(work, run):
    results = run("reconstruct", "db.db")["results"]
    assert set(results) == {"refine", "reconstruct"}
    assert (results["reconstruct"]["models"], results["reconstruct"]["images"]) == ([], 3)
    assert [type(each) for each in results["reconstruct"]["pairs"][0]] == [str, str, int, int]


@pytest.mark.slow
def test_reconstruct_and_triangulate(work, run):
    pycolmap.set_random_seed(1)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig, options.num_points3D = 1, 1, 5, 100
    with pycolmap.Database.open("scene.db") as colmap:
        truth = pycolmap.synthesize_dataset(options, colmap)
    (work / "truth").mkdir()
    truth.write_binary(work / "truth")
    made = run("reconstruct", "scene.db", "--output", "out")["results"]["reconstruct"]
    assert made["models"] == ["out/0"]
    assert made["statistics"][0]["images"] == made["kept"]["best"]["images"] == 5
    extended = run("reconstruct", "scene.db", "--output", "new", "--extend", "out/0")["results"]["extend"]
    assert (extended["model"], extended["added"], extended["not_placed"]) == ("new/0", [], {})
    found = run("triangulate", "scene.db", "--reference", "truth")
    assert found["results"]["triangulate"]["statistics"]["images"] == 5


@pytest.mark.slow
def test_other_tools_files_and_several_databases(work, run):
    run("export", "db.db")
    exported = run("import", "exported/features.h5", "--images", "photographs", "--database", "new.db")
    assert exported["results"]["import"]["imported"] == 3
    (work / "more").mkdir()
    for folder in ("more", "photographs"):
        shutil.copy("photographs/0.png", f"{folder}/a.png")
    run("extract", "more", "--database", "more.db", "--max-edge", "96")
    merged = run("merge", "db.db", "more.db", "--output", "all.db", "--images", "photographs")
    assert merged["results"]["merge"] == {"images": 4, "databases": 2, "output": "all.db"}
    removed = run("remove", "1.png")["results"]["remove"]
    assert removed == {"removed": ["1.png"], "of_model": None, "left": 2, "is_dry": False}


def test_georeference(work, run):
    write_given(work / "given")
    positions = write_positions(work / "p.csv")
    found = run("georeference", "given", "--positions", positions)["results"]["georeference"]
    assert (found["output"], found["up_by"], found["left_out_m"]) == ("georeferenced", "positions", {})
    assert len(found["residuals_m"]) == len(CENTRES)


def test_evaluate_poses(tmp_path, run):
    write_given(tmp_path / "given")
    found = run("evaluate", "poses", tmp_path / "given", tmp_path / "given")["results"]["evaluate"]
    assert found["median_centre"] == pytest.approx(0, abs=1e-9)
    assert len(found["names"]) == len(CENTRES)


@pytest.mark.slow
def test_evaluate_hpatches(tmp_path, run):
    write_sequence(tmp_path / "v_wall", plane_views(0, scale=1.0, count=2, size=(96, 72)))
    found = run("evaluate", "hpatches", tmp_path, "--max-keypoints", "30", "--no-sift")["results"]["hpatches"]
    assert [each["name"] for each in found["methods"]] == ["D2", "D2, refined"]
    assert found["methods"][0]["groups"]["all"]["pairs"] == 1


@pytest.mark.slow
def test_evaluate_pairs(tmp_path, run):
    write_hard_pairs(tmp_path, ["A/one"])
    found = run("evaluate", "pairs", tmp_path, "--max-keypoints", "30")["results"]["pairs"]
    assert (found["names"], list(found["methods"])) == (["A/one"], ["D2", "SIFT"])
    found = run("evaluate", "pairs", write_list(tmp_path), "--max-keypoints", "30", "--no-sift")["results"]["pairs"]
    assert found["methods"]["D2"]["within"] is None


def test_prepare(work, run):
    (work / "photographs" / "notes.txt").touch()
    prepared = run("prepare", "photographs", "--output", "out")["results"]["prepare"]
    assert (prepared["copied"], prepared["sources"]["others"]) == (3, ["notes.txt"])
    assert prepared["sources"]["photographs"]["0.png"] == "photographs/0.png"


@pytest.mark.slow
def test_report(work, run):
    found = run("report", "--verbose", "--images", "photographs")["results"]["report"]
    assert (found["output"], found["images"], found["total"]) == ("report.html", 0, 3)
    assert found["verdict"] == "Nothing could be reconstructed"


def test_undistort(tmp_path, run):
    write_dotted_scene(tmp_path, FEW)
    (tmp_path / "photos/b.png").unlink()
    (tmp_path / "photos/other.png").touch()
    paths = (tmp_path / "model", "--images", tmp_path / "photos", "--output", tmp_path / "out")
    undistorted = run("undistort", *paths, "--layout", "3dgs")["results"]["undistort"]
    assert (undistorted["images"], undistorted["layout"], undistorted["without_pose"]) == (2, "3dgs", ["other.png"])
    assert undistorted["renamed"] == {"left_a.png": "left/a.png"}
    assert undistorted["skipped"] == {"b.png": "is missing"}


@pytest.mark.slow
def test_train(narrow_training, tmp_path, run):
    write_plane_scene(tmp_path)
    (tmp_path / "scenes.txt").write_text("0000\nnone\n")
    paths = ("--dataset-path", tmp_path, "--scene-info-path", tmp_path / "info", "--output", tmp_path / "out")
    quick = ("--image-size", "112", "--pairs-per-scene", "2", "--num-epochs", "1", "--num-workers", "0")
    trained = run("train", *paths, "--train-scenes", tmp_path / "scenes.txt", *quick)["results"]["train"]
    assert list(trained["left_out"]) == ["none"]
    assert trained["start_loss"] is None


def test_demo(run, tmp_path, monkeypatch):
    made = ReconstructionResult(models=(), statistics=(), starts=(), kept=None, images=6, pairs=())
    found = {"rotation_deg": np.array([0.1, 0.2]), "centre": np.array([0.01, np.nan]), "centre_in_truth": np.eye(3)[:2]}
    errors = PoseErrors(names=("0.png", "1.png"), truth_from_model=pycolmap.Sim3d(), **found)
    shown = DemoResult(folder=tmp_path, reconstruction=made, errors=errors, extent_m=90.0, seconds=1.0)
    monkeypatch.setattr("d2sfm.demo.show.show", lambda *arguments, **options: shown)
    result = run("demo", "--views", "6")["results"]["demo"]
    assert (result["folder"], result["reconstruction"]["images"]) == (str(tmp_path), 6)
    assert result["errors"] == {"names": ["0.png", "1.png"], "rotation_deg": [0.1, 0.2], "centre": [0.01, None]}


def test_errors_are_told_in_the_object_too(work, run, capsys):
    found = run("match", "--database", "none.db")
    assert (found["exit_code"], found["results"]) == (2, {})
    assert found["error"].startswith("d2sfm match: no database none.db")
    code, out, err = printed(capsys, "extract", "--max-egde", "3", "--json")
    found = json.loads(out)
    assert err == f"error: {found['error']}\n"
    assert (code, found["exit_code"], found["command"]) == (2, 2, "extract")
    assert json.loads(printed(capsys, "fly", "--json")[1])["command"] is None
    assert json.loads(printed(capsys, "evaluate", "poses", "--plit", "3", "--json")[1])["command"] == "evaluate"


@pytest.mark.slow
def test_what_was_finished_before_an_error_is_told(work, run):
    (work / "sparse" / "0").mkdir(parents=True)
    (work / "sparse" / "0" / "notes.txt").touch()
    found = run("reconstruct")
    assert found["error"].startswith("d2sfm reconstruct: sparse/0 ")
    assert set(found["results"]) == {"refine"}


def test_an_interrupted_command_tells_so(work, run, monkeypatch):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("d2sfm.matching.match.match_database", stop)
    found = run("match")
    assert (found["exit_code"], found["error"].partition(":")[0]) == (130, "interrupted")


def test_numbers_that_are_none_are_null(work, run, monkeypatch):
    made = MatchSummary(pairs=np.int64(3), already_there=0, verified=None, matching_s=math.nan, verification_s=math.inf)
    monkeypatch.setattr("d2sfm.matching.match.match_database", lambda *arguments, **options: made)
    found = run("match")["results"]["match"]
    assert (found["pairs"], found["matching_s"], found["verification_s"]) == (3, None, None)


def test_names_of_any_language_and_bytes(work, run, capsys):
    os.rename("photographs/0.png", "photographs/M\u00fcnchen \u6771\u4eac \x7f.png")
    Path(os.fsdecode(b"photographs/caf\xe9.png")).write_bytes(Path("photographs/1.png").read_bytes())
    arguments = ("photographs", "--database", "\u00fc.db", "--max-edge", "96", "--camera-mode", "single")
    skipped = run("extract", *arguments)["results"]["extract"]["skipped"]
    assert list(skipped) == ["caf\\udce9.png"]  # no half characters, which not all readers take
    original = re.sub(r"\\u(dc[89a-f].)", lambda found: chr(int(found[1], 16)), next(iter(skipped)))
    assert os.fsencode(original) == b"caf\xe9.png"
    code, out, _ = printed(capsys, "remove", "M\u00fcnchen \u6771\u4eac \x7f.png", "--database", "\u00fc.db", "--json")
    assert (code, out.isascii(), "\x7f" in out) == (0, True, False)
    assert json.loads(out)["results"]["remove"]["removed"] == ["M\u00fcnchen \u6771\u4eac \x7f.png"]


def test_the_log_stays_on_standard_error_and_quiet_silences_it(work, capsys):
    _, out, err = printed(capsys, "match", "--json", "--verbose", "--overwrite")
    assert json.loads(out)["results"]["match"]["pairs"] == 3
    assert err
    _, out, err = printed(capsys, "match", "--json", "--quiet", "--overwrite")
    assert json.loads(out)["results"]["match"]["pairs"] == 3
    assert not err


def test_warnings_are_told(work, run):
    found = run("match", "--max-error", "3")
    assert any("max_error 8.0 (now 3.0)" in warning for warning in found["warnings"])


def test_all_stages_together(work, run):
    found = run("run", "photographs", "--output", "out", "--quality", "LOW")["results"]["run"]
    assert (found["total"], found["output"]) == (3, "out")
    assert found["extraction"]["extracted"] == 3
