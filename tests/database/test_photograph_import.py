"""Import of photographs with their cameras, and their removal."""

import sqlite3

import numpy as np
import pycolmap
import pytest
from PIL import Image
from support.database_contents import done_pairs
from support.photograph_import import EXIF_IFD, FOCAL_35MM, cameras, save, take

from d2sfm.database import (
    FeatureStore,
    MatchStore,
    create_database,
    estimated_cameras,
    import_photographs,
    remove_photographs,
)
from d2sfm.database.connection import open_pycolmap
from d2sfm.features.record import Features
from d2sfm.options import CameraMode, CameraOptions, Convention

SINGLE, PER_FOLDER = CameraOptions(camera_mode=CameraMode.SINGLE), CameraOptions(camera_mode=CameraMode.PER_FOLDER)


@pytest.fixture
def folder(tmp_path):
    """An empty database beside a folder for photographs."""
    create_database(tmp_path / "db.db")
    (tmp_path / "images" / "sub").mkdir(parents=True)
    return tmp_path


def contents(path):
    """All rows of COLMAP's tables."""
    connection = sqlite3.connect(path)
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    rows = {
        name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
        for name in names
        if not name.startswith(("d2sfm", "sqlite"))
    }
    connection.close()
    return rows


def test_import_is_that_of_colmap(folder):
    save(folder, "b.jpg", "sub/c.jpg")
    save(folder, "a.jpg", "e.jpg", focal_35mm=35, maker="Maker")
    save(folder, "d.jpg", size=(48, 64), gps=True)
    names = ["a.jpg", "b.jpg", "d.jpg", "e.jpg", "sub/c.jpg"]
    assert take(folder, names[::-1]) == []
    pycolmap.Database.open(folder / "theirs.db").close()
    pycolmap.import_images(folder / "theirs.db", folder / "images")
    assert contents(folder / "db.db") == contents(folder / "theirs.db")
    assert contents(folder / "db.db")["pose_priors"]
    assert cameras(folder) == {"a.jpg": 1, "b.jpg": 2, "d.jpg": 3, "e.jpg": 1, "sub/c.jpg": 4}


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".ppm", ".tga"])
def test_import_is_that_of_colmap_for_other_formats(folder, suffix):
    exif = Image.Exif()
    exif[0x10F], exif[0x110] = "Maker", "One"
    exif.get_ifd(EXIF_IFD)[FOCAL_35MM] = 35
    for name in ("a", "sub/b"):
        picture = Image.effect_noise((64, 48), 60).convert("RGB")
        picture.save(folder / "images" / f"{name}{suffix}", **({"exif": exif} if suffix in (".png", ".tif") else {}))
    assert take(folder, [f"a{suffix}", f"sub/b{suffix}"]) == []
    pycolmap.Database.open(folder / "theirs.db").close()
    pycolmap.import_images(folder / "theirs.db", folder / "images")
    assert contents(folder / "db.db") == contents(folder / "theirs.db")


def test_links_to_photographs_and_a_folder_relative_to_the_current_one(folder, monkeypatch):
    save(folder, "a.jpg")
    Image.new("RGB", (64, 48)).save(folder / "b.tif")
    for name, target in (("link.jpg", "a.jpg"), ("link.tif", "../b.tif")):
        (folder / "images" / name).symlink_to(target)
    monkeypatch.chdir(folder)
    assert import_photographs("db.db", "images", ["link.jpg", "link.tif"]) == []
    assert sorted(cameras(folder)) == ["link.jpg", "link.tif"]


@pytest.mark.parametrize("name", ["../a.jpg", "sub/../../a.jpg", "/a.jpg"])
def test_names_that_lead_out_of_the_folder_are_refused(folder, name):
    with pytest.raises(ValueError, match="expected a path below"):
        take(folder, [name])


def test_photographs_cut_short_are_imported_in_silence_and_folders_and_missing_ones_are_not(folder, capfd):
    save(folder, "a.jpg", "b.png", focal_35mm=35, maker="Maker")
    for name in ("a.jpg", "b.png"):
        content = (folder / "images" / name).read_bytes()
        (folder / "images" / name).write_bytes(content[: len(content) // 2])
    (folder / "images" / "c.jpg").mkdir()
    assert take(folder, ["a.jpg", "b.png", "c.jpg", "d.jpg"]) == ["c.jpg", "d.jpg"]
    assert cameras(folder) == {"a.jpg": 1, "b.png": 1}
    assert capfd.readouterr().err == ""


def test_only_names_that_are_asked_for_and_new_are_imported(folder):
    save(folder, "a.jpg", "b.jpg", "c.jpg")
    assert take(folder, ["b.jpg"]) == []
    before = contents(folder / "db.db")
    assert take(folder, []) == []
    assert take(folder, ["b.jpg"]) == []
    assert contents(folder / "db.db") == before
    assert take(folder, ["c.jpg", "b.jpg"]) == []
    assert cameras(folder) == {"b.jpg": 1, "c.jpg": 2}


def test_what_colmap_does_not_take_is_returned_without_a_word_of_colmap(folder, capfd):
    save(folder, "a.jpg", "c.jpg")
    save(folder, "big.jpg", size=(80, 60))
    (folder / "images" / "bad.jpg").write_bytes(b"no picture")
    level = pycolmap.logging.minloglevel
    assert take(folder, ["a.jpg", "missing.jpg", "bad.jpg", "big.jpg", "c.jpg"], SINGLE) == [
        *("bad.jpg", "big.jpg", "missing.jpg")
    ]
    assert cameras(folder) == {"a.jpg": 1, "c.jpg": 1}
    assert capfd.readouterr() == ("", "")
    assert pycolmap.logging.minloglevel == level


def test_a_second_import_shares_the_single_camera(folder):
    save(folder, "m.jpg", "z.jpg", "b.jpg")
    save(folder, "a.jpg", size=(80, 60))
    assert take(folder, ["m.jpg"], SINGLE) == []
    assert take(folder, ["a.jpg", "b.jpg", "z.jpg"], SINGLE) == ["a.jpg"]
    assert cameras(folder) == {"m.jpg": 1, "b.jpg": 1, "z.jpg": 1}


def test_folders_share_cameras_within_and_across_imports(folder):
    save(folder, "a.jpg", "z.jpg", "b.jpg", "sub/a.jpg", "sub/b.jpg", "sub/z.jpg")
    assert take(folder, ["a.jpg", "sub/b.jpg", "z.jpg"], PER_FOLDER) == []
    assert cameras(folder) == {"a.jpg": 1, "z.jpg": 1, "sub/b.jpg": 2}
    assert take(folder, ["b.jpg", "sub/a.jpg", "sub/z.jpg"], PER_FOLDER) == []
    assert {name for name, camera_id in cameras(folder).items() if camera_id == 1} == {"a.jpg", "b.jpg", "z.jpg"}
    assert {name for name, camera_id in cameras(folder).items() if camera_id == 2} == {
        *("sub/a.jpg", "sub/b.jpg", "sub/z.jpg")
    }


def test_folders_are_imported_as_by_colmap(folder):
    save(folder, "a.jpg", "b.jpg", "sub/a.jpg", "sub/b.jpg")
    names = ["a.jpg", "b.jpg", "sub/a.jpg", "sub/b.jpg"]
    take(folder, names, PER_FOLDER)
    pycolmap.Database.open(folder / "theirs.db").close()
    pycolmap.import_images(folder / "theirs.db", folder / "images", pycolmap.CameraMode.PER_FOLDER, names)
    assert contents(folder / "db.db") == contents(folder / "theirs.db")


def test_every_image_has_a_camera_of_its_own(folder):
    save(folder, "a.jpg", "b.jpg", focal_35mm=35, maker="Maker")
    take(folder, ["a.jpg", "b.jpg"], CameraOptions(camera_mode=CameraMode.PER_IMAGE))
    assert cameras(folder) == {"a.jpg": 1, "b.jpg": 2}


def camera(folder, camera_id):
    with open_pycolmap(folder / "db.db") as colmap:
        return colmap.read_camera(camera_id)


def test_the_focal_length_is_that_of_exif_or_the_factor_times_the_longest_edge(folder):
    save(folder, "exif.jpg", size=(400, 300), focal_35mm=35)
    save(folder, "plain.jpg", "default.jpg", size=(300, 400))
    take(folder, ["exif.jpg", "plain.jpg"], CameraOptions(default_focal_length_factor=0.8))
    take(folder, ["default.jpg"])
    diagonal_35mm = np.hypot(36, 24)
    assert camera(folder, 1).mean_focal_length() == pytest.approx(35 / diagonal_35mm * 500, rel=1e-3)
    assert camera(folder, 1).has_prior_focal_length
    for camera_id, focal in ((2, 0.8 * 400), (3, 1.2 * 400)):
        assert camera(folder, camera_id).mean_focal_length() == focal
        assert not camera(folder, camera_id).has_prior_focal_length


@pytest.mark.parametrize("model", ["SIMPLE_PINHOLE", "OPENCV", "FULL_OPENCV", "OPENCV_FISHEYE", "RADIAL"])
def test_camera_models_without_parameters_take_the_focal_length_of_exif(folder, model):
    save(folder, "a.jpg", size=(400, 300), focal_35mm=35)
    take(folder, ["a.jpg"], CameraOptions(camera_model=model))
    assert camera(folder, 1).model_name == model
    assert camera(folder, 1).mean_focal_length() == pytest.approx(35 / np.hypot(36, 24) * 500, rel=1e-3)
    assert camera(folder, 1).has_prior_focal_length


def test_gps_becomes_a_position_prior_of_its_image(folder):
    save(folder, "a.jpg")
    save(folder, "b.jpg", gps=True)
    take(folder, ["a.jpg", "b.jpg"])
    with open_pycolmap(folder / "db.db") as colmap:
        [prior] = [prior for prior in colmap.read_all_pose_priors() if np.isfinite(prior.position).all()]
        assert prior.corr_data_id.id == colmap.read_image_with_name("b.jpg").image_id
    assert prior.coordinate_system == pycolmap.PosePriorCoordinateSystem.WGS84
    np.testing.assert_allclose(prior.position.ravel(), [47 + 3 / 60 + 2 / 3600, 8 + 1 / 60 + 2 / 3600, 400])


def test_missing_folder_and_database(folder):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        import_photographs(folder / "db.db", folder / "nowhere", ["a.jpg"])
    with pytest.raises(FileNotFoundError, match=r"other\.db"):
        import_photographs(folder / "other.db", folder / "images", ["a.jpg"])


def test_estimated_cameras_counts_unshared_cameras_without_focal_length(folder):
    database = folder / "db.db"
    assert estimated_cameras(database) == []
    save(folder, "a.jpg", "b.jpg")
    save(folder, "f1.jpg", "f2.jpg", "f3.jpg", focal_35mm=35)
    save(folder, "p1.jpg", "p2.jpg", "p3.jpg", "p4.jpg", size=(48, 64))
    save(folder, "s1.jpg", "s2.jpg", "s3.jpg", size=(40, 40))
    take(folder, [*("a.jpg", "b.jpg", "f1.jpg", "f2.jpg", "f3.jpg", "p1.jpg", "p2.jpg", "p3.jpg", "p4.jpg")])
    assert estimated_cameras(database) == [(4, 48, 64)]
    save(folder, "c.jpg")
    take(folder, ["c.jpg"])
    assert estimated_cameras(database) == [(4, 48, 64), (3, 64, 48)]
    create_database(folder / "single.db")
    import_photographs(folder / "single.db", folder / "images", ["s1.jpg", "s2.jpg", "s3.jpg"], SINGLE)
    assert estimated_cameras(folder / "single.db") == []


def fill(database, names):
    """Features and verified pairs for all images."""
    features = Features(
        keypoints=np.ones((4, 4), np.float32),
        descriptors=np.ones((4, 512), np.float16),
        image_size=(64, 48),
        input_size=(64, 48),
        convention=Convention.COLMAP,
        scales=(1.0,),
    )
    with FeatureStore(database) as store:
        for name in names:
            store.write(name, features, "settings")
        ids = sorted(image.image_id for image in store.images().values())
    with MatchStore(database) as store:
        for i, j in ((i, j) for i in ids for j in ids if i < j):
            store.write(i, j, np.array([[0, 1]]), pycolmap.TwoViewGeometry())


def test_removed_photographs_leave_no_row(folder):
    names = ["a.jpg", "b.jpg", "c.jpg", "sub/d.jpg"]
    save(folder, *names, gps=True)
    take(folder, names)
    fill(folder / "db.db", names)
    remove_photographs(folder / "db.db", ["b.jpg", "unknown.jpg", "sub/d.jpg"])
    (folder / "kept").mkdir()
    create_database(folder / "kept.db")
    import_photographs(folder / "kept.db", folder / "images", ["a.jpg", "c.jpg"])
    with FeatureStore(folder / "db.db") as store:
        assert list(store.extracted()) == ["a.jpg", "c.jpg"]
    rows, expected = contents(folder / "db.db"), contents(folder / "kept.db")
    assert {name: len(rows[name]) for name in rows} == {
        **{name: len(expected[name]) for name in expected},
        **{"keypoints": 2, "descriptors": 2, "matches": 1, "two_view_geometries": 1},
    }
    assert [row[0] for row in rows["cameras"]] == [1, 3]
    assert [row[0] for row in rows["frames"]] == [1, 3]
    with MatchStore(folder / "db.db") as store:
        assert done_pairs(store, verified=True) == {(1, 3)}


def test_a_shared_camera_stays_until_its_last_photograph_goes(folder):
    save(folder, "a.jpg", "b.jpg")
    take(folder, ["a.jpg", "b.jpg"], SINGLE)
    remove_photographs(folder / "db.db", ["a.jpg"])
    assert cameras(folder) == {"b.jpg": 1}
    remove_photographs(folder / "db.db", ["b.jpg"])
    assert not any(contents(folder / "db.db").values())
    assert take(folder, ["a.jpg"], SINGLE) == []


def test_sensors_of_a_real_rig_stay(folder):
    save(folder, "a.jpg", "b.jpg")
    take(folder, ["a.jpg", "b.jpg"])
    with open_pycolmap(folder / "db.db") as colmap:  # both cameras on one rig, both images in one frame
        colmap.clear_frames()
        colmap.clear_rigs()
        rig, frame = pycolmap.Rig(), pycolmap.Frame()
        sensors = [colmap.read_camera(camera_id).sensor_id for camera_id in (1, 2)]
        rig.add_ref_sensor(sensors[0])
        rig.add_sensor(sensors[1], pycolmap.Rigid3d())
        frame.rig_id = colmap.write_rig(rig)
        for image_id in (1, 2):
            frame.add_data_id(colmap.read_image(image_id).data_id)
        colmap.write_frame(frame)
    remove_photographs(folder / "db.db", ["a.jpg"])
    with open_pycolmap(folder / "db.db") as colmap:
        assert colmap.num_cameras() == 2
        assert [frame.num_data_ids() for frame in colmap.read_all_frames()] == [1]
        assert [rig.num_sensors() for rig in colmap.read_all_rigs()] == [2]


def test_a_database_maps_after_a_removal(folder):
    database = folder / "synthetic.db"
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig, options.num_points3D = 5, 1, 120
    pycolmap.set_random_seed(0)
    with open_pycolmap(database) as colmap:
        pycolmap.synthesize_dataset(options, colmap)
        names = sorted(image.name for image in colmap.read_all_images())
    remove_photographs(database, names[1:2])
    settings = pycolmap.IncrementalPipelineOptions(num_threads=1)
    (folder / "out").mkdir()
    models = pycolmap.incremental_mapping(database, folder / "images", folder / "out", settings)
    assert sorted(image.name for image in models[0].images.values()) == [names[0], *names[2:]]
    assert all(models[0].image(image_id).has_pose for image_id in models[0].images)
