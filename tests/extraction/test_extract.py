import json
import shutil
import sqlite3

import cv2
import numpy as np
import pycolmap
import pytest
from PIL import Image
from support.database_contents import contents, require_whole
from support.helpers import save_plain_weights, textured_picture

from d2sfm.database import (
    FeatureStore,
    MatchStore,
    RefinementStore,
    begin_overwriting,
    cameras_given,
    create_database,
    import_photographs,
)
from d2sfm.extraction import extract as extraction
from d2sfm.extraction.extract import extract_to_database, extract_to_files, read_image_list
from d2sfm.features.extractor import Extractor
from d2sfm.formats.npz_mat import read_features
from d2sfm.matching.match import match_database
from d2sfm.options import (
    CameraMode,
    CameraOptions,
    Convention,
    DescriptorDtype,
    ExtractionOptions,
    MatchingOptions,
    OutputType,
    StorageOptions,
    VerificationOptions,
)
from d2sfm.photographs.masks import Masks
from d2sfm.photographs.reading import load_photograph

SMALL = ExtractionOptions(max_edge=96)


@pytest.fixture
def photographs(tmp_path):
    """A folder with three photographs, one of them in a subfolder, and files beside them that are none."""
    folder = tmp_path / "photographs"
    for index, name in enumerate(["a.jpg", "b c.png", "sub/a.jpg"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), textured_picture(index, (96 + 16 * index, 80)))
    (folder / "notes.txt").write_text("no picture")
    (folder / "a.jpg.d2-net").write_bytes(b"features of an earlier run")
    return folder


def read_all(database):
    with FeatureStore(database) as store:
        return {name: store.read(name) for name in store.extracted()}


def test_a_folder_becomes_a_database_with_features(tmp_path, photographs):
    database = tmp_path / "db.db"
    summary = extract_to_database(database, photographs, options=SMALL)
    features = read_all(database)
    assert list(features) == ["a.jpg", "b c.png", "sub/a.jpg"]
    assert summary.extracted == 3
    assert not summary.skipped
    assert summary.keypoints == sum(map(len, features.values())) > 0
    extractor = Extractor(SMALL)
    for name, stored in features.items():
        fresh = extractor.extract(load_photograph(photographs / name))
        assert np.array_equal(stored.keypoints, fresh.keypoints)
        assert stored.descriptors.dtype == np.float16
        np.testing.assert_allclose(stored.descriptors, fresh.descriptors, atol=1e-3)
    with FeatureStore(database) as store:
        assert store.notes.read("images") == str(photographs.resolve())


def test_descriptors_are_stored_bit_for_bit_as_float32_on_request(tmp_path, photographs):
    storage = StorageOptions(descriptor_dtype=DescriptorDtype.FLOAT32)
    extract_to_database(tmp_path / "db.db", photographs, options=SMALL, storage=storage)
    fresh = Extractor(SMALL).extract(photographs / "a.jpg")
    assert np.array_equal(read_all(tmp_path / "db.db")["a.jpg"].descriptors, fresh.descriptors)


def test_a_second_run_takes_only_what_is_new(tmp_path, photographs):
    database = tmp_path / "db.db"
    extract_to_database(database, photographs, options=SMALL)
    before = read_all(database)
    shutil.copy(photographs / "a.jpg", photographs / "d.jpg")
    summary = extract_to_database(database, photographs, options=SMALL)
    assert (summary.extracted, summary.already_there) == (1, 3)
    after = read_all(database)
    assert np.array_equal(after["d.jpg"].keypoints, before["a.jpg"].keypoints)


def test_images_that_a_stopped_run_imported_get_their_features(tmp_path, photographs):
    database = tmp_path / "db.db"
    pycolmap.Database.open(database).close()
    pycolmap.import_images(database, photographs, image_names=["a.jpg"])
    summary = extract_to_database(database, photographs, options=SMALL)
    assert summary.extracted == 3
    with FeatureStore(database) as store:
        assert len(store.images()) == 3


def test_a_second_folder_is_refused_while_the_first_is_there(tmp_path, photographs):
    database = tmp_path / "db.db"
    extract_to_database(database, photographs, options=SMALL)
    other = tmp_path / "other"
    shutil.copytree(photographs, other)
    with pytest.raises(RuntimeError, match="holds the photographs of"):
        extract_to_database(database, other, options=SMALL)
    shutil.rmtree(photographs)  # as after a move
    assert extract_to_database(database, other, options=SMALL).already_there == 3
    with FeatureStore(database) as store:
        assert store.notes.read("images") == str(other.resolve())


def test_camera_options_that_come_too_late_are_mentioned(tmp_path, photographs, caplog):
    extract_to_database(tmp_path / "db.db", photographs, options=SMALL)
    caplog.clear()
    cameras = CameraOptions(camera_model="PINHOLE", camera_params="90,91,48,40")
    extract_to_database(tmp_path / "db.db", photographs, options=SMALL, cameras=cameras)
    assert "keep their cameras" in caplog.text


def test_bad_camera_options_leave_no_database(tmp_path, photographs):
    with pytest.raises(ValueError, match="PIN"):
        extract_to_database(tmp_path / "db.db", photographs, cameras=CameraOptions(camera_model="PIN"))
    assert not (tmp_path / "db.db").exists()


def test_a_cache_of_maps_that_are_not_computed_is_refused(tmp_path, photographs):
    options = ExtractionOptions(max_edge=64, device="cpu", scales=(0.5,))
    with pytest.raises(ValueError, match="are those of scale 1"):
        extract_to_database(tmp_path / "db.db", photographs, options=options, cache=tmp_path / "cache")
    assert not (tmp_path / "db.db").exists()
    assert not (tmp_path / "cache").exists()


def test_other_settings_are_refused_with_both_named(tmp_path, photographs):
    database = tmp_path / "db.db"
    extract_to_database(database, photographs, options=SMALL)
    with pytest.raises(RuntimeError, match=r"max_edge 96.*max_edge 64"):
        extract_to_database(database, photographs, options=ExtractionOptions(max_edge=64))


def test_another_extractors_keypoints_are_refused_with_both_named(tmp_path, photographs):
    database = tmp_path / "db.db"
    pycolmap.Database.open(database).close()
    pycolmap.import_images(database, photographs, image_names=["a.jpg"])
    with pycolmap.Database.open(database) as colmap:
        colmap.write_keypoints(1, np.ones((2, 4), np.float32))
        colmap.write_descriptors(
            1, pycolmap.FeatureDescriptors(pycolmap.FeatureExtractorType.SIFT, np.zeros((2, 128), np.uint8))
        )
    with pytest.raises(RuntimeError, match=r"SIFT.*d2sfm"):
        extract_to_database(database, photographs, options=SMALL)
    with FeatureStore(database) as store:
        assert store.foreign_images() == ["a.jpg"]


def test_damaged_photographs_are_named_and_leave_no_row(tmp_path, photographs):
    whole = (photographs / "a.jpg").read_bytes()
    (photographs / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photographs / "text.png").write_text("no picture")
    cv2.imwrite(str(photographs / "tiny.png"), np.zeros((5, 40, 3), np.uint8))
    database = tmp_path / "db.db"
    pycolmap.Database.open(database).close()
    pycolmap.import_images(database, photographs, image_names=["cut.jpg"])  # COLMAP takes it: the row must go again
    summary = extract_to_database(database, photographs, options=SMALL)
    assert sorted(summary.skipped) == ["cut.jpg", "text.png", "tiny.png"]
    assert "8 px" in summary.skipped["tiny.png"]
    with FeatureStore(database) as store:
        assert list(store.images()) == ["a.jpg", "b c.png", "sub/a.jpg"]
    assert summary.extracted == 3


def test_names_in_the_summary_are_in_order_and_nothing_of_a_broken_photograph_stays(tmp_path, photographs):
    whole = (photographs / "a.jpg").read_bytes()
    for name in ("z.jpg", "Z.jpg", "k.jpg"):  # told when they are decoded
        (photographs / name).write_bytes(whole[: len(whole) * 2 // 3])
    (photographs / "m.jpg").write_text("told by its header")
    summary = extract_to_database(tmp_path / "db.db", photographs, options=SMALL)
    assert list(summary.skipped) == ["Z.jpg", "k.jpg", "m.jpg", "z.jpg"]
    assert "cut short" in summary.skipped["k.jpg"]
    with pycolmap.Database.open(tmp_path / "db.db") as colmap:
        assert colmap.num_images() == colmap.num_frames() == colmap.num_rigs() == colmap.num_cameras() == 3
        assert colmap.num_images() == sum(colmap.exists_keypoints(image.image_id) for image in colmap.read_all_images())


@pytest.mark.parametrize("mode", [CameraMode.SINGLE, CameraMode.PER_FOLDER])
def test_a_broken_photograph_has_no_say_in_a_shared_camera(tmp_path, mode):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name, size in {"a.jpg": (112, 80), "b.jpg": (96, 80), "c.jpg": (96, 80)}.items():
        cv2.imwrite(str(folder / name), textured_picture(1, size))
    content = (folder / "a.jpg").read_bytes()
    (folder / "a.jpg").write_bytes(content[: len(content) // 2])
    cameras = CameraOptions(camera_mode=mode)
    summary = extract_to_database(tmp_path / "db.db", folder, options=SMALL, cameras=cameras)
    assert summary.extracted == 2
    assert list(summary.skipped) == ["a.jpg"]
    assert "cut short" in summary.skipped["a.jpg"]


def test_more_keypoints_than_a_row_can_hold_skip_the_photograph(tmp_path, photographs, monkeypatch):
    monkeypatch.setattr("d2sfm.database.feature_store.MAX_ROW_BYTES", 2000)
    summary = extract_to_database(tmp_path / "db.db", photographs, options=SMALL)
    assert list(summary.skipped) == ["a.jpg", "b c.png", "sub/a.jpg"]
    assert all("use --max-keypoints 1" in reason for reason in summary.skipped.values())
    with FeatureStore(tmp_path / "db.db") as store:
        assert store.images() == {}


def test_a_photograph_that_does_not_fit_the_single_camera_is_named(tmp_path, photographs):
    cameras = CameraOptions(camera_mode=CameraMode.SINGLE)
    summary = extract_to_database(tmp_path / "db.db", photographs, options=SMALL, cameras=cameras)
    assert sorted(summary.skipped) == ["b c.png", "sub/a.jpg"]
    assert "its size is not that of the camera" in summary.skipped["b c.png"]


@pytest.mark.parametrize("mode", list(CameraMode))
def test_a_photograph_that_was_replaced_by_one_of_another_size_is_named(tmp_path, photographs, mode):
    """Its camera is in the database already, so that no camera mode makes another."""
    database = tmp_path / "db.db"
    create_database(database)
    import_photographs(database, photographs, ["a.jpg", "b c.png"])
    cv2.imwrite(str(photographs / "b c.png"), textured_picture(7, (64, 80)))
    (photographs / "sub/a.jpg").unlink()
    cameras = CameraOptions(camera_mode=mode)
    summary = extract_to_database(database, photographs, options=SMALL, cameras=cameras)
    assert summary.skipped == {"b c.png": "is 64 x 80 px, expected 112 x 80 px"}
    assert list(read_all(database)) == ["a.jpg"]


def test_a_photograph_that_does_not_fit_the_existing_camera_is_named(tmp_path, photographs):
    database, existing = tmp_path / "db.db", CameraOptions(existing_camera=1)
    with pytest.raises(FileNotFoundError, match="no database"):
        extract_to_database(database, photographs, options=SMALL, cameras=existing)
    assert not database.exists()
    create_database(database)
    import_photographs(database, photographs, ["a.jpg"])
    summary = extract_to_database(database, photographs, options=SMALL, cameras=existing)
    assert summary.skipped == dict.fromkeys(["b c.png", "sub/a.jpg"], "its size is not that of camera 1")
    with pytest.raises(RuntimeError, match="has no camera 5"):
        extract_to_database(database, photographs, options=SMALL, cameras=CameraOptions(existing_camera=5))


def test_given_cameras_are_imported_and_marked(tmp_path, photographs):
    for name in ("b c.png", "sub/a.jpg"):
        (photographs / name).unlink()
    cameras = CameraOptions(camera_model="PINHOLE", camera_params="90,91,48,40")
    extract_to_database(tmp_path / "db.db", photographs, options=SMALL, cameras=cameras)
    with pycolmap.Database.open(tmp_path / "db.db") as colmap:
        [camera] = colmap.read_all_cameras()
    assert camera.params.tolist() == [90, 91, 48, 40]
    assert cameras_given(tmp_path / "db.db") == {camera.camera_id}


def test_many_photographs_without_focal_length_are_mentioned_once(tmp_path, caplog):
    folder = tmp_path / "same"
    folder.mkdir()
    for index in range(4):
        cv2.imwrite(str(folder / f"{index}.jpg"), textured_picture(index, (96, 80)))
    extract_to_database(tmp_path / "db.db", folder, options=SMALL)
    lines = [record.getMessage() for record in caplog.records if "focal length" in record.getMessage()]
    assert len(lines) == 1
    assert "4 photographs of 96 x 80 px" in lines[0]
    assert "--camera-mode single" in lines[0]


def test_a_picture_without_any_keypoint_is_a_whole_row(tmp_path, photographs):
    options = ExtractionOptions(weights=save_plain_weights(tmp_path / "zero.pth", gain=0), max_edge=96)
    summary = extract_to_database(tmp_path / "db.db", photographs, options=options)
    assert summary.without_keypoints == ["a.jpg", "b c.png", "sub/a.jpg"]
    assert not summary.skipped
    features = read_all(tmp_path / "db.db")["a.jpg"]
    assert features.keypoints.shape == (0, 4)
    assert features.descriptors.shape == (0, 512)


def test_exif_orientation_does_not_turn_keypoints(tmp_path, photographs):
    """A picture marked as turned has the keypoints of its stored pixels, and a camera of their size."""
    folder = tmp_path / "turned"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(photographs / "b c.png").save(folder / "b c.png", exif=exif)
    extract_to_database(tmp_path / "turned.db", folder, options=SMALL)
    extract_to_database(tmp_path / "plain.db", photographs, options=SMALL)
    turned, plain = read_all(tmp_path / "turned.db")["b c.png"], read_all(tmp_path / "plain.db")["b c.png"]
    assert np.array_equal(turned.keypoints, plain.keypoints)
    assert turned.image_size == plain.image_size == (112, 80)


@pytest.mark.parametrize("missing", [True, False])
def test_no_folder_and_an_empty_folder_make_no_database(tmp_path, missing):
    folder = tmp_path / "none"
    if not missing:
        folder.mkdir()
    with pytest.raises(FileNotFoundError if missing else ValueError, match="none"):
        extract_to_database(tmp_path / "db.db", folder)
    assert not (tmp_path / "db.db").exists()


def test_a_file_that_is_no_database_is_refused_unchanged(tmp_path, photographs):
    database = tmp_path / "db.db"
    database.write_text("no database")
    with pytest.raises(RuntimeError, match="no COLMAP database"):
        extract_to_database(database, photographs, options=SMALL)
    assert database.read_text() == "no database"
    database.unlink()
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE other (x)")
    connection.close()
    with pytest.raises(RuntimeError, match="no COLMAP database"):
        extract_to_database(database, photographs, options=SMALL)


@pytest.mark.parametrize("output_type", list(OutputType))
def test_a_list_becomes_files_beside_the_photographs(tmp_path, photographs, output_type, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text("photographs/a.jpg\nphotographs/b c.png\n\n")
    options = ExtractionOptions(max_edge=96, convention=Convention.REFERENCE)
    storage = StorageOptions(output_type=output_type, output_extension=".feat")
    summary = extract_to_files(tmp_path / "list.txt", options=options, storage=storage)
    assert (summary.extracted, len(summary.skipped)) == (2, 0)
    stored = read_features(photographs / "b c.png.feat")
    fresh = Extractor(options).extract(photographs / "b c.png")
    assert stored.convention is Convention.REFERENCE
    assert np.array_equal(stored.keypoints, fresh.keypoints)
    assert np.array_equal(stored.descriptors, fresh.descriptors)


def test_files_of_the_same_settings_are_kept_and_others_replaced(tmp_path, photographs):
    (tmp_path / "list.txt").write_text(f"{photographs / 'a.jpg'}\n")
    run = {"storage": StorageOptions(output_extension=".feat")}
    extract_to_files(tmp_path / "list.txt", options=SMALL, **run)
    again = extract_to_files(tmp_path / "list.txt", options=SMALL, **run)
    assert (again.extracted, again.already_there) == (0, 1)
    other = extract_to_files(tmp_path / "list.txt", options=ExtractionOptions(max_edge=64), **run)
    assert (other.extracted, other.already_there) == (1, 0)
    assert read_features(photographs / "a.jpg.feat").input_size[0] == 64


def test_files_of_another_type_are_replaced(tmp_path, photographs):
    (tmp_path / "list.txt").write_text(f"{photographs / 'a.jpg'}\n")
    for output_type in OutputType:
        storage = StorageOptions(output_type=output_type, output_extension=".feat")
        assert extract_to_files(tmp_path / "list.txt", options=SMALL, storage=storage).extracted == 1
    assert (photographs / "a.jpg.feat").read_bytes().startswith(b"MATLAB")


def test_lists_of_other_editors_are_read(tmp_path):
    (tmp_path / "list.txt").write_bytes("\ufeffa b.jpg\r\n\u00fc\u2028.jpg\r\n".encode())
    assert read_image_list(tmp_path / "list.txt") == ["a b.jpg", "\u00fc\u2028.jpg"]


def test_missing_and_damaged_files_of_a_list_are_named(tmp_path, photographs):
    whole = (photographs / "a.jpg").read_bytes()
    (photographs / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    names = [str(photographs / name) for name in ("none.jpg", "cut.jpg", "a.jpg")]
    (tmp_path / "list.txt").write_text("\n".join(names))
    summary = extract_to_files(tmp_path / "list.txt", options=SMALL, storage=StorageOptions(output_extension=".x"))
    assert sorted(summary.skipped) == sorted(names[:2])
    assert (photographs / "a.jpg.x").exists()
    assert not (photographs / "cut.jpg.x").exists()


def test_lists_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_image_list(tmp_path / "none.txt")
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(ValueError, match="names no photographs"):
        read_image_list(tmp_path / "empty.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="no text"):
        read_image_list(tmp_path / "binary.txt")


def test_the_database_is_colmaps(tmp_path, photographs):
    """Rigs, frames and cameras as COLMAP's own import makes them."""
    database, plain = tmp_path / "db.db", tmp_path / "plain.db"
    extract_to_database(database, photographs, options=SMALL)
    pycolmap.Database.open(plain).close()
    pycolmap.import_images(plain, photographs, image_names=["a.jpg", "b c.png", "sub/a.jpg"])
    with pycolmap.Database.open(database) as ours, pycolmap.Database.open(plain) as theirs:
        assert ours.num_rigs() == theirs.num_rigs()
        assert ours.num_frames() == theirs.num_frames() == 3
        for mine, other in zip(ours.read_all_images(), theirs.read_all_images(), strict=True):
            assert (mine.name, mine.camera_id) == (other.name, other.camera_id)
            assert np.array_equal(ours.read_camera(mine.camera_id).params, theirs.read_camera(other.camera_id).params)
            assert ours.read_keypoints(mine.image_id).shape[1] == 4


def test_the_fingerprint_is_readable(tmp_path, photographs):
    extract_to_database(tmp_path / "db.db", photographs, options=SMALL)
    with FeatureStore(tmp_path / "db.db") as store:
        [fingerprint] = set(store.extracted().values())
    assert json.loads(fingerprint)["max_edge"] == 96


def test_a_stopped_run_leaves_nothing_of_a_broken_photograph(tmp_path, photographs, monkeypatch):
    (photographs / "a0.jpg").write_bytes((photographs / "a.jpg").read_bytes()[:-200])
    extract_batch = Extractor.extract_batch

    def stop_at_the_second(self, pictures, dtype):
        if pictures[0].image_size[0] > 96:
            raise KeyboardInterrupt
        return extract_batch(self, pictures, dtype)

    monkeypatch.setattr(Extractor, "extract_batch", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        extract_to_database(tmp_path / "db.db", photographs, options=SMALL)
    with FeatureStore(tmp_path / "db.db") as store:
        assert list(store.images()) == ["a.jpg", "b c.png", "sub/a.jpg"]
        assert list(store.extracted()) == ["a.jpg"]


def test_a_photograph_too_wide_for_the_memory_limit_is_skipped_and_the_others_are_not(tmp_path, photographs):
    cv2.imwrite(str(photographs / "wide.jpg"), textured_picture(9, (400, 40)))
    options = ExtractionOptions(memory_limit=0.003)
    summary = extract_to_database(tmp_path / "db.db", photographs, options=options)
    assert "of 400 px width need a memory limit of 0.00" in summary.skipped["wide.jpg"]
    assert list(read_all(tmp_path / "db.db")) == ["a.jpg", "b c.png", "sub/a.jpg"]


def save_mask(folder, name, mask):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(folder / name)


@pytest.fixture
def masks(tmp_path):
    """Masks of a.jpg (left half out), sub/a.jpg (as sub/a.png: lower half out), none of b c.png."""
    left, lower = np.ones((80, 96), bool), np.ones((80, 128), bool)
    left[:, :48], lower[40:] = False, False
    save_mask(tmp_path / "masks", "a.jpg.png", left)
    save_mask(tmp_path / "masks", "sub/a.png", lower)
    return tmp_path / "masks"


def test_masked_keypoints_never_enter(tmp_path, photographs, masks, caplog):
    extract_to_database(tmp_path / "plain.db", photographs, options=SMALL)
    summary = extract_to_database(tmp_path / "db.db", photographs, options=SMALL, masks=Masks(masks))
    assert not summary.skipped
    assert "1 photographs have no mask, all of them is in: b c.png the first" in caplog.text
    plain, found = read_all(tmp_path / "plain.db"), read_all(tmp_path / "db.db")
    inside = {name: np.ones(len(features), bool) for name, features in plain.items()}
    inside["a.jpg"] = plain["a.jpg"].keypoints[:, 0] >= 48
    inside["sub/a.jpg"] = plain["sub/a.jpg"].keypoints[:, 1] < 40
    for name, features in plain.items():
        assert np.array_equal(found[name].keypoints, features.keypoints[inside[name]])
    assert 0 < len(found["a.jpg"]) < len(plain["a.jpg"])
    assert 0 < len(found["sub/a.jpg"]) < len(plain["sub/a.jpg"])


def test_bad_masks_skip_their_photographs(tmp_path, photographs, masks):
    save_mask(masks, "b c.png.png", np.ones((10, 10), bool))
    (masks / "a.jpg.png").write_bytes(b"no mask")
    summary = extract_to_database(tmp_path / "db.db", photographs, options=SMALL, masks=Masks(masks))
    assert list(summary.skipped) == ["a.jpg", "b c.png"]
    assert "mask that can't be used" in summary.skipped["a.jpg"]
    assert summary.skipped["b c.png"] == "is 112 x 80 px, its mask 10 x 10 px"
    assert list(read_all(tmp_path / "db.db")) == ["sub/a.jpg"]


def test_masked_features_other_masks_and_borders_are_not_mixed(tmp_path, photographs, masks):
    database = tmp_path / "db.db"
    save_mask(tmp_path, "one.png", np.ones((80, 96), bool))
    (photographs / "b c.png").unlink()
    (photographs / "sub/a.jpg").unlink()
    one = Masks(camera_mask=tmp_path / "one.png")
    extract_to_database(database, photographs, options=SMALL, masks=Masks(masks))
    assert extract_to_database(database, photographs, options=SMALL, masks=Masks(masks)).already_there == 1
    with pytest.raises(RuntimeError, match="features with masks True, asked for is masks None:"):
        extract_to_database(database, photographs, options=SMALL)
    with pytest.raises(
        RuntimeError, match=r"with masks True, camera_mask None, asked for is camera_mask \w+, masks None:"
    ):
        extract_to_database(database, photographs, options=SMALL, masks=one)
    bordered = ExtractionOptions(max_edge=96, border=3)
    with pytest.raises(RuntimeError, match="features with border None, asked for is border 3:"):
        extract_to_database(database, photographs, options=bordered, masks=Masks(masks))


def test_a_folder_without_any_fitting_mask_is_refused_before_the_database_is_made(tmp_path, photographs, masks):
    (masks / "a.jpg.png").rename(masks / "other.png")
    (masks / "sub/a.png").rename(masks / "a.png.png")
    with pytest.raises(ValueError, match="no mask for any photograph"):
        extract_to_database(tmp_path / "db.db", photographs, options=SMALL, masks=Masks(masks))
    assert not (tmp_path / "db.db").exists()


SMALLER = ExtractionOptions(max_edge=64)


@pytest.fixture
def matched(tmp_path, photographs):
    """A database of the photographs, matched and refined."""
    path = tmp_path / "db.db"
    extract_to_database(path, photographs, options=SMALL)
    match_database(path, verification=VerificationOptions())
    with RefinementStore(path) as store:
        store.replace({image_id: store.keypoints(image_id)[:, :2] + 0.25 for image_id in (1, 2, 3)}, {"max_error": 2.0})
    return path


def test_overwritten_features_are_those_of_a_new_database(tmp_path, photographs, matched):
    with pytest.raises(RuntimeError, match=r"max_edge 96, asked for is max_edge 64: .* --overwrite to extract all"):
        extract_to_database(matched, photographs, options=SMALLER)
    assert extract_to_database(matched, photographs, options=SMALLER, overwrite=True).extracted == 3
    extract_to_database(tmp_path / "new.db", photographs, options=SMALLER)
    assert contents(matched) == contents(tmp_path / "new.db")
    for path in (matched, tmp_path / "new.db"):
        match_database(path, options=MatchingOptions(ratio=0.99), verification=VerificationOptions())
    assert contents(matched) == contents(tmp_path / "new.db")
    again = extract_to_database(matched, photographs, options=SMALLER)
    assert (again.extracted, again.already_there) == (0, 3)


def test_nothing_is_lost_of_a_photograph_until_its_new_features_are_there(tmp_path, photographs, matched, monkeypatch):
    before = contents(matched)
    with monkeypatch.context() as patched:
        stop_at(patched, "b c.png")
        with pytest.raises(KeyboardInterrupt):
            extract_to_database(matched, photographs, options=SMALLER, overwrite=True)
    stopped = require_whole(matched)
    assert list(read_all(matched)) == ["a.jpg"]
    assert stopped["matches"].keys() == {("b c.png", "sub/a.jpg")}
    for name in ("b c.png", "sub/a.jpg"):
        for kind in ("keypoints", "descriptors", "originals"):
            assert stopped[kind][name] == before[kind][name]
    with pytest.raises(RuntimeError, match="no features of 2 of 3 images"):
        match_database(matched, verification=None)
    summary = extract_to_database(matched, photographs, options=SMALLER, overwrite=True)
    assert (summary.extracted, summary.already_there) == (2, 1)
    extract_to_database(tmp_path / "new.db", photographs, options=SMALLER)
    assert contents(matched) == contents(tmp_path / "new.db")


def stop_at(monkeypatch, name):
    """Let extraction be interrupted when it is the photograph's turn."""
    load = extraction.load_photograph

    def stopping(path):
        if path.name == name:
            raise KeyboardInterrupt
        return load(path)

    monkeypatch.setattr(extraction, "load_photograph", stopping)


def test_a_stopped_overwriting_run_may_go_on_without_the_option(photographs, matched, monkeypatch):
    with monkeypatch.context() as patched:
        stop_at(patched, "b c.png")
        with pytest.raises(KeyboardInterrupt):
            extract_to_database(matched, photographs, options=SMALLER, overwrite=True)
    with pytest.raises(RuntimeError, match=r"max_edge 64, asked for is max_edge 96"):
        extract_to_database(matched, photographs, options=SMALL)
    assert extract_to_database(matched, photographs, options=SMALLER).extracted == 2
    assert extract_to_database(matched, photographs, options=SMALLER, overwrite=True).extracted == 3


def test_overwriting_is_refused_where_other_features_would_stay(tmp_path, photographs, matched):
    before = contents(matched)
    (photographs / "a.jpg").rename(tmp_path / "a.jpg")
    with pytest.raises(
        RuntimeError, match=r"max_edge 96 of 1 images, a\.jpg the first, that are not among the 2 photographs"
    ):
        extract_to_database(matched, photographs, options=SMALLER, overwrite=True)
    assert contents(matched) == before
    assert extract_to_database(matched, photographs, options=SMALL, overwrite=True).extracted == 2
    assert list(read_all(matched)) == ["a.jpg", "b c.png", "sub/a.jpg"]


def test_a_fingerprint_without_features_counts_as_none(photographs, matched):
    with pycolmap.Database.open(matched) as colmap:
        colmap.clear_descriptors()
    assert extract_to_database(matched, photographs, options=SMALLER).extracted == 3
    assert {features.input_size[0] for features in read_all(matched).values()} == {64}


def test_a_plain_run_keeps_features_of_a_broken_photograph_that_were_to_be_written_anew(photographs, matched):
    """Whatever run comes after the one that was stopped."""
    begin_overwriting(matched, ["a.jpg"], "other settings")
    content = (photographs / "a.jpg").read_bytes()
    (photographs / "a.jpg").write_bytes(content[: len(content) // 2])
    before = contents(matched)
    assert list(extract_to_database(matched, photographs, options=SMALL).skipped) == ["a.jpg"]
    after = contents(matched)
    assert (after["keypoints"], after["matches"]) == (before["keypoints"], before["matches"])


def test_another_extractors_features_are_not_overwritten(tmp_path, photographs):
    database = tmp_path / "db.db"
    create_database(database)
    import_photographs(database, photographs, ["a.jpg"])
    with pycolmap.Database.open(database) as colmap:
        colmap.write_keypoints(1, np.ones((2, 4), np.float32))
    with pytest.raises(RuntimeError, match="a database of their own"):
        extract_to_database(database, photographs, options=SMALL, overwrite=True)


def test_a_photograph_that_is_broken_by_now_keeps_its_features_until_it_is_mended(photographs, matched, caplog):
    whole = (photographs / "a.jpg").read_bytes()
    (photographs / "a.jpg").write_bytes(whole[: len(whole) // 2])
    before = contents(matched)
    for _ in range(2):  # the second run is asked for everything again, not just for what the first one left
        summary = extract_to_database(matched, photographs, options=SMALLER, overwrite=True)
        assert (summary.extracted, list(summary.skipped)) == (2, ["a.jpg"])
        assert "1 skipped photographs keep their old features, which d2sfm match leaves out, a.jpg" in caplog.text
    assert contents(matched)["keypoints"]["a.jpg"] == before["keypoints"]["a.jpg"]
    match_database(matched, verification=None)
    assert contents(matched)["matches"].keys() == {("b c.png", "sub/a.jpg")}
    (photographs / "a.jpg").write_bytes(whole)
    assert extract_to_database(matched, photographs, options=SMALLER).extracted == 1
    assert list(read_all(matched)) == ["a.jpg", "b c.png", "sub/a.jpg"]


def test_a_photograph_that_was_replaced_is_mentioned_and_extracted_again_with_a_new_camera(
    tmp_path, photographs, matched, caplog
):
    cv2.imwrite(str(photographs / "b c.png"), textured_picture(7, (64, 80)))
    assert extract_to_database(matched, photographs, options=SMALL).extracted == 0
    assert "1 photographs have another size than when they were extracted, b c.png the first" in caplog.text
    summary = extract_to_database(matched, photographs, options=SMALL, overwrite=True)
    assert (summary.extracted, summary.skipped) == (3, {})
    extract_to_database(tmp_path / "new.db", photographs, options=SMALL)
    assert contents(matched) == contents(tmp_path / "new.db")
    with MatchStore(matched) as store:
        cameras = {name: store.camera(image_id) for image_id, name in store.image_names().items()}
    assert (cameras["b c.png"].width, cameras["b c.png"].height) == (64, 80)
    with pycolmap.Database.open(matched) as colmap:
        assert colmap.num_cameras() == colmap.num_frames() == colmap.num_rigs() == 3


def test_a_photograph_replaced_by_a_broken_one_keeps_its_camera_and_features(photographs, matched):
    cv2.imwrite(str(photographs / "b c.png"), textured_picture(7, (64, 80)))
    content = (photographs / "b c.png").read_bytes()
    (photographs / "b c.png").write_bytes(content[: len(content) // 2])
    before = contents(matched)
    summary = extract_to_database(matched, photographs, options=SMALL, overwrite=True)
    assert list(summary.skipped) == ["b c.png"]
    assert contents(matched)["keypoints"]["b c.png"] == before["keypoints"]["b c.png"]


@pytest.mark.parametrize("change", ["replaced", "broken", "deleted"])
def test_photographs_that_change_during_the_run_are_named(tmp_path, photographs, change, monkeypatch):
    """Between the look at all headers and their turn."""
    import_folder = extraction.import_folder

    def change_after_import(*arguments):
        left_out = import_folder(*arguments)
        if change == "replaced":
            cv2.imwrite(str(photographs / "b c.png"), textured_picture(7, (64, 80)))
        elif change == "broken":
            (photographs / "b c.png").write_bytes((photographs / "b c.png").read_bytes()[:-500])
        else:
            (photographs / "b c.png").unlink()
        return left_out

    monkeypatch.setattr(extraction, "import_folder", change_after_import)
    summary = extract_to_database(tmp_path / "db.db", photographs, options=SMALL)
    expected = {"replaced": "is 64 x 80 px, expected 112 x 80 px", "broken": "cut short", "deleted": "No such file"}
    assert list(summary.skipped) == ["b c.png"]
    assert expected[change] in summary.skipped["b c.png"]
    assert require_whole(tmp_path / "db.db")["images"] == ["a.jpg", "sub/a.jpg"]
    monkeypatch.undo()
    again = extract_to_database(tmp_path / "db.db", photographs, options=SMALL)
    assert (again.extracted, len(again.skipped)) == {"replaced": (1, 0), "broken": (0, 1), "deleted": (0, 0)}[change]


def test_files_of_the_same_settings_are_overwritten_on_request(tmp_path, photographs):
    (tmp_path / "list.txt").write_text(f"{photographs / 'a.jpg'}\n")
    run = {"options": SMALL, "storage": StorageOptions(output_extension=".feat")}
    for overwrite, extracted in ((False, 1), (False, 0), (True, 1)):
        assert extract_to_files(tmp_path / "list.txt", overwrite=overwrite, **run).extracted == extracted
