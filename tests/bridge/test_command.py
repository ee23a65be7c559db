"""d2sfm bridge on the command line."""

import json
import shutil

import pytest
from support.bridge_database import bridge, dump, write_foreign, write_random_layer
from support.feature_database import descriptors_of_place, write_feature_database
from support.narrow_network import use_narrow_network
from support.small_map import write_true_model

from d2sfm.cli import main
from d2sfm.database import FeatureStore, Note, layer_of


def run(database, *options):
    return main(["bridge", "--database", str(database), *map(str, options)])


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    return write_foreign(tmp_path_factory.mktemp("foreign") / "db.db")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "no folder of photographs: give --images"),
        (["--images", "{folder}"], "lacks 4 of 4 photographs"),
        (["--restore", "--images", "{folder}"], "--restore needs neither photographs nor other options"),
        (["--all", "--pairs", "pairs.txt"], "expected one of --model, --pairs and --all, found --pairs and --all"),
        (["--images", "{folder}", "--pairs", "{folder}/none.txt"], "no pairs file"),
        (["--num-neighbours", "0"], "num_neighbours must be 1 or more, found 0"),
        (["--convention", "reference"], "pixels"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(foreign, tmp_path, capsys, options, said):
    there = dump(foreign)
    assert run(foreign, *[each.format(folder=tmp_path) for each in options]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert said in line
    assert dump(foreign) == there


def test_a_database_of_d2sfm_needs_no_bridge(tmp_path, capsys):
    database = write_feature_database(tmp_path / "db.db", {"0.png": descriptors_of_place(0, 0)})
    assert run(database, "--images", tmp_path) == 2
    assert "continue with d2sfm match and d2sfm reconstruct" in capsys.readouterr().err


def test_restored_from_a_copy(foreign, tmp_path, capsys):
    database = shutil.copy(foreign, tmp_path / "db.db")
    bridge(database, write_random_layer(database, tmp_path / "layer.db"))
    (tmp_path / "db.db.bridge").write_bytes(database.read_bytes())  # of a stopped run
    there = dump(database)
    assert run(database, "--restore", "--output", tmp_path / "copy.db") == 0
    assert "bridge: D2 features taken out of 4 images" in capsys.readouterr().out
    assert dump(database) == there
    assert run(database, "--restore", "--json", "--quiet") == 0
    assert json.loads(capsys.readouterr().out)["results"]["restore"] == {"images": 4}
    assert dump(database) == dump(foreign)
    assert not (tmp_path / "db.db.bridge").exists()
    copied = dump(tmp_path / "copy.db")
    assert {name: copied[name] for name in dump(foreign)} == dump(foreign)


def test_work_of_a_stopped_run_stays_where_another_finds_nothing_to_do(foreign, tmp_path, capsys):
    database, photographs = shutil.copy(foreign, tmp_path / "db.db"), tmp_path / "photos"
    photographs.mkdir()
    for number in range(4):
        (photographs / f"{number}.png").touch()
    write_true_model(tmp_path / "model", range(4))
    options = ["--images", photographs, "--model", tmp_path / "model"]  # so none is apart
    layer = write_random_layer(database, tmp_path / "db.db.bridge")
    there = dump(layer)
    assert run(database, *options) == 0
    assert f"{layer} holds the work of a stopped run with other options, and stays" in capsys.readouterr().err
    assert dump(layer) == there
    with FeatureStore(layer) as store:
        store.notes.write(Note.BRIDGE, "done")
    bridge(database, layer)  # by a run that was killed before it removed the file
    assert run(database, *options) == 0
    assert not list(tmp_path.glob("db.db.bridge*"))


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_network")
def test_so_it_is_in_a_bridged_database_and_the_stopped_run_continues(scene, bridged, tmp_path, monkeypatch):
    database, options = shutil.copy(bridged[0], tmp_path / "db.db"), ["--images", scene.images, "--quiet"]
    with monkeypatch.context() as patch:
        patch.setattr("d2sfm.bridge.bridge.match_pairs", stop)
        with pytest.raises(Stopped):
            run(database, *options, "--all")
    assert run(database, *options) == 0
    assert (tmp_path / "db.db.bridge").exists()
    assert run(database, *options, "--all") == 0
    assert not list(tmp_path.glob("db.db.bridge*"))


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_network")
def test_all_options_decide_something(scene, tmp_path, capsys):
    (tmp_path / "pairs.txt").write_text("0.png 3.png\n")
    options = ["--images", scene.images, "--output", tmp_path / "copy.db", "--pairs", tmp_path / "pairs.txt"]
    options += ["--weights", "d2_ots", "--scales", "1", "--max-edge", "300", "--max-sum-edges", "500", "--border", "3"]
    options += ["--max-keypoints", "60", "--preprocessing", "torch", "--no-relu", "--precision", "float32"]
    options += ["--device", "cpu", "--tile-size", "64", "--memory-limit", "1", "--orientation", "none"]
    options += ["--stretch", "image", "--cache", tmp_path / "maps", "--cache-limit", "1", "--verbose"]
    there = dump(scene.database)
    assert run(scene.database, *options) == 0
    assert "2 of 5 images apart" in capsys.readouterr().out
    assert dump(scene.database) == there
    assert list((tmp_path / "maps").iterdir())
    with layer_of(tmp_path / "copy.db") as layer, FeatureStore(layer) as store:
        [fingerprint] = set(store.extracted().values())
        features = store.read("3.png")
    assert len(features) == 60
    assert features.input_size[0] <= 285  # of both edges 500
    settings = {"preprocessing": "torch", "relu": False, "precision": "float32", "max_edge": 300, "border": 3}
    assert settings.items() <= json.loads(fingerprint).items()
    # Others are refused.
    assert run(tmp_path / "copy.db", "--images", scene.images, "--all", "--multiscale", "--quiet") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "preprocessing torch" in line
    assert "scales [1.0]" in line


@pytest.fixture
def begun(scene, bridged, tmp_path):
    """A bridged database, and one whose run was stopped when the layer was made, by their names."""
    database, _ = bridged
    shutil.copy(scene.database, tmp_path / "stopped.db")
    with layer_of(database) as layer:
        shutil.copy(layer, tmp_path / "stopped.db.bridge")
    return {"bridged": shutil.copy(database, tmp_path / "bridged.db"), "stopped": tmp_path / "stopped.db"}


@pytest.mark.usefixtures("narrow_network")
@pytest.mark.parametrize("state", ["bridged", "stopped"])
def test_other_settings_are_refused_and_no_file_is_left(scene, begun, tmp_path, capsys, state):
    database = begun[state]
    there, files = dump(database), sorted(tmp_path.iterdir())
    capsys.readouterr()
    assert run(database, "--images", scene.images, "--all", "--max-edge", "100", "--quiet") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line == (
        f"error: d2sfm bridge: {database} holds features with max_edge 1600, but this run asks for max_edge 100: use "
        f"the same settings, or another database, or take these out by d2sfm bridge {database} --restore"
    )
    assert dump(database) == there
    assert set(tmp_path.iterdir()) - set(files) <= {tmp_path / f"{database.name}.lock"}


def test_features_of_small_photographs_of_other_settings_are_told_of_the_database_too(
    scene, narrow_weights, tmp_path, capsys, monkeypatch
):
    use_narrow_network(monkeypatch, narrow_weights)
    database = shutil.copy(scene.database, tmp_path / "db.db")
    monkeypatch.setattr("d2sfm.bridge.pairs.global_descriptors", stop)
    options = ["--images", scene.images, "--num-neighbours", "1", "--quiet"]
    with pytest.raises(Stopped):
        run(database, *options)
    assert (tmp_path / "db.db.bridge-small").exists()
    capsys.readouterr()
    assert run(database, *options, "--border", "3") == 2
    assert f"{database} holds features with border None, but this run asks" in capsys.readouterr().err
    assert run(database, "--restore") == 0
    assert not list(tmp_path.glob("db.db.bridge*"))


@pytest.mark.parametrize(
    ("pairs", "said"), [("0.png none.png\n", "pairs.txt, line 1: "), ("# none\n", "names no pair of images")]
)
@pytest.mark.usefixtures("narrow_network")
def test_a_bad_pairs_file_leaves_no_file(scene, tmp_path, capsys, pairs, said):
    database = shutil.copy(scene.database, tmp_path / "db.db")
    (tmp_path / "pairs.txt").write_text(pairs)
    assert run(database, "--images", scene.images, "--pairs", tmp_path / "pairs.txt") == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.glob("db.db.bridge*"))


class Stopped(BaseException):
    """Of a run, from outside."""


def stop(*_, **__):
    raise Stopped


@pytest.mark.slow
def test_photographs_of_a_model_are_not_apart(scene, tmp_path, capsys):
    database = shutil.copy(scene.database, tmp_path / "db.db")
    write_true_model(tmp_path / "model", range(5))
    options = ["--model", tmp_path / "model", "--num-neighbours", "2", "--json"]
    options += ["--weights", "d2_tf", "--mirror", "https://example.org"]
    assert run(database, "--images", scene.images, *options) == 0
    found = json.loads(capsys.readouterr().out)["results"]["bridge"]
    assert (found["images"], found["apart"], found["pairs"]) == (5, 0, 0)
    assert dump(database) == dump(scene.database)
