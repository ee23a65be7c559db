"""How a model was made, out of what is noted: commands that repeat it, settings without paths, times."""

import json
import shlex

from support.verified_pair import make_features, write_verified_pair

from d2sfm.cli import make_parser
from d2sfm.database import FeatureStore
from d2sfm.options import ExtractionOptions, VerificationOptions
from d2sfm.report.history import read_history


def test_commands_have_the_options_that_were_noted(tmp_path):
    database, folder = write_verified_pair(tmp_path / "my data.db"), tmp_path / "my photos"
    folder.mkdir()
    settings = {"max_edge": 800, "relu": False, "scales": [0.5, 1.0], "weights": "77510e6f", "max_sum_edges": 2800}
    with FeatureStore(database) as store:
        for name in store.images():
            store.write(name, make_features(3), json.dumps(settings))
        store.notes.note_images_folder(folder)
        store.notes.note_match_settings({"max_error": 8.0, "max_num_trials": 500, "seed": 0})
    found = read_history(database)
    assert [command.split()[1] for command in found.commands] == ["extract", "match", "reconstruct"]
    extract, match, _ = (make_parser().parse_args(shlex.split(each)[1:]) for each in found.commands)
    assert (extract.max_edge, extract.relu, extract.scales) == (800, False, [0.5, 1.0])
    assert (extract.weights, extract.max_sum_edges) == (ExtractionOptions.weights, ExtractionOptions.max_sum_edges)
    assert str(extract.images) == "my photos"
    assert str(match.database) == "my data.db"
    assert (match.max_num_trials, match.max_error) == (500, VerificationOptions.max_error)
    assert ("max_edge", "800") in found.settings["extract"]


def test_of_a_run_its_file_and_times_are_told_without_paths(tmp_path):
    database = write_verified_pair(tmp_path / "db.db")
    masks = f"[extract]\nmasks = '{tmp_path}/masks'\nmax_edge = 640\n"
    (tmp_path / "run.toml").write_text(masks)
    (tmp_path / "times.json").write_text('{"extract": 61.5, "<match>": 2}')
    found = read_history(database)
    assert found.commands == ["d2sfm run PHOTOS --config run.toml"]
    assert {("masks", "masks"), ("max_edge", "640")} <= set(found.settings["extract"])
    assert found.seconds == {"extract": 61.5, "<match>": 2.0}
    (tmp_path / "times.json").write_text("[1]")
    assert read_history(database).seconds == {}


def test_of_files_only_the_names_are_told(tmp_path):
    database = write_verified_pair(tmp_path / "db.db")
    lines = ["masks = '../clients/secret/masks'", "weights = 'secret/mine.pth'", r"cache = 'C:\secret\maps'"]
    others = ["only = ['a/*']", "camera-mask = 'secret/one.png'", "[match]", "model = '~/secret/model/'"]
    (tmp_path / "run.toml").write_text("\n".join(["[extract]", *lines, *others]))
    found = read_history(database).settings
    assert {("masks", "masks"), ("weights", "mine.pth"), ("cache", "maps"), ("only", "a/*")} <= set(found["extract"])
    assert "secret" not in str(found)
    assert ("model", "model") in found["match"]


def test_the_code_of_a_zone_is_left_out_with_the_locations(tmp_path):
    database = write_verified_pair(tmp_path / "db.db")
    (tmp_path / "run.toml").write_text("[georeference]\nenabled = true\nutm = false\nEPSG = 32616\n")
    assert ("EPSG", "32616") in read_history(database).settings["georeference"]
    assert read_history(database, locations=False).settings["georeference"] == [("enabled", "true")]
