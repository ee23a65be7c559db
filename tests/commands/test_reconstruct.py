"""The options of d2sfm reconstruct, on a scene without photographs."""

import pycolmap
import pytest

from d2sfm.cli import main


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    database = tmp_path_factory.mktemp("scene") / "db.db"
    pycolmap.set_random_seed(1)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig, options.num_points3D = 1, 1, 6, 200
    with pycolmap.Database.open(database) as colmap:
        truth = pycolmap.synthesize_dataset(options, colmap)
        pycolmap.synthesize_noise(pycolmap.SyntheticNoiseOptions(point2D_stddev=0.5), truth, colmap)
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


def test_the_number_of_starts_and_their_time(database, tmp_path, capsys):
    assert reconstruct(database, tmp_path / "a", "--min-starts", "2", "--max-starts", "2", "--verbose") == 0
    output = capsys.readouterr().out
    assert "seed 1" in output
    assert "seed 2" not in output
    assert reconstruct(database, tmp_path / "b", "--time-budget", "1e-9") == 0
    assert "starts:" not in capsys.readouterr().out


def test_a_cache_goes_with_refinement(database, tmp_path, capsys):
    for option in (("--cache", str(tmp_path / "maps")), ("--cache-limit", "1")):
        assert reconstruct(database, tmp_path / "sparse", *option) == 2
        assert "--cache and --cache-limit go with --refine" in capsys.readouterr().err
