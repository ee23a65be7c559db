"""COLMAP's rig configuration, as it is and as it should not be."""

import json
import re
from pathlib import Path

import pycolmap
import pytest

from d2sfm.database import camera_rules
from d2sfm.database.rig_config import read_rig_config
from d2sfm.options import CameraOptions

LEFT = {"image_prefix": "left/", "ref_sensor": True}
POSE = {"cam_from_rig_rotation": [0.8, 0, 0.6, 0], "cam_from_rig_translation": [-0.15, 0, 0]}
RIGHT = {"image_prefix": "right/", **POSE, "camera_model_name": "PINHOLE", "camera_params": [230, 231, 180, 135]}


def written(path, *cameras):
    path.write_text(json.dumps([{"cameras": cameras}]))
    return path


def test_it_is_read_as_colmap_reads_it(tmp_path):
    file = written(tmp_path / "rig.json", LEFT, RIGHT, {"image_prefix": "up/"})
    [ours] = read_rig_config(file)
    [theirs] = pycolmap.read_rig_config(file)
    for camera, expected in zip(ours, theirs.cameras, strict=True):
        assert (camera.prefix, camera.is_reference) == (expected.image_prefix, expected.ref_sensor)
        for name in ("cam_from_rig", "camera"):
            found, wanted = getattr(camera, name), getattr(expected, name)
            assert (found is None) == (wanted is None)
    assert ours[1].cam_from_rig.matrix().tolist() == theirs.cameras[1].cam_from_rig.matrix().tolist()
    assert ours[1].camera.model == theirs.cameras[1].camera.model
    assert ours[1].camera.params.tolist() == theirs.cameras[1].camera.params.tolist()


def test_a_byte_order_mark_is_passed_over(tmp_path):
    file = written(tmp_path / "rig.json", LEFT)
    file.write_text(file.read_text(), encoding="utf-8-sig")
    assert [camera.prefix for rig in read_rig_config(file) for camera in rig] == ["left/"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{", "is not JSON: .*line 1"),
        ("{}", r'is not a rig configuration: expected a list of rigs, \[{"cameras": \[...\]}\]'),
        ('[{"cameras": []}]', r'rig 1: expected {"cameras": \[...\]}'),
        ('[{"cameras": [{"ref_sensor": true}]}]', 'rig 1, camera 1: expected {"image_prefix": "left/", ...}'),
    ],
)
def test_what_is_none_is_refused(tmp_path, text, message):
    (tmp_path / "rig.json").write_text(text)
    with pytest.raises(ValueError, match=r"rig\.json.*" + message):
        read_rig_config(tmp_path / "rig.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ref_sensor": True}, "camera 2: the reference camera takes no cam_from_rig: leave it out"),
        ({"ref_sensor": "yes"}, "camera 2: expected ref_sensor to be true or false, found 'yes'"),
        ({"cam_from_rig_rotation": [1, 0, 0, 0, 0]}, "camera 2: expected cam_from_rig_rotation of 4 numbers"),
        ({"cam_from_rig_rotation": [1, 0, 0.5, 0]}, "camera 2: cam_from_rig_rotation w, x, y, z has length 1.1"),
        ({"cam_from_rig_translation": None}, "camera 2: expected cam_from_rig_translation of 3 numbers, found None"),
        ({"cam_from_rig_translation": [0, 0, "a"]}, "camera 2: expected cam_from_rig_translation of 3 numbers"),
        ({"camera_params": [1]}, "camera 2: PINHOLE has 4 parameters .*found 1"),
        ({"camera_params": None}, "camera 2: expected camera_model_name and camera_params"),
    ],
)
def test_what_is_wrong_with_a_camera_is_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=r"rig\.json, rig 1, " + message):
        read_rig_config(written(tmp_path / "rig.json", LEFT, {**RIGHT, **changes}))


def test_one_camera_is_the_reference(tmp_path):
    for cameras, count in (([RIGHT], 0), ([LEFT, {**LEFT, "image_prefix": "b"}], 2)):
        with pytest.raises(
            ValueError, match=f'rig 1: expected "ref_sensor": true for exactly one camera, found it for {count}'
        ):
            read_rig_config(written(tmp_path / "rig.json", *cameras))
    with pytest.raises(FileNotFoundError, match="no rig configuration"):
        read_rig_config(tmp_path / "none.json")


def test_the_examples_of_the_docs_are_read(tmp_path):
    text = (Path(__file__).parents[2] / "docs/collections.md").read_text(encoding="utf-8")
    for name, kind in (("cameras.toml", "toml"), ("rig.json", "json")):
        [example] = re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)
        (tmp_path / name).write_text(example)
    rules = camera_rules(CameraOptions(cameras=tmp_path / "cameras.toml", rig_config=tmp_path / "rig.json"))
    assert [rule.pattern for rule in rules] == ["left/*", "drone/*.jpg", "*/old_*", None, None, None]
