"""What other commands do with a bridged database: they know both kinds of keypoints, or refuse and change nothing."""

import shutil

import h5py
import numpy as np
import pycolmap
import pytest
from support.bridge_database import ADDED, NAMES, OWN, bridge, dump, unbridge, write_foreign, write_random_layer
from support.feature_records import write_as_hloc
from support.photograph_folder import write_photograph_folder

from d2sfm.cli import main
from d2sfm.database import BridgeStore
from d2sfm.database.bridge_tables import BRIDGE_IMAGE_TABLES
from d2sfm.database.bridge_writer import BridgedPair
from d2sfm.exchange.export import export_database
from d2sfm.exchange.remove import remove_images
from d2sfm.localization.loaded_map import LoadedMap

PAIR = BridgedPair((1, 2), np.array([[OWN, OWN + 1]]), np.array([[OWN, OWN + 1]]), None)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    database = write_foreign(folder / "db.db")
    shutil.copy(database, folder / "before.db")
    bridge(database, write_random_layer(database, folder / "layer.db"), [PAIR])
    return folder


@pytest.fixture
def databases(made, tmp_path):
    """One of another extractor, and the same bridged."""
    return tuple(shutil.copy(made / name, tmp_path / name) for name in ("before.db", "db.db"))


@pytest.fixture
def photographs(tmp_path):
    """Photographs, and beside them features of another extractor in a file."""
    write_photograph_folder(tmp_path / "photographs")
    sizes = ((96, 80), (96, 80))
    write_as_hloc(tmp_path / "f.h5", "a.jpg", np.ones((3, 2)), sizes, descriptors=np.ones((256, 3)))
    with h5py.File(tmp_path / "m.h5", "w"):
        pass
    return tmp_path / "photographs"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        pytest.param(
            ["extract", "--images", "{folder}"], "connect photographs that these leave apart", marks=pytest.mark.slow
        ),
        (
            ["import", "--images", "{folder}", "--features", "{folder}/../f.h5", "--matches", "{folder}/../m.h5"],
            "d2sfm import needs a database with one kind of features: d2sfm bridge --restore",
        ),
        (["refine"], "d2sfm refine needs a database with one kind of features: d2sfm bridge --restore"),
        (
            ["match", "--overwrite"],
            "d2sfm match --overwrite needs a database with one kind of features: d2sfm bridge --restore",
        ),
    ],
)
def test_refused_and_left_as_it_is(databases, photographs, capsys, command, said):
    there = dump(databases[1])
    command = [each.format(folder=photographs) for each in command]
    assert main([*command, "--database", str(databases[1])]) == 2
    assert said in capsys.readouterr().err.strip().splitlines()[-1]
    assert dump(databases[1]) == there


def test_what_d2_features_would_do_names_the_bridge(databases, tmp_path):
    database = databases[0]
    held, bridges = "keypoints of SIFT for 3 images (0.png the first)", f"d2sfm bridge {database} --images FOLDER --all"
    model = pycolmap.Reconstruction()
    model.add_point3D(np.zeros(3), pycolmap.Track(), np.zeros(3, np.uint8))
    with pytest.raises(RuntimeError) as refused:
        LoadedMap(database, model)
    assert str(refused.value) == (
        f"{database} holds {held}, but d2sfm localize needs D2-Net features: {bridges} adds some, then d2sfm "
        "reconstruct --extend maps them"
    )
    with pytest.raises(RuntimeError) as refused:
        export_database(database, tmp_path / "exported")
    assert str(refused.value) == (
        f"{database} holds no d2sfm features, only {held}: {bridges} adds some, which d2sfm export then writes"
    )
    assert not (tmp_path / "exported").exists()


def test_exported_are_features_and_matches_of_d2(databases, tmp_path):
    assert main(["export", "--database", str(databases[1]), "--output", str(tmp_path / "exported")]) == 0
    with h5py.File(tmp_path / "exported" / "features.h5") as file:
        assert {name: len(file[name]["keypoints"]) for name in NAMES} == dict.fromkeys(NAMES, ADDED)
    with h5py.File(tmp_path / "exported" / "matches.h5") as file:
        assert file["0.png/1.png/matches0"][:3].tolist() == [1, 0, -1]


def test_removed_images_leave_nothing(databases):
    for database in databases:
        remove_images(database, ["1.png"])
    before, after = databases
    with BridgeStore(after) as store:
        assert "1.png" not in store.images()
        assert not len(store.pairs())
    for name in BRIDGE_IMAGE_TABLES:
        assert 2 not in [row[0] for row in dump(after)[name][1]]
    unbridge(after)
    assert dump(after) == dump(before)
