"""Every option of d2sfm extract that decides features, by what it leaves in the database."""

import json

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image
from support.helpers import save_plain_weights, textured_picture

from d2sfm.cli import main
from d2sfm.database import FeatureStore, cameras_given, read_rigs
from d2sfm.features.budget import Budget
from d2sfm.options import Convention

pytestmark = pytest.mark.usefixtures("narrow_network")


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), textured_picture(1, (120, 88)))
    return folder


def extract(photographs, database, *options):
    """(exit code, features, settings of the fingerprint)."""
    code = main(["extract", "--images", str(photographs), "--database", str(database), *map(str, options)])
    with FeatureStore(database) as store:
        return code, store.read("a.png"), json.loads(store.extracted()["a.png"])


def test_settings_of_the_network_are_in_the_fingerprint(photographs, tmp_path):
    options = ["--preprocessing", "torch", "--no-relu", "--precision", "bfloat16", "--multiscale", "--max-edge", "48"]
    code, features, settings = extract(photographs, tmp_path / "db.db", *options)
    assert code == 0
    assert features.scales == (0.5, 1, 2)
    assert features.input_size == (48, 35)
    expected = {"preprocessing": "torch", "relu": False, "precision": "bfloat16", "scales": [0.5, 1, 2]}
    assert settings | expected == settings


def test_limits_of_size_and_number(photographs, tmp_path):
    options = ["--max-sum-edges", "104", "--max-keypoints", "5", "--scales", "0.5", "1"]
    _, features, _ = extract(photographs, tmp_path / "db.db", *options)
    assert features.input_size == (60, 44)
    assert len(features) == 5
    assert features.scales == (0.5, 1)


def test_the_frame_of_keypoints(photographs, tmp_path):
    exact = ("--device", "cpu", "--precision", "float32")
    _, ours, _ = extract(photographs, tmp_path / "a.db", *exact)
    _, theirs, _ = extract(photographs, tmp_path / "b.db", *exact, "--convention", "reference")
    assert theirs.convention is Convention.REFERENCE
    np.testing.assert_allclose(ours.keypoints[:, :2] - theirs.keypoints[:, :2], 2.5, atol=1e-4)


def test_the_orientation(photographs, tmp_path):
    picture, exif = Image.open(photographs / "a.png"), Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture.save(photographs / "a.png", exif=exif)
    _, turned, _ = extract(photographs, tmp_path / "a.db")
    _, stored, _ = extract(photographs, tmp_path / "b.db", "--orientation", "none")
    assert (turned.orientation, stored.orientation) == (6, 1)


def test_what_bounds_memory_reaches_the_extractor(photographs, tmp_path, monkeypatch, capsys):
    rows, of_budget = [], Budget.strip_px
    monkeypatch.setattr(Budget, "strip_px", lambda *given: rows.append(of_budget(*given)) or rows[-1])
    extract(photographs, tmp_path / "a.db")
    extract(photographs, tmp_path / "b.db", "--tile-size", "16")
    assert rows == [64, 16]
    assert main(["extract", "--images", str(photographs), "--memory-limit", "0.0001", "--database", f"{tmp_path}/c.db"])
    assert "memory limit of" in capsys.readouterr().err


def test_a_cache_without_room_stays_empty(photographs, tmp_path):
    extract(photographs, tmp_path / "a.db", "--cache", tmp_path / "none", "--cache-limit", "0")
    extract(photographs, tmp_path / "b.db", "--cache", tmp_path / "one", "--cache-limit", "1")
    assert list((tmp_path / "none").iterdir()) == []
    assert len(list((tmp_path / "one").iterdir())) == 1


def test_overwriting(photographs, tmp_path, capsys):
    database = tmp_path / "db.db"
    extract(photographs, database, "--max-edge", "100")
    capsys.readouterr()
    code, features, _ = extract(photographs, database, "--max-edge", "80")
    assert code == 2
    assert features.input_size[0] == 100
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "holds features with max_edge 100, but this run asks for max_edge 80: use the same settings, --overwrite to "
        "extract all again, or another database"
    )
    code, features, settings = extract(photographs, database, "--max-edge", "80", "--overwrite")
    assert (code, features.input_size[0], settings["max_edge"]) == (0, 80, 80)


@pytest.mark.slow
def test_of_many_photographs_without_keypoints_not_all_are_named(photographs, tmp_path, capsys):
    for index in range(24):
        cv2.imwrite(str(photographs / f"{index:02}.png"), np.full((12, 16, 3), 128, np.uint8))
    weights = save_plain_weights(tmp_path / "zero.pth", gain=0)
    extract(photographs, tmp_path / "db.db", "--weights", weights)
    lines = [
        line for line in capsys.readouterr().err.splitlines() if line.endswith(("no keypoints", "without keypoints"))
    ]
    assert lines == [f"warning: {index:02}.png has no keypoints" for index in range(20)] + [
        "warning: 5 more without keypoints"
    ]


def test_larger_photographs_are_skipped_and_the_option_is_named(photographs, tmp_path, capsys):
    cv2.imwrite(str(photographs / "large.png"), textured_picture(2, (200, 100)))
    options = ["--max-edge", "64", "--quiet", "--max-megapixels"]
    code, _, _ = extract(photographs, tmp_path / "db.db", *options, "0.015")
    reason = "is 200 x 100 px, 0.02 megapixels: --max-megapixels allows 0.015"
    assert (code, capsys.readouterr().err) == (1, f"warning: skipped large.png: {reason}\n")
    assert extract(photographs, tmp_path / "db.db", *options, "0.02")[0] == 0
    (tmp_path / "list.txt").write_text(f"{photographs / 'large.png'}\n")
    assert main(["extract", "--image-list", str(tmp_path / "list.txt"), *options, "0.015"]) == 1
    assert reason in capsys.readouterr().err


STEREO = [
    {"image_prefix": "left/", "ref_sensor": True},
    {"image_prefix": "right/", "cam_from_rig_rotation": [1, 0, 0, 0], "cam_from_rig_translation": [-0.15, 0, 0]},
]


def test_cameras_rigs_and_a_part_of_the_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for index, name in enumerate(["left/1.png", "right/1.png", "phone/1.png"]):
        (tmp_path / name).parent.mkdir()
        cv2.imwrite(name, textured_picture(index, (64, 48)))
    (tmp_path / "cameras.toml").write_text('["right"]\nmodel = "PINHOLE"\nparams = [70, 71, 32, 24]\nmode = "single"')
    (tmp_path / "rig.json").write_text(json.dumps([{"cameras": STEREO}]))
    options = ["--cameras", "cameras.toml", "--rig-config", "rig.json", "--max-edge", "32"]
    assert main(["extract", "--images", ".", "--only", "left", "right/*", *options]) == 0
    assert "extract: 2 photographs" in capsys.readouterr().out
    with FeatureStore("db.db") as store:
        assert list(store.extracted()) == ["left/1.png", "right/1.png"]
        right = store.images()["right/1.png"].camera_id
    assert cameras_given("db.db") == {right}
    [rig] = read_rigs("db.db").values()
    [(sensor, pose)] = rig.non_ref_sensors.items()
    assert (sensor.id, pose.translation.tolist()) == (right, [-0.15, 0, 0])


@pytest.mark.parametrize(("stretch", "expected"), [("folder", [10, 50]), ("image", "image"), ("none", None)])
def test_stretch(photographs, tmp_path, stretch, expected):
    values = np.linspace(10, 50, 88 * 120).round().astype(np.uint16)
    cv2.imwrite(str(photographs / "a.png"), values.reshape(88, 120))
    code, features, settings = extract(photographs, tmp_path / "db.db", "--stretch", stretch)
    assert code == 0
    assert settings.get("stretch") == expected
    assert features.grey_range == (None if stretch == "none" else (10, 50))


@pytest.mark.slow
def test_a_share_goes_to_the_folder_of_all(photographs, tmp_path, capsys):
    given = ["extract", "--images", str(photographs), "--output", str(tmp_path / "shards"), "--max-edge", "48"]
    assert main([*given, "--shard", "1/1"]) == 0
    assert "extract: 1 photograph," in capsys.readouterr().out
    assert main(["assemble", str(tmp_path / "shards"), "--database", str(tmp_path / "db.db"), "--descriptors"]) == 0
    assert "assemble: 1 image, no pairs in " in capsys.readouterr().out
    with FeatureStore(tmp_path / "db.db") as store:
        assert store.read("a.png").input_size == (48, 35)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--shard", "1/2"], "--shard I/N and --output DIR go together"),
        (["--output", "shards"], "--shard I/N and --output DIR go together"),
        (["--shard", "1/2", "--output", "shards", "--overwrite"], "--overwrite does not go with --shard"),
        (["--shard", "1/2", "--output", "shards", "--cache", "maps"], "--cache does not go with --shard"),
        (["--shard", "1/2", "--output", "shards", "--output-type", "npz"], "--output-type and --output-extension do"),
        (["--shard", "1/2", "--output", "shards", "--database", "a.db"], "--database does not go with --shard"),
    ],
)
def test_what_does_not_go_with_a_share_is_refused(photographs, capsys, given, told):
    assert main(["extract", "--images", str(photographs), *given]) == 2
    assert told in capsys.readouterr().err
