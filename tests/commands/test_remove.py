"""The command d2sfm remove and its options."""

import pycolmap
import pytest
from support.old_database import write_old_copy
from support.transfer_files import NAMES, write_database, write_photographs

from d2sfm.cli import main
from d2sfm.colmap import read_model
from d2sfm.database import FeatureStore


@pytest.fixture
def database(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_database(tmp_path / "db.db", write_photographs(tmp_path / "photographs"))


def names(database):
    with FeatureStore(database) as store:
        return list(store.images())


def test_by_name_and_by_what_is_missing(database, tmp_path, capsys):
    (tmp_path / "photographs").rename(tmp_path / "moved")
    (tmp_path / "moved" / "a.png").unlink()
    found = ["--database", "db.db", "--missing", "--images", "moved"]
    assert main(["remove", *found, "--dry-run"]) == 0
    assert capsys.readouterr().out == "a.png\nremove: would take out 1 image, 2 left\n"
    assert names(database) == NAMES
    assert main(["remove", *found]) == 0
    assert main(["remove", "b c.png", "--quiet"]) == 0
    assert capsys.readouterr().out == "remove: took out 1 image, 2 left\n"
    assert names(database) == ["sub/a.png"]


def test_names_of_a_file(database, tmp_path, capsys):
    (tmp_path / "names.txt").write_text("a.png\n\nsub/a.png\n")
    listed = ["remove", "--image-list", "names.txt"]
    assert main([*listed, "--missing"]) == 2
    assert main(["remove", "--image-list", "none.txt"]) == 2
    assert names(database) == NAMES
    assert main([*listed, "a.png", "--dry-run"]) == 0
    assert capsys.readouterr().out == "a.png\nsub/a.png\nremove: would take out 2 images, 1 left\n"
    assert main(["remove", "--image_names_path", "names.txt"]) == 0
    assert names(database) == ["b c.png"]


def write_model(folder):
    """A model of all photographs."""
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig, options.num_points3D = 1, 1, 3, 9
    model = pycolmap.synthesize_dataset(options)
    folder.mkdir()
    for image, name in zip(model.images.values(), NAMES, strict=True):
        image.name = name
    model.write_binary(folder)


def test_out_of_a_model_too(database, tmp_path, capsys):
    write_model(tmp_path / "model")
    assert main(["remove", "a.png", "--model", "model"]) == 0
    assert capsys.readouterr().out == "remove: took out 1 image, 1 of the model, 2 left\n"
    assert sorted(image.name for image in read_model(tmp_path / "model").images.values()) == NAMES[1:]
    assert names(database) == NAMES[1:]
    assert main(["remove", "b c.png", "--model", "nowhere"]) == 2
    assert names(database) == NAMES[1:]


def test_no_names_and_unknown_ones(database, capsys):
    assert main(["remove"]) == 2
    assert main(["remove", "x.png", "--verbose"]) == 2
    error = capsys.readouterr().err
    assert "expected names of images or --image-list, or --missing alone" in error
    assert "db.db has no image of that name: 1 name (x.png)" in error
    assert names(database) == NAMES


def test_out_of_an_old_database_and_its_model(database, tmp_path, capsys):
    write_model(tmp_path / "model")
    path = write_old_copy(database, tmp_path / "old.db")
    before = path.read_bytes()
    asked = ["remove", "a.png", "--database", "old.db", "--model", "model"]
    assert main([*asked, "--dry-run"]) == 0
    assert path.read_bytes() == before
    assert main(asked) == 0
    assert capsys.readouterr().out.endswith("remove: took out 1 image, 1 of the model, 2 left\n")
    assert sorted(image.name for image in read_model(tmp_path / "model").images.values()) == NAMES[1:]
    assert names(path) == NAMES[1:]
