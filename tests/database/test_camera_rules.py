"""Options of cameras by folders and names: the TOML file, and the prefixes of rigs."""

import json

import pytest
from support.photograph_import import cameras, save

from d2sfm.database import by_rule, camera_rules, cameras_given, create_database, import_photographs
from d2sfm.database.connection import open_pycolmap
from d2sfm.options import CameraMode, CameraOptions

TWO = """
["wide/*"]
model = "OPENCV"
params = [90, 91.5, 48, 40, 0.01, 0, 0, 0]
mode = "single"

["tele"]
mode = "per-image"
focal_length_factor = 4

["*.png"]
existing_camera = 3
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "cameras.toml").write_text(TWO)
    return tmp_path / "cameras.toml"


def test_the_first_table_that_fits_counts_and_others_get_the_options_beside_the_file(file):
    options = CameraOptions(cameras=file, camera_model="PINHOLE")
    names = ["a.jpg", "a.png", "tele/a.png", "telephone.jpg", "wide/b/c.png"]
    (wide, of_wide), (tele, of_tele), (png, of_png), (rest, others) = by_rule(options, names)
    params = "90,91.5,48,40,0.01,0,0,0"
    assert wide.options == CameraOptions(camera_model="OPENCV", camera_params=params, camera_mode=CameraMode.SINGLE)
    assert tele.options == CameraOptions(camera_mode=CameraMode.PER_IMAGE, default_focal_length_factor=4)
    assert png.options == CameraOptions(existing_camera=3)
    assert rest.options == CameraOptions(camera_model="PINHOLE")
    assert (of_wide, of_tele, of_png, others) == (
        ["wide/b/c.png"],
        ["tele/a.png"],
        ["a.png"],
        ["a.jpg", "telephone.jpg"],
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('["a/*" b]', "is not TOML: .*line 1"),
        ("", r'is empty: expected tables named by patterns, such as \["left/\*"\]'),
        ('model = "PINHOLE"', "the key model is in no table, expected a pattern above it"),
        ('["a"]\nmodle = "PINHOLE"', r'\["a"\], modle: unknown key: did you mean model\?'),
        ('["a"]\ncamera_parms = [1]', r'\["a"\], camera_parms: unknown key: did you mean params\?'),
        ('["a"]\nzoom = 3', r'\["a"\], zoom: unknown key, expected one of model, params, mode, '),
        ("[a.b]\nmode = 'single'", r'\["a"\], b: unknown key \(patterns are quoted'),
        ('["a"]\nmodel = "PIN"', r'\["a"\], model: no camera model PIN: expected one of SIMPLE_PINHOLE, '),
        ('["a"]\nmodel = 5', r'\["a"\], model: expected a string, found 5'),
        ('["a"]\nparams = [1, 2]', r'\["a"\], params: SIMPLE_RADIAL has 4 parameters .*found 2'),
        ('["a"]\nparams = "1, 2, 3, 4"', r'\["a"\], params: expected a list of numbers, found \'1, 2, 3, 4\''),
        ('["a"]\nparams = []', r'\["a"\], params: expected a list of numbers, found \[\]'),
        ('["a"]\nparams = [1, 2, true, 4]', r'\["a"\], params: camera parameters must be numbers'),
        ('["a"]\nparams = [inf, 2, 3, 4]', r'\["a"\], params: camera parameters must be finite'),
        ('["a"]\nmode = "sinlge"', r'\["a"\], mode: camera_mode must be auto, .*sinlge'),
        ('["a"]\nfocal_length_factor = 0', r'\["a"\], focal_length_factor: .*must be above 0'),
        ('["a"]\nfocal_length_factor = true', r'\["a"\], focal_length_factor: expected a number, found True'),
        ('["a"]\nexisting_camera = 1\nmode = "single"', r'\["a"\], existing_camera: .*leave out camera_mode'),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path, text, message):
    (tmp_path / "cameras.toml").write_text(text)
    with pytest.raises(ValueError, match=r"cameras\.toml.*" + message) as caught:
        camera_rules(CameraOptions(cameras=tmp_path / "cameras.toml"))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file of cameras .*none\.toml"):
        camera_rules(CameraOptions(cameras=tmp_path / "none.toml"))


def test_photographs_share_cameras_within_their_table_in_later_runs_too(tmp_path):
    create_database(tmp_path / "db.db")
    for folder in ("wide", "tele"):
        (tmp_path / "images" / folder).mkdir(parents=True)
    names = ["a.jpg", "b.jpg", "tele/a.jpg", "tele/b.jpg", "wide/a.jpg", "wide/b.jpg"]
    save(tmp_path, *names)
    (tmp_path / "cameras.toml").write_text(
        '["wide/*"]\nmodel = "PINHOLE"\nparams = [90.1, 91, 32, 24]\nmode = "single"\n["tele"]\nmode = "per-image"'
    )
    options = CameraOptions(cameras=tmp_path / "cameras.toml", camera_mode=CameraMode.SINGLE)
    for part in (names[::2], names):
        assert import_photographs(tmp_path / "db.db", tmp_path / "images", part, options) == []
    found = cameras(tmp_path)
    assert found["a.jpg"] == found["b.jpg"]
    assert found["wide/a.jpg"] == found["wide/b.jpg"]
    assert len(set(found.values())) == 4
    assert cameras_given(tmp_path / "db.db") == {found["wide/a.jpg"]}
    with open_pycolmap(tmp_path / "db.db") as database:
        wide = database.read_camera(found["wide/a.jpg"])
    assert (wide.model_name, wide.params.tolist()) == ("PINHOLE", [90.1, 91, 32, 24])


def test_photographs_of_a_rigs_prefix_share_a_camera_as_the_configuration_tells_it(tmp_path, file):
    intrinsics = {"camera_model_name": "PINHOLE", "camera_params": [90, 91, 32, 24]}
    rig = [{"image_prefix": "wide/", "ref_sensor": True}, {"image_prefix": "r_", **intrinsics}, {"image_prefix": "l_"}]
    (tmp_path / "rig.json").write_text(json.dumps([{"cameras": rig}]))
    options = CameraOptions(cameras=file, rig_config=tmp_path / "rig.json", default_focal_length_factor=2)
    rules = [(rule.options, names) for rule, names in by_rule(options, ["wide/a", "r_a", "l_a", "a"])]
    assert [names for _, names in rules] == [["wide/a"], [], [], [], ["r_a"], ["l_a"], ["a"]]
    single = {"camera_mode": CameraMode.SINGLE}
    assert rules[4][0] == CameraOptions(camera_model="PINHOLE", camera_params="90.0,91.0,32.0,24.0", **single)
    assert rules[5][0] == CameraOptions(default_focal_length_factor=2, **single)
