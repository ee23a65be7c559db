"""The options of d2sfm reconstruct, on a scene without photographs."""

import sqlite3
from contextlib import closing

import pycolmap
import pytest
from support.small_scene import write_small_scene
from support.synthetic_model import synthetic_database, synthetic_rig

from d2sfm.cli import main
from d2sfm.database import MatchStore
from d2sfm.extraction.extract import extract_to_database
from d2sfm.mapping.model_removal import remove_from_model
from d2sfm.matching.match import match_database
from d2sfm.options import CameraOptions, VerificationOptions


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    database = tmp_path_factory.mktemp("scene") / "db.db"
    synthetic_database(database, 6, num_points=200)
    with pycolmap.Database.open(database) as colmap:
        (camera,) = colmap.read_all_cameras()
        camera.has_prior_focal_length = False  # so that several starts are made
        colmap.update_camera(camera)
    return database


def reconstruct(database, output, *options):
    return main(["reconstruct", "--database", str(database), "--output", str(output), *options])


@pytest.mark.parametrize("mapper", ["incremental", "global"])
def test_cameras_held_fixed_by_both_mappers_with_text_and_points(database, tmp_path, mapper, capsys):
    options = ("--mapper", mapper, "--refine-cameras", "no", "--text", "--ply", "--seed", "3", "--num-threads", "2")
    assert reconstruct(database, tmp_path / "sparse", *options) == 0
    assert "6 of 6" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "sparse" / "0").iterdir()}
    assert {"images.txt", "images.bin", "points3D.ply"} <= names
    with pycolmap.Database.open(database) as colmap:
        (camera,) = colmap.read_all_cameras()
    (found,) = pycolmap.Reconstruction(tmp_path / "sparse" / "0").cameras.values()
    assert found.params.tolist() == camera.params.tolist()


@pytest.mark.slow
def test_the_number_of_starts_and_their_time(database, tmp_path, capsys):
    assert reconstruct(database, tmp_path / "a", "--min-starts", "2", "--max-starts", "2", "--verbose") == 0
    details = capsys.readouterr().err
    assert "seed 1" in details
    assert "seed 2" not in details
    # Which may stop the one start before it has a model.
    reconstruct(database, tmp_path / "b", "--time-budget", "1e-9", "--verbose")
    assert "seed 1" not in capsys.readouterr().err


def test_people_get_a_sentence_and_a_table_of_80_columns(database, tmp_path, capsys):
    assert reconstruct(database, tmp_path / "sparse", "--max-starts", "2") == 0
    header, row, sentence = capsys.readouterr().out.splitlines()
    assert header.split("  ")[0] == "model"
    assert max(map(len, (header, row))) <= 80
    assert "registered images" in header
    assert "reprojection error" in header
    assert row.startswith("0 ")
    assert sentence.startswith(f"reconstruct: 6 of 6 images in {tmp_path / 'sparse' / '0'}, ")


def test_a_cache_goes_with_refinement(database, tmp_path, capsys):
    for option in (("--cache", str(tmp_path / "maps")), ("--cache-limit", "1")):
        assert reconstruct(database, tmp_path / "sparse", "--no-refine", *option) == 2
        assert "--cache and --cache-limit are for refinement, which --no-refine" in capsys.readouterr().err


@pytest.mark.slow
def test_a_model_is_extended_in_its_place_or_elsewhere(database, tmp_path, capsys):
    assert reconstruct(database, tmp_path / "sparse", "--max-starts", "1") == 0
    model = tmp_path / "sparse" / "0"
    remove_from_model(model, ["camera000001_frame000005.png"])
    options = ("--extend", str(model), "--num-threads", "1")
    capsys.readouterr()
    assert reconstruct(database, tmp_path / "sparse", *options) == 2
    assert "holds" in capsys.readouterr().err
    assert reconstruct(database, tmp_path / "new", *options, "--text") == 0
    assert f"extend: 1 image added, {tmp_path / 'new' / '0'} has 6 of 6 images, " in capsys.readouterr().out
    assert {"images.bin", "images.txt"} <= {path.name for path in (tmp_path / "new" / "0").iterdir()}
    assert len(pycolmap.Reconstruction(model).images) == 5
    assert reconstruct(database, model, *options, "--extend-adjust") == 0
    assert len(pycolmap.Reconstruction(model).images) == 6
    assert reconstruct(database, model, *options) == 0
    assert "nothing to add" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--extend-adjust",), "--extend-adjust goes with --extend MODEL"),
        (("--join", "m"), "--join goes with --extend MODEL, the one whose poses stay"),
        (("--extend", "m", "--mapper", "global"), "--mapper is for a new model, not for --extend"),
        (("--extend", "m", "--max-starts", "3"), "--max-starts is for a new model, not for --extend"),
        (("--extend", "m"), "no COLMAP model in m"),
    ],
)
def test_what_does_not_go_with_extending_is_refused(database, tmp_path, options, error, capsys):
    assert reconstruct(database, tmp_path / "sparse", *options) == 2
    assert error in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_network")
def test_a_model_of_keypoints_that_are_not_refined_is_extended_by_such(tmp_path, capsys):
    """And one that can't be extended is refused before any keypoint moves."""
    database, photographs = tmp_path / "db.db", write_small_scene(tmp_path / "photos", 7, 0.25)
    later = (photographs / "4.png").rename(tmp_path / "4.png")

    def matched():
        extract_to_database(database, photographs, cameras=CameraOptions(camera_mode="single"))
        match_database(database, verification=VerificationOptions())
        with MatchStore(database) as store:
            return {name: store.keypoints(image_id) for image_id, name in store.image_names().items()}

    matched()
    assert reconstruct(database, tmp_path / "sparse", "--no-refine", "--max-starts", "1", "--num-threads", "1") == 0
    later.rename(photographs / "4.png")
    before = matched()
    for model, output, error in (("9", "new", "no COLMAP model in"), ("0", "sparse", "which this run would replace")):
        assert reconstruct(database, tmp_path / output, "--extend", str(tmp_path / "sparse" / model)) == 2
        assert error in capsys.readouterr().err
    model = tmp_path / "sparse" / "0"
    assert reconstruct(database, tmp_path / "new", "--extend", str(model), "--verbose") == 0
    assert f"mapped as they are, not refined: the points of {model} are of these" in capsys.readouterr().err
    assert len(pycolmap.Reconstruction(tmp_path / "new" / "0").reg_image_ids()) == 7
    with MatchStore(database) as store:
        for image_id, name in store.image_names().items():
            assert (store.keypoints(image_id) == before[name]).all()


@pytest.mark.slow
def test_known_rigs_are_held_or_refined_and_unknown_ones_are_found_by_the_global_mapper(tmp_path, capsys):
    database = tmp_path / "db.db"
    truth = synthetic_rig(database, num_frames=4)
    [(sensor, expected)] = truth.rigs[1].non_ref_sensors.items()

    def baseline_of(*options):
        assert reconstruct(database, tmp_path / "sparse", "--max-starts", "1", *options) == 0
        found = pycolmap.Reconstruction(tmp_path / "sparse" / "0").rigs[1].sensor_from_rig(sensor)
        return found.translation.tolist()

    assert baseline_of() == expected.translation.tolist()
    assert "the known poses of cameras in 1 rigs stay fixed (--refine-rigs refines them)" in capsys.readouterr().err
    assert baseline_of("--refine-rigs") != expected.translation.tolist()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE rig_sensors SET sensor_from_rig = NULL")
    assert reconstruct(database, tmp_path / "sparse") == 2
    assert "the incremental mapper needs cam_from_rig of all cameras, which rig 1 of " in capsys.readouterr().err
    assert baseline_of("--mapper", "global")
