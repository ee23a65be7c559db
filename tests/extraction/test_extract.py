"""A folder of photographs becomes a database with features, and goes on where it was stopped."""

import json
import shutil
import sqlite3
from dataclasses import replace

import cv2
import numpy as np
import pycolmap
import pytest
from PIL import Image
from support.database_contents import require_whole
from support.helpers import save_plain_weights, textured_picture
from support.photograph_folder import SMALL, TINY, read_all

from d2sfm.database import FeatureStore, ForeignStore
from d2sfm.extraction import extract
from d2sfm.extraction.extract import extract_to_database
from d2sfm.features.extractor import Extractor
from d2sfm.network import device
from d2sfm.options import DescriptorDtype, ExtractionOptions, MapCacheOptions, StorageOptions
from d2sfm.photographs.reading import load_photograph

pytestmark = pytest.mark.usefixtures("narrow_network")


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


@pytest.mark.slow
def test_a_database_goes_on_in_its_own_precision_and_is_overwritten_in_the_processors(
    tmp_path, photographs, monkeypatch
):
    def precision_of(has_bfloat16, options=SMALL, **keywords):
        monkeypatch.setattr(device, "has_bfloat16", lambda of: has_bfloat16)
        extract_to_database(tmp_path / "db.db", photographs, options=options, **keywords)
        with FeatureStore(tmp_path / "db.db") as store:
            [found] = {json.loads(fingerprint)["precision"] for fingerprint in store.extracted().values()}
        return found

    assert precision_of(True, only=["a.jpg"]) == "bfloat16"
    assert precision_of(False) == "bfloat16"
    with pytest.raises(RuntimeError, match="precision bfloat16, but this run asks for precision float32"):
        precision_of(True, replace(SMALL, precision="float32"))
    assert precision_of(False, overwrite=True) == "float32"
    assert precision_of(True) == "float32"


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


def test_a_cache_of_maps_that_are_not_computed_is_refused(tmp_path, photographs):
    options = ExtractionOptions(max_edge=64, device="cpu", scales=(0.5,))
    with pytest.raises(ValueError, match="keeps feature maps of scale 1"):
        extract_to_database(
            tmp_path / "db.db", photographs, options=options, cache=MapCacheOptions(cache=tmp_path / "cache")
        )
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
    with ForeignStore(database) as store:
        assert store.images() == ["a.jpg"]


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


def test_more_keypoints_than_a_row_can_hold_skip_the_photograph(tmp_path, photographs, monkeypatch):
    monkeypatch.setattr("d2sfm.database.descriptor_rows.MAX_ROW_BYTES", 2000)
    summary = extract_to_database(tmp_path / "db.db", photographs, options=SMALL)
    assert list(summary.skipped) == ["a.jpg", "b c.png", "sub/a.jpg"]
    assert all("use --max-keypoints 1" in reason for reason in summary.skipped.values())
    with FeatureStore(tmp_path / "db.db") as store:
        assert store.images() == {}


def test_a_picture_without_any_keypoint_is_a_whole_row(tmp_path, photographs):
    options = ExtractionOptions(weights=save_plain_weights(tmp_path / "zero.pth", gain=0), max_edge=96)
    summary = extract_to_database(tmp_path / "db.db", photographs, options=options)
    assert summary.without_keypoints == ["a.jpg", "b c.png", "sub/a.jpg"]
    assert not summary.skipped
    features = read_all(tmp_path / "db.db")["a.jpg"]
    assert features.keypoints.shape == (0, 4)
    assert features.descriptors.shape == (0, 512)


def test_on_request_exif_orientation_does_not_count(tmp_path, photographs):
    """A picture marked as turned then has the keypoints of its stored pixels; its camera has always their size."""
    folder = tmp_path / "turned"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(photographs / "b c.png").save(folder / "b c.png", exif=exif)
    extract_to_database(tmp_path / "turned.db", folder, options=replace(SMALL, orientation="none"))
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
    with pytest.raises(RuntimeError, match="not a COLMAP database"):
        extract_to_database(database, photographs, options=SMALL)
    assert database.read_text() == "no database"
    database.unlink()
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE other (x)")
    connection.close()
    with pytest.raises(RuntimeError, match="not a COLMAP database"):
        extract_to_database(database, photographs, options=SMALL)


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

    def stop_at_the_second(self, pictures, on_maps):
        if pictures[0].image_size[0] > 96:
            raise KeyboardInterrupt
        return extract_batch(self, pictures, on_maps)

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


@pytest.mark.parametrize("change", ["replaced", "broken", "deleted"])
def test_photographs_that_change_during_the_run_are_named(tmp_path, photographs, change, monkeypatch):
    """Between the look at all headers and their turn."""
    import_folder = extract.import_folder

    def change_after_import(*arguments):
        left_out = import_folder(*arguments)
        if change == "replaced":
            cv2.imwrite(str(photographs / "b c.png"), textured_picture(7, (64, 80)))
        elif change == "broken":
            (photographs / "b c.png").write_bytes((photographs / "b c.png").read_bytes()[:-500])
        else:
            (photographs / "b c.png").unlink()
        return left_out

    monkeypatch.setattr(extract, "import_folder", change_after_import)
    summary = extract_to_database(tmp_path / "db.db", photographs, options=SMALL)
    expected = {"replaced": "is 64 x 80 px, expected 112 x 80 px", "broken": "cut short", "deleted": "No such file"}
    assert list(summary.skipped) == ["b c.png"]
    assert expected[change] in summary.skipped["b c.png"]
    assert require_whole(tmp_path / "db.db")["images"] == ["a.jpg", "sub/a.jpg"]
    monkeypatch.undo()
    again = extract_to_database(tmp_path / "db.db", photographs, options=SMALL)
    assert (again.extracted, len(again.skipped)) == {"replaced": (1, 0), "broken": (0, 1), "deleted": (0, 0)}[change]


def test_only_a_part_of_the_folder_is_extracted_and_the_rest_is_not_called_missing(tmp_path, photographs, caplog):
    database = tmp_path / "db.db"
    summary = extract_to_database(database, photographs, options=TINY, only=["sub/*"])
    assert (summary.extracted, list(read_all(database))) == (1, ["sub/a.jpg"])
    summary = extract_to_database(database, photographs, options=TINY, only=["b*", "sub"])
    assert (summary.extracted, summary.already_there) == (1, 1)
    for name in ("b c.png", "sub/a.jpg"):
        (photographs / name).unlink()
    shutil.copy(photographs / "a.jpg", photographs / "sub/d.jpg")
    assert "not in" not in caplog.text
    extract_to_database(database, photographs, options=TINY, only=["sub"])
    assert "no longer in " in caplog.text
    assert ": 1 photograph (sub/a.jpg)" in caplog.text
    with pytest.raises(ValueError, match=r"none of the 2 photographs below .* matches 'usb/\*' of --only"):
        extract_to_database(database, photographs, options=TINY, only=["sub/*", "usb/*"])
