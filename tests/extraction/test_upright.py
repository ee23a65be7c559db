"""Photographs that are stored turned: the network sees them upright, keypoints belong to the stored pixels."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image
from support.helpers import textured_picture
from support.photograph_folder import read_all

from d2sfm.coordinates import stored_array, upright_from_stored, upright_size
from d2sfm.database import FeatureStore
from d2sfm.database.connection import Connection
from d2sfm.extraction.extract import extract_to_database
from d2sfm.features.extractor import Extractor
from d2sfm.options import CameraOptions, Convention, ExtractionOptions, MapCacheOptions, MaskOptions

pytestmark = pytest.mark.usefixtures("one_thread", "narrow_network")
SIZE = (112, 80)
OPTIONS = ExtractionOptions(max_edge=96)


def save_stored(path, upright, orientation):
    """A PNG that is stored turned, with the EXIF orientation that makes it upright."""
    picture = Image.fromarray(stored_array(upright, orientation))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, exif=exif)


@pytest.fixture
def folder(tmp_path):
    """One picture, stored in all eight ways."""
    for orientation in range(1, 9):
        save_stored(tmp_path / "photographs" / f"{orientation}.png", textured_picture(0, SIZE), orientation)
    return tmp_path / "photographs"


@pytest.mark.slow
def test_features_of_a_turned_photograph_are_those_of_the_upright_one(tmp_path, folder):
    summary = extract_to_database(tmp_path / "db.db", folder, options=OPTIONS)
    assert summary.extracted == 8
    found = read_all(tmp_path / "db.db")
    upright = found["1.png"]
    for orientation in range(1, 9):
        features = found[f"{orientation}.png"]
        assert features.orientation == orientation
        assert features.image_size == upright_size(SIZE, orientation)
        assert features.input_size == upright_size(upright.input_size, orientation)
        np.testing.assert_array_equal(features.descriptors, upright.descriptors)
        np.testing.assert_array_equal(features.keypoints[:, 2:], upright.keypoints[:, 2:])
        turned = upright_from_stored(features.keypoints[:, :2], features.image_size, orientation)
        np.testing.assert_allclose(turned, upright.keypoints[:, :2], atol=1e-4)  # float32 from either end
    with FeatureStore(tmp_path / "db.db") as store:
        assert store.orientations() == {f"{orientation}.png": orientation for orientation in range(1, 9)}
        assert len({round(factor, 6) for factor in store.resize_factors().values()}) == 1


def test_the_extractor_turns_a_file_but_not_an_array(folder):
    extractor = Extractor(OPTIONS)
    of_file = extractor.extract(folder / "6.png")
    stored = stored_array(textured_picture(0, SIZE), 6)
    np.testing.assert_array_equal(of_file.descriptors, extractor.extract(folder / "1.png").descriptors)
    assert extractor.extract(stored).orientation == 1
    as_stored = Extractor(ExtractionOptions(max_edge=96, orientation="none")).extract(folder / "6.png")
    np.testing.assert_array_equal(as_stored.keypoints, extractor.extract(stored).keypoints)


def test_as_stored_on_request_and_in_the_published_frame(tmp_path, folder):
    extract_to_database(tmp_path / "db.db", folder, options=ExtractionOptions(max_edge=96, orientation="none"))
    found = read_all(tmp_path / "db.db")
    assert {features.orientation for features in found.values()} == {1}
    assert not np.array_equal(found["6.png"].descriptors, found["1.png"].descriptors)
    assert ExtractionOptions(convention="reference").orientation == "none"
    with pytest.raises(ValueError, match="orientation auto goes with convention colmap"):
        ExtractionOptions(convention=Convention.REFERENCE, orientation="auto")


@pytest.mark.parametrize("is_upright", [False, True])
@pytest.mark.parametrize("orientation", [1, 6, 7, 8])
def test_masks_are_stored_as_their_photographs_or_upright(tmp_path, orientation, is_upright):
    upright = np.ones((80, 112), bool)
    upright[:30, :50] = False
    save_stored(tmp_path / "photographs/a.png", textured_picture(0, SIZE), orientation)
    (tmp_path / "masks").mkdir()
    mask = upright if is_upright else stored_array(upright, orientation)
    cv2.imwrite(str(tmp_path / "masks/a.png.png"), mask.astype(np.uint8) * 255)
    masks = MaskOptions(masks=tmp_path / "masks")
    extract_to_database(tmp_path / "db.db", tmp_path / "photographs", options=OPTIONS, masks=masks)
    [features] = read_all(tmp_path / "db.db").values()
    x, y = np.floor(upright_from_stored(features.keypoints[:, :2], features.image_size, orientation)).astype(int).T
    assert len(features) > 10
    assert upright[y, x].all()


def test_a_mask_whose_size_does_not_tell_is_taken_as_stored_and_said_once(tmp_path, caplog):
    upright = np.ones((80, 112), bool)
    upright[:40] = False
    (tmp_path / "masks").mkdir()
    for name in ("a", "b"):
        save_stored(tmp_path / f"photographs/{name}.png", textured_picture(0, SIZE), 3)
        cv2.imwrite(str(tmp_path / f"masks/{name}.png"), stored_array(upright, 3).astype(np.uint8) * 255)
    masks = MaskOptions(masks=tmp_path / "masks")
    extract_to_database(tmp_path / "db.db", tmp_path / "photographs", options=OPTIONS, masks=masks)
    assert caplog.text.count("the size of its mask does not show whether it was turned: taken as stored") == 1
    for features in read_all(tmp_path / "db.db").values():
        assert (features.keypoints[:, 1] < 40).all()


def of_an_earlier_version(path):
    """Take the column away that earlier versions did not have."""
    with Connection(path) as connection:
        connection.rows("ALTER TABLE d2sfm_features DROP COLUMN orientation")


@pytest.mark.slow
def test_a_database_of_before_goes_on_and_names_its_turned_photographs(tmp_path, folder, caplog):
    database = tmp_path / "db.db"
    (folder / "8.png").rename(tmp_path / "8.png")
    extract_to_database(database, folder, options=ExtractionOptions(max_edge=96, orientation="none"))
    before = {name: features.keypoints for name, features in read_all(database).items()}
    of_an_earlier_version(database)
    assert {features.orientation for features in read_all(database).values()} == {1}
    (tmp_path / "8.png").rename(folder / "8.png")
    assert extract_to_database(database, folder, options=OPTIONS).extracted == 1
    assert "match upright ones badly: 6 photographs (2.png the first) (--overwrite extracts again; " in caplog.text
    found = read_all(database)
    assert all(np.array_equal(found[name].keypoints, keypoints) for name, keypoints in before.items())
    assert {name: features.orientation for name, features in found.items()} == dict.fromkeys(before, 1) | {"8.png": 8}
    caplog.clear()
    assert extract_to_database(database, folder, options=OPTIONS, overwrite=True).extracted == 8
    assert extract_to_database(database, folder, options=OPTIONS).already_there == 8
    assert "badly" not in caplog.text
    extract_to_database(database, folder, options=ExtractionOptions(max_edge=96, orientation="none"))
    assert "match ones as stored badly: 7 photographs (2.png the first)" in caplog.text


def test_photographs_without_a_tag_give_the_features_of_before_to_the_bit(tmp_path):
    (tmp_path / "photographs").mkdir()
    cv2.imwrite(str(tmp_path / "photographs/a.png"), textured_picture(0, SIZE)[..., ::-1])
    extract_to_database(tmp_path / "db.db", tmp_path / "photographs", options=OPTIONS)
    [features] = read_all(tmp_path / "db.db").values()
    fresh = Extractor(OPTIONS).extract(textured_picture(0, SIZE))
    np.testing.assert_array_equal(features.keypoints, fresh.keypoints)
    assert features.orientation == 1


@pytest.mark.slow
def test_turned_photographs_share_batches_cameras_and_map_caches(tmp_path, folder):
    """Orientation 3 has the size of 1, so nothing but the orientation tells their maps apart."""
    cache = MapCacheOptions(cache=tmp_path / "maps")
    cameras = CameraOptions(camera_mode="auto")
    extract_to_database(tmp_path / "db.db", folder, options=OPTIONS, cameras=cameras, cache=cache)
    assert len(list((tmp_path / "maps").iterdir())) == 8


@pytest.mark.slow
def test_the_rest_is_found_from_the_pictures(tmp_path, caplog):
    """Views of one place without tags, one stored on its side, one with a tag; what the database knows stays."""
    place, folder = textured_picture(3, (320, 200)), tmp_path / "photographs"
    views = {f"{number}.png": place[:, 30 * number : 30 * number + 200] for number in range(5)}
    folder.mkdir()
    for number, (name, view) in enumerate(views.items()):
        if number == 4:
            save_stored(folder / name, view, 8)
        elif number != 2:
            cv2.imwrite(str(folder / name), view[..., ::-1])
    options, database = ExtractionOptions(max_edge=160, orientation="auto"), tmp_path / "db.db"
    caplog.set_level("INFO")
    extract_to_database(database, folder, options=options)
    assert "orientation: 0 of 4 photographs turned" in caplog.text
    cv2.imwrite(str(folder / "2.png"), np.ascontiguousarray(stored_array(views["2.png"], 6))[..., ::-1])
    extract_to_database(database, folder, options=options)
    assert "orientation: 1 of 5 photographs turned (1 to the right)" in caplog.text
    with FeatureStore(database) as store:
        assert store.orientations() == {"0.png": 1, "1.png": 1, "2.png": 6, "3.png": 1, "4.png": 8}


@pytest.mark.parametrize(("way", "further"), [("auto", 3), ("auto", 8), ("none", None), ("exif", None)])
def test_a_mask_that_is_upright_by_exif_fits_however_the_photograph_is_turned(tmp_path, monkeypatch, way, further):
    photographs, masks = tmp_path / "photographs", tmp_path / "masks"
    save_stored(photographs / "a.png", textured_picture(0, SIZE), 6)
    masks.mkdir()
    rows = np.arange(SIZE[1])[:, None] + np.zeros(SIZE[0], int)
    cv2.imwrite(str(masks / "a.png.png"), np.where(rows < SIZE[1] // 2, 0, 255))
    turns = SimpleNamespace(orientation={"a.png": further})
    monkeypatch.setattr("d2sfm.orientation.find.find_turns", lambda *given, **options: turns)
    options = replace(OPTIONS, orientation=way)
    summary = extract_to_database(tmp_path / "db.db", photographs, options=options, masks=MaskOptions(masks=masks))
    assert (summary.extracted, summary.skipped) == (1, {})
    features = read_all(tmp_path / "db.db")["a.png"]
    upright = upright_from_stored(features.keypoints[:, :2], features.image_size, 6)
    assert len(upright)
    assert upright[:, 1].min() >= SIZE[1] // 2
