"""What a run made, after photographs were added or taken away. Without photographs: files of their names are enough."""

import logging
import shutil
import sqlite3
from contextlib import closing

import pycolmap
import pytest
from support.synthetic_model import synthetic_database, synthetic_places, synthetic_rig

from d2sfm.colmap import read_model
from d2sfm.database import FeatureStore
from d2sfm.exchange.remove import remove_images
from d2sfm.mapping.reconstruct import reconstruct
from d2sfm.options import ReconstructionOptions
from d2sfm.workflow.grown import extended, in_other_models, names_of, remove_gone

OPTIONS = ReconstructionOptions(num_threads=1, min_starts=1, max_starts=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the database of six images, the photographs, and the model of the first four, as a run has them."""
    folder = tmp_path_factory.mktemp("made")
    truth = synthetic_database(folder / "db.db", 6)
    names = sorted(image.name for image in truth.images.values())
    first = shutil.copy(folder / "db.db", folder / "first.db")
    remove_images(first, names[4:])
    reconstruct(first, folder / "sparse", options=OPTIONS)
    (folder / "photos").mkdir()
    for name in names:
        (folder / "photos" / name).touch()
    return folder, names


@pytest.fixture
def output(made, tmp_path):
    return shutil.copytree(made[0], tmp_path / "made")


def extend(output):
    settings = {"images": output / "photos", "options": OPTIONS, "progress": False}
    return extended(output / "db.db", output / "sparse", **settings)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_new_photographs_are_placed_in_the_first_model_in_its_place(made, output, caplog):
    shutil.copytree(output / "sparse" / "0", output / "sparse" / "1")
    before = files(output / "sparse" / "1")
    [result] = extend(output)
    assert (result.added, result.is_adjusted, result.model) == (tuple(made[1][4:]), True, output / "sparse" / "0")
    assert names_of(read_model(result.model)) == set(made[1])
    assert files(output / "sparse" / "1") == before
    after = files(result.model)
    [again] = extend(output)
    assert again.added == ()
    assert files(result.model) == after


def test_where_there_is_no_model_to_extend_all_are_mapped(made, output, caplog):
    caplog.set_level(logging.INFO)
    with closing(sqlite3.connect(output / "db.db")) as connection, connection:
        connection.execute("UPDATE keypoints SET data = zeroblob(length(data)) WHERE image_id = 1")
    assert extend(output) == []
    assert f"keypoints differ from those of {output / 'sparse' / '0'}, so all photographs" in caplog.text
    shutil.rmtree(output / "sparse")
    assert extend(output) == []


def test_a_model_that_lacks_most_is_made_anew(made, output):
    with pycolmap.Database.open(output / "db.db") as colmap:
        [camera] = colmap.read_all_cameras()
        for number in range(6):
            image = pycolmap.Image(name=f"elsewhere{number}.jpg", camera_id=camera.camera_id)
            frame = pycolmap.Frame(rig_id=1)
            frame.add_data_id(colmap.read_image(colmap.write_image(image)).data_id)
            colmap.write_frame(frame)
    assert extend(output) == []


@pytest.fixture(scope="module")
def two_places(tmp_path_factory):
    """A folder with the database of two places, and a model of each, of which the second one lacks one image."""
    folder = tmp_path_factory.mktemp("places")
    synthetic_places(folder, (6, 4)).rename(folder / "db.db")
    with pycolmap.Database.open(folder / "db.db") as colmap:
        names = sorted(image.name for image in colmap.read_all_images())
    first = shutil.copy(folder / "db.db", folder / "first.db")
    remove_images(first, names[-1:])
    reconstruct(first, folder / "sparse", options=OPTIONS)
    (folder / "photos").mkdir()
    return folder, names


def test_a_photograph_of_the_second_place_enters_the_second_model(two_places, tmp_path):
    output, names = shutil.copytree(two_places[0], tmp_path / "made"), two_places[1]
    before = files(output / "sparse" / "0")
    first, second = extend(output)
    assert (first.added, first.not_placed) == ((), {})
    assert (second.model.name, second.added, second.not_placed) == ("1", (names[-1],), {})
    assert names_of(read_model(output / "sparse" / "1")) == set(names[6:])
    assert in_other_models(output / "sparse", first.model) == set(names[6:])
    after = files(output / "sparse" / "1")
    [first] = extend(output)  # with nothing new, no photograph is told as missing
    assert (first.added, first.not_placed) == ((), {})
    assert (files(output / "sparse" / "0"), files(output / "sparse" / "1")) == (before, after)


def test_a_photograph_that_no_model_can_have_is_told_once_with_the_model_that_is_near(two_places, tmp_path):
    output, names = shutil.copytree(two_places[0], tmp_path / "made"), two_places[1]
    with pycolmap.Database.open(output / "db.db") as colmap:
        ids = {image.name: image.image_id for image in colmap.read_all_images()}
        for other, most in zip(names[6:9], (20, 0, 0), strict=True):
            pair = ids[other], ids[names[-1]]
            geometry = colmap.read_two_view_geometry(*pair)
            geometry.inlier_matches = few = geometry.inlier_matches[:most]
            colmap.delete_matches(*pair)
            colmap.write_matches(*pair, few)
            colmap.update_two_view_geometry(*pair, geometry)
        camera = colmap.read_all_cameras()[0]
        colmap.write_image(pycolmap.Image(name="elsewhere.jpg", camera_id=camera.camera_id))
    first, second = extend(output)
    assert first.not_placed == {"elsewhere.jpg": "has no keypoints that can be used: run d2sfm extract"}
    assert second.added == ()
    [(name, reason)] = second.not_placed.items()
    assert name == names[-1]
    assert reason.startswith("has matches with 20 points of the model, expected 30")


def test_photographs_that_are_gone_leave_the_models_and_the_database(made, output):
    shutil.copytree(output / "sparse" / "0", output / "sparse" / "1")
    gone, *left = made[1]
    before = read_model(output / "sparse" / "0")
    (output / "photos" / gone).unlink()
    for _ in range(2):  # the second time, as after a kill in between
        removed = remove_gone(output / "db.db", output / "photos", output / "sparse")
        for number in "01":
            model = read_model(output / "sparse" / number)
            assert names_of(model) == set(left[:3])
            for name in left[:3]:
                pose, expected = (each.find_image_with_name(name).cam_from_world() for each in (model, before))
                assert (pose.matrix() == expected.matrix()).all()
        with FeatureStore(output / "db.db") as features:
            assert sorted(features.images()) == left
    assert removed == ()
    for name in left[:3]:
        (output / "photos" / name).unlink()
    with pytest.raises(RuntimeError, match=r"lacks 3 of 5 photographs: check the folder and its disk"):
        remove_gone(output / "db.db", output / "photos", output / "sparse")
    assert names_of(read_model(output / "sparse" / "0")) == set(left[:3])
    assert remove_gone(output / "none.db", output / "photos", output / "sparse") == ()


def test_photographs_on_a_disk_that_is_not_mounted_stay(made, output):
    before, name = files(output / "sparse" / "0"), made[1][0]
    (output / "photos" / name).unlink()
    (output / "photos" / name).symlink_to(output / "not_mounted" / name)
    assert remove_gone(output / "db.db", output / "photos", output / "sparse") == ()
    assert files(output / "sparse" / "0") == before


@pytest.mark.parametrize("place", [0, -1])  # in the order of names: of the rig's first camera, and of the other one
def test_a_photograph_of_a_rig_that_is_gone_takes_its_frame_along_which_is_placed_again(tmp_path, caplog, place):
    truth = synthetic_rig(tmp_path / "db.db")
    reconstruct(tmp_path / "db.db", tmp_path / "sparse", options=OPTIONS)
    left = sorted(image.name for image in truth.images.values())
    gone = left.pop(place)
    (tmp_path / "photos").mkdir()
    for name in left:
        (tmp_path / "photos" / name).touch()
    assert remove_gone(tmp_path / "db.db", tmp_path / "photos", tmp_path / "sparse") == (gone,)
    assert "share a rig frame with removed images: 1 image (" in caplog.text
    assert len(names_of(read_model(tmp_path / "sparse" / "0"))) == len(left) - 1
    assert remove_gone(tmp_path / "db.db", tmp_path / "photos", tmp_path / "sparse") == ()
    [result] = extend(tmp_path)
    assert len(result.added) == 1
    assert names_of(read_model(result.model)) == set(left)
