"""Command lines as people write them: other tools' spellings, and the hint that a misspelt one gets."""

from pathlib import Path

import pytest

from d2sfm.cli import main, make_parser
from d2sfm.options import CameraMode, CameraOptions, ExtractionOptions, PairSelectionOptions
from d2sfm.spelling import ALSO_CALLED, COMMANDS_AFTER, COMMANDS_ELSEWHERE, own_name

MISSPELT = {  # and how the one line goes on behind "error: d2sfm"
    "extrat": ": 'extrat' is not a command: did you mean extract?",
    "recontruct --database a.db": ": 'recontruct' is not a command: did you mean reconstruct?",
    "exhaustive_matcher": ": 'exhaustive_matcher' is not a command: d2sfm match --pairs exhaustive does that",
    "gui --database_path a.db": ": 'gui' is not a command: d2sfm show model does that",
    "model_converter": ": 'model_converter' is not a command: d2sfm reconstruct --text or --ply does that",
    "stereo_fusion": ": 'stereo_fusion' is not a command: run COLMAP's own, after d2sfm undistort --layout colmap",
    "photos": ": 'photos' is not a command: expected one of ",
    "extract_features.py --model_file a": ": 'extract_features.py' is not a command: d2sfm extract does that",
    "pairs_from_retrieval": ": 'pairs_from_retrieval' is not a command: d2sfm match --pairs retrieval does that",
    "help": ": 'help' is not a command: did you mean --help?",
    "": ": expected a command: ",
    "--quiet match": ": --quiet goes behind the command: d2sfm COMMAND --quiet",
    "evaluate pose a b": " evaluate: 'pose' is not a command: did you mean poses?",
    "evaluate mapper": " evaluate: 'mapper' is not a command: expected one of poses",
    "evaluate tests": " evaluate: 'tests' is not a command: expected one of poses",
    "evaluate": " evaluate: expected a command: poses",
    "evaluate --queries c localization": " evaluate: --queries goes behind the command: d2sfm evaluate localization",
    "evaluate poses a b --queries c": " evaluate poses: --queries is an option of d2sfm evaluate localization, not of",
    "extract a --max-egde 800": " extract: --max-egde is not an option of this command: did you mean --max-edge?",
    "extract --imges a": " extract: --imges is not an option of this command: did you mean --images?",
    "extract -images a": " extract: -images is not an option of this command: did you mean --images?",
    "extract a --max_keypoint=9 --keypoints 3": " extract: --keypoints is not an option of this command: did you mean "
    "--max-key",
    "extract a --precison auto": " extract: --precison is not an option of this command: did you mean --precision?",
    "match --num-neigbours 3": " match: --num-neigbours is not an option of this command: did you mean "
    "--num-neighbours?",
    "match --data-base a.db": " match: --data-base is not an option of this command: did you mean --database?",
    "reconstruct --outptu a": " reconstruct: --outptu is not an option of this command: did you mean --output?",
    "extract a --text": " extract: --text is an option of d2sfm reconstruct and triangulate, not of this command",
    "reconstruct --max_edge 3": " reconstruct: --max_edge is an option of d2sfm extract",
    "match --verify": " match: --verify is the default; --no-verify turns it off",
    "extract --max a": " extract: --max may be --max-edge or --max-sum-edges or --max-keypoints or --max-megapixels",
    "extract a --ImageReader.single_camera 1": " extract: --ImageReader.single_camera is not an option of this "
    "command: here that is --camera-mode single",
    "match --SiftMatching.use_gpu 0": " match: --SiftMatching.use_gpu is not an option of this command: here that is "
    "--device",
    "reconstruct --xyzzy": " reconstruct: --xyzzy is not an option of this command: d2sfm reconstruct --help names "
    "them",
    "extract a --camera-mode singel": " extract: --camera-mode: 'singel' is not one of auto, single, per-folder, "
    "per-image: did you mean single?",
    "extract a --precision half": " extract: --precision: 'half' is not one of float32, bfloat16, float16, auto",
    "extract a --max-edge 80O": " extract: --max-edge: expected a whole number, found '80O'",
    "extract a --scales 1 two": " extract: --scales: expected a number, found 'two'",
    "extract a --database=": " extract: --database: expected a path, found an empty one",
    "extract my photos": " extract: 'photos' is one argument too many: a name with spaces stands in quotes",
    "run a --max-edge 800": " run: --max-edge is not an option of this command: write max_edge = ... below [extract] "
    "or [undistort] into a file and give it with --config FILE",
    "run a --multiscale": " run: --multiscale is not an option of this command: write scales = [0.5, 1.0, 2.0] below "
    "[extract] ",
    "run a --no-grey": " run: --no-grey is not an option of this command: write grey = false below [refine] into a "
    "file",
    "run a --text_ --ply": " run: --text_ is not an option of this command: write text = ... below [reconstruct] into "
    "a file",
    "run a --no-refine": " run: --no-refine is an option of d2sfm reconstruct and localize, not of this command",
    "extract a --images b": " extract: --images: not allowed with argument PHOTOS",
    "extract": " extract: expected photos: d2sfm extract PHOTOS, or --image-list FILE",
    "georeference --output a": " georeference: expected a model: d2sfm georeference MODEL",
    "import --images a": " import: expected features: d2sfm import FEATURES",
    "localize a": " localize: expected --model DIR (COLMAP model of the database, with points)",
    "merge": " merge: expected FILE (COLMAP databases, two or more) and --output FILE (database to make)",
    "extract --images a --image-list b": " extract: --image-list: not allowed with argument --images",
    "extract --images": " extract: --images: expected one argument",
}


@pytest.mark.parametrize("line", MISSPELT)
def test_what_is_misspelt_gets_one_line_with_what_was_meant(line, capsys):
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    out, err = capsys.readouterr()
    [said] = err.splitlines()
    assert (ended.value.code, out) == (2, "")
    assert said.startswith(f"error: d2sfm{MISSPELT[line]}")


def test_a_folder_in_place_of_a_command_and_photographs_in_place_of_a_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my photos").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    for words, hint in (
        (["my photos"], "d2sfm run 'my photos' makes a model of the photographs in that folder"),
        (["run", "a.jpg", "b.jpg"], "'b.jpg' is one argument too many: photographs are given by the folder that"),
        (["extract", "a.jpg", "b.jpg"], "'b.jpg' is one argument too many: photographs are given by the folder that"),
    ):
        with pytest.raises(SystemExit):
            main(words)
        assert hint in capsys.readouterr().err


def test_values_of_other_kinds_get_a_hint_too():
    with pytest.raises(ValueError, match=r"exif, auto or none, found 'exfi': did you mean exif\?"):
        ExtractionOptions(orientation="exfi")


SAME = {  # and the spelling of d2sfm
    "extract photos": "extract --images photos",
    "extract --max-edge 5 photos --quiet": "extract --images photos --max-edge 5 --quiet",
    "extract --image_path photos --database_path a.db": "extract --images photos --database a.db",
    "extract --image_list_file a.txt --model_file b.pth": "extract --image-list a.txt --weights b.pth",
    "extract a --output_type MAT --output_extension .x --max_edge 5 --max_sum_edges 6": "extract a --output-type mat "
    "--output-extension .x --max-edge 5 --max-sum-edges 6",
    "extract a --ImageReader.camera_model PINHOLE --ImageReader.camera_params 1,2,3,4": "extract a --camera-model "
    "PINHOLE --camera-params 1,2,3,4",
    "extract a --camera_mode PER_FOLDER --precision Auto": "extract a --camera-mode per-folder --precision auto",
    "extract \u2013images a": "extract --images a",
    "extract \u2014max-edge=5 a": "extract a --max-edge 5",
    "extract a --MAX-EDGE 5 --max-s 6": "extract a --max-edge 5 --max-sum-edges 6",
    "match a.db": "match --database a.db",
    "match --match_list_path a.txt": "match --pairs a.txt",
    "match --pairs spatial --SpatialMatching.max_distance 5 --num-neighbors 3": "match --pairs spatial "
    "--max-distance-m 5 --num-neighbours 3",
    "refine --rounds 2 a.db": "refine --database a.db --rounds 2",
    "reconstruct --database_path a.db --image_path b --output_path c": "reconstruct --database a.db --images b "
    "--output c",
    "triangulate a.db --input_path b": "triangulate --database a.db --reference b",
    "undistort --image_path a --input_path b --output_path c": "undistort b --images a --output c",
    "report --input_path b": "report b",
    "export a.db --format NPZ": "export --database a.db --format npz",
    "import a.h5 --image_dir b": "import --features a.h5 --images b",
    "train --dataset_path a --scene_info_path b --checkpoint_directory c --use_validation": "train --dataset-path a "
    "--scene-info-path b --output c --use-validation",
}


@pytest.mark.parametrize("line", SAME)
def test_other_spellings_are_understood(line):
    found, expected = (vars(make_parser().parse_args(each.split())) for each in (line, SAME[line]))
    assert found == expected


@pytest.mark.parametrize(
    "line", ["extract --database db.db --images dir", "match --database db.db", "reconstruct", "match --", "demo"]
)
def test_what_was_right_is_taken_as_it_is(line):
    parsed = make_parser().parse_args(line.split())
    assert parsed.command == line.split()[0]
    assert getattr(parsed, "database", Path("db.db")) == Path("db.db")


def test_words_behind_two_dashes_and_numbers_are_no_options():
    assert make_parser().parse_args(["remove", "--", "--max-egde", "-x.jpg"]).names == ["--max-egde", "-x.jpg"]
    assert make_parser().parse_args(["match", "--min-similarity", "-0.5"]).min_similarity == -0.5
    assert make_parser().parse_args(["remove", "\u2013 a.jpg"]).names == ["\u2013 a.jpg"]


def test_other_tools_names_are_hidden_and_stand_for_options_of_some_command(capsys):
    options = {name for parser in make_parser().commands.values() for name in parser.options}
    assert {name for names in ALSO_CALLED.values() for name in names} <= options
    commands = make_parser().commands
    assert {command.split()[0] for command in (COMMANDS_ELSEWHERE | COMMANDS_AFTER).values()} <= set(commands)
    assert "image-path" not in commands["extract"].format_help()


def test_the_same_spellings_are_for_the_keys_of_files():
    names = ["max-edge", "images", "camera-mode"]
    assert [own_name(each, names) for each in ("max_edge", "image_path", "Camera_Mode", "edge")] == [*names, None]


def test_choices_in_any_case_from_python_too():
    assert CameraOptions(camera_mode="PER_IMAGE").camera_mode is CameraMode.PER_IMAGE
    assert CameraOptions(camera_model="simple_pinhole").camera_model == "SIMPLE_PINHOLE"
    assert PairSelectionOptions(pairs="Sequential", overlap=3).kind == "sequential"
