"""Rigs and frames of a database, as its configuration tells them."""

import json
import logging

import numpy as np
import pytest
from support.photograph_import import save, take

from d2sfm.database import MatchStore, apply_rig_config, create_database, read_rigs
from d2sfm.database.connection import open_pycolmap
from d2sfm.database.pair_ids import pair_ids
from d2sfm.options import CameraOptions

POSE = {"cam_from_rig_rotation": [0.8, 0, 0.6, 0], "cam_from_rig_translation": [-0.15, 0, 0.1]}
STEREO = ({"image_prefix": "left/", "ref_sensor": True}, {"image_prefix": "right/", **POSE})


def rig_file(folder, *rigs):
    (folder / "rig.json").write_text(json.dumps([{"cameras": rig} for rig in rigs]))
    return folder / "rig.json"


@pytest.fixture
def folder(tmp_path):
    """A database with two photographs of a rig's left and right camera each, and one of neither."""
    create_database(tmp_path / "db.db")
    for side in ("left", "right"):
        (tmp_path / "images" / side).mkdir(parents=True)
    import_more(tmp_path, "a.png", "left/1.png", "left/2.png", "right/1.png", "right/2.png")
    return tmp_path


def import_more(folder, *names):
    save(folder, *names)
    assert take(folder, names, CameraOptions(rig_config=rig_file(folder, STEREO))) == []


def frames(path):
    """Names of the images of each frame."""
    with open_pycolmap(path) as database:
        names = {image.image_id: image.name for image in database.read_all_images()}
        return sorted(sorted(names[data.id] for data in frame.data_ids) for frame in database.read_all_frames())


def test_images_of_the_same_name_after_the_prefix_are_a_frame(folder, caplog):
    caplog.set_level(logging.INFO)
    apply_rig_config(folder / "db.db", rig_file(folder, STEREO))
    assert frames(folder / "db.db") == [["a.png"], ["left/1.png", "right/1.png"], ["left/2.png", "right/2.png"]]
    assert "rig 1: 2 frames (2 of them complete) of 2 cameras" in caplog.text
    [stereo] = [rig for rig in read_rigs(folder / "db.db").values() if rig.non_ref_sensors]
    [pose] = stereo.non_ref_sensors.values()
    assert pose.translation.tolist() == POSE["cam_from_rig_translation"]
    np.testing.assert_allclose(pose.rotation.quat, [0, 0.6, 0, 0.8], atol=1e-15)
    with MatchStore(folder / "db.db") as store:
        ids = store.image_ids()
        pairs = [pair_ids(ids[f"left/{number}.png"], ids[f"right/{number}.png"]) for number in (1, 2)]
        assert sorted(store.frame_pairs()) == sorted(pairs)


def test_a_key_that_colmap_does_not_know_is_named(folder, caplog):
    apply_rig_config(folder / "db.db", rig_file(folder, ({**STEREO[0], "name": "Left"}, STEREO[1])))
    assert "rig.json: ignored, as COLMAP does not know them: name" in caplog.text


def test_a_second_time_and_with_more_photographs_it_is_the_same(folder):
    apply_rig_config(folder / "db.db", rig_file(folder, STEREO))
    rigs, before = read_rigs(folder / "db.db"), frames(folder / "db.db")
    apply_rig_config(folder / "db.db", rig_file(folder, STEREO))
    assert (read_rigs(folder / "db.db").keys(), frames(folder / "db.db")) == (rigs.keys(), before)
    import_more(folder, "left/3.png", "right/3.png", "right/4.png")
    apply_rig_config(folder / "db.db", rig_file(folder, STEREO))
    assert frames(folder / "db.db") == sorted([*before, ["left/3.png", "right/3.png"], ["right/4.png"]])


def test_rigs_are_those_of_one_file(folder, caplog):
    apply_rig_config(folder / "db.db", rig_file(folder, STEREO))
    apply_rig_config(folder / "db.db", rig_file(folder, STEREO[:1]))
    assert "had 1 rig of several cameras, now replaced by the 0 of" in caplog.text
    assert frames(folder / "db.db") == [
        [name] for name in ("a.png", "left/1.png", "left/2.png", "right/1.png", "right/2.png")
    ]


@pytest.mark.parametrize(
    ("cameras", "message"),
    [
        ((STEREO[0], {"image_prefix": "rihgt/"}), "no image name begins with 'rihgt/'"),
        (
            (STEREO[0], {"image_prefix": ""}),
            "the 5 images of '' have 3 cameras, expected one: extract into a new database with --rig-config",
        ),
        ((STEREO[0], {"image_prefix": "left/2"}), r"left/2\.png begins with 'left/' and 'left/2', expected one"),
        (
            ({"image_prefix": "left/1", "ref_sensor": True}, {"image_prefix": "left/2"}),
            r"'left/1' and 'left/2' share camera \d, expected one each",
        ),
    ],
)
def test_what_colmap_would_stop_at_changes_nothing(folder, cameras, message):
    apply_rig_config(folder / "db.db", rig_file(folder, STEREO))
    before = frames(folder / "db.db")
    with pytest.raises(RuntimeError, match=r"rig\.json: " + message):
        apply_rig_config(folder / "db.db", rig_file(folder, cameras))
    assert frames(folder / "db.db") == before


def test_cameras_that_never_took_a_frame_together_are_named(folder, caplog):
    with open_pycolmap(folder / "db.db") as database:
        for image in database.read_all_images():
            if image.name.startswith("right/"):
                image.name = image.name.replace(".png", ".jpg")
                database.update_image(image)
    apply_rig_config(folder / "db.db", rig_file(folder, STEREO))
    assert (
        "rig 1 has no frame with images of two cameras: expected equal names after the prefixes, found 4 names"
        in caplog.text
    )


def test_features_and_cameras_stay(folder):
    with open_pycolmap(folder / "db.db") as database:
        database.write_keypoints(2, np.ones((5, 4), np.float32))
        cameras = [(camera.camera_id, camera.params.tolist()) for camera in database.read_all_cameras()]
    apply_rig_config(folder / "db.db", rig_file(folder, STEREO))
    with open_pycolmap(folder / "db.db") as database:
        assert database.read_keypoints(2).tolist() == np.ones((5, 4)).tolist()
        assert [(camera.camera_id, camera.params.tolist()) for camera in database.read_all_cameras()] == cameras
        assert database.num_images() == 5
