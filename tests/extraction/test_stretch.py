"""Photographs of 16 bits that use little of their range are stretched, and that is kept; others stay to the bit."""

import cv2
import numpy as np
import pytest
from support.helpers import textured_picture
from support.photograph_folder import read_all

from d2sfm.database import FeatureStore
from d2sfm.database.connection import Connection
from d2sfm.exchange.export import export_database
from d2sfm.exchange.extract_to_files import extract_to_files
from d2sfm.exchange.import_features import import_features
from d2sfm.exchange.merge import merge_databases
from d2sfm.extraction.extract import extract_to_database
from d2sfm.features.extractor import Extractor
from d2sfm.features.fingerprints import stretch_of
from d2sfm.formats.npz_mat import read_features
from d2sfm.network.map_cache import MapCache
from d2sfm.options import ExportOptions, ExtractionOptions, MapCacheOptions, Stretch

pytestmark = pytest.mark.usefixtures("one_thread", "narrow_network")
SIZE = (80, 60)


def options(stretch="folder"):
    return ExtractionOptions(max_edge=64, stretch=stretch, device="cpu")  # features equal to the bit


def thermal(seed, low=29000, step=0.5):
    """Values of 16 bits, [H, W], of which 8 bits would leave one grey or two."""
    return (low + textured_picture(seed, SIZE)[..., 0] * step).astype(np.uint16)


def range_of(*pictures):
    values = np.concatenate([picture.ravel() for picture in pictures])
    return tuple(np.quantile(values, [0.001, 0.999], method="inverted_cdf").tolist())


def in_8_bits(picture, low, high):
    grey = np.rint((np.clip(picture.astype(float), low, high) - low) / (high - low) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def save(folder, **pictures):
    folder.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        cv2.imwrite(str(folder / f"{name}.png"), picture)
    return folder


@pytest.fixture
def photographs(tmp_path):
    """Two thermal ones, one of 8 bits, and one that uses its 16 bits."""
    others = {"eight": textured_picture(2, SIZE), "whole": textured_picture(3, SIZE)[..., 0].astype(np.uint16) * 257}
    return save(tmp_path / "photographs", a=thermal(0), b=thermal(1, 29040), **others)


def stretches(database):
    with FeatureStore(database) as store:
        ranges, fingerprints = store.grey_ranges(), store.extracted()
    return ranges, {name: stretch_of(fingerprint) for name, fingerprint in fingerprints.items()}


@pytest.mark.slow
def test_one_range_for_the_folder_and_others_as_without(tmp_path, photographs, caplog):
    caplog.set_level("INFO")
    extract_to_database(tmp_path / "plain.db", photographs, options=options("none"))
    assert "stretched" not in caplog.text
    extract_to_database(tmp_path / "db.db", photographs, options=options())
    common = range_of(thermal(0), thermal(1, 29040))
    assert f"stretched from {common[0]}..{common[1]} to 0..255" in caplog.text
    assert "2 photographs (a.png the first)" in caplog.text
    plain, found = read_all(tmp_path / "plain.db"), read_all(tmp_path / "db.db")
    for name in ("eight.png", "whole.png"):
        np.testing.assert_array_equal(found[name].descriptors, plain[name].descriptors)
        np.testing.assert_array_equal(found[name].keypoints, plain[name].keypoints)
    for name, picture in (("a.png", thermal(0)), ("b.png", thermal(1, 29040))):
        expected = Extractor(options()).extract(in_8_bits(picture, *common))
        np.testing.assert_array_equal(found[name].keypoints, expected.keypoints)
        assert not np.array_equal(expected.keypoints, plain[name].keypoints)
        assert found[name].grey_range == common
    assert stretches(tmp_path / "plain.db") == ({}, dict.fromkeys(plain, Stretch.NONE))
    told = dict.fromkeys(plain, Stretch.NONE) | {"a.png": common, "b.png": common}
    assert stretches(tmp_path / "db.db") == ({"a.png": common, "b.png": common}, told)


def test_each_from_its_own_range(tmp_path, photographs):
    extract_to_database(tmp_path / "db.db", photographs, options=options("image"))
    expected = {"a.png": range_of(thermal(0)), "b.png": range_of(thermal(1, 29040))}
    ranges, told = stretches(tmp_path / "db.db")
    assert ranges == expected
    assert told["a.png"] is told["b.png"] is Stretch.IMAGE
    alone = Extractor(options()).extract(photographs / "a.png")  # is a folder of one
    assert alone.grey_range == expected["a.png"]
    np.testing.assert_array_equal(alone.keypoints, read_all(tmp_path / "db.db")["a.png"].keypoints)
    assert Extractor(options()).extract(photographs / "a.png", grey_range=(28000, 30000)).grey_range == (28000, 30000)


@pytest.mark.slow
def test_a_later_run_keeps_the_range_and_names_what_is_clipped(tmp_path, photographs, caplog):
    database = tmp_path / "db.db"
    extract_to_database(database, photographs, options=options())
    common = stretches(database)[0]["a.png"]
    save(photographs, c=thermal(4), hot=thermal(5, 29200))
    assert extract_to_database(database, photographs, options=options()).extracted == 2
    assert set(stretches(database)[0].values()) == {common}
    assert f"range {common[0]}..{common[1]} from which photographs are stretched" in caplog.text
    assert "1 photograph (hot.png)" in caplog.text
    save(photographs, d=thermal(6))
    before = stretches(database)
    for other in ("image", "none"):
        refused = pytest.raises(
            RuntimeError, match=f"with --stretch folder, but this run asks for --stretch {other}: use"
        )
        with refused:
            extract_to_database(database, photographs, options=options(other))
        with refused:
            extract_to_database(database, photographs, options=options(other), only=["a.png"], overwrite=True)
    assert stretches(database) == before
    extract_to_database(database, photographs, options=options(), overwrite=True)
    assert stretches(database)[0]["a.png"][1] > common[1]


def test_a_database_of_before_goes_on_and_names_what_was_not_stretched(tmp_path, photographs, caplog):
    database = tmp_path / "db.db"
    extract_to_database(database, photographs, options=options("none"))
    with Connection(database) as connection:
        for column in ("grey_low", "grey_high"):
            connection.rows(f"ALTER TABLE d2sfm_features DROP COLUMN {column}")
    assert stretches(database)[0] == {}
    assert extract_to_database(database, photographs, options=options()).extracted == 0
    assert "stretched" not in caplog.text
    save(photographs, c=thermal(4))
    assert extract_to_database(database, photographs, options=options()).extracted == 1
    assert list(stretches(database)[0]) == ["c.png"]
    assert "extracted without stretching, so they match stretched ones badly: 2 photographs (a.png" in caplog.text


def test_transparent_pixels_have_no_say_and_flat_pictures_are_left(tmp_path):
    picture = np.repeat(thermal(0)[..., None], 4, axis=2)
    picture[..., 3] = 65535
    picture[:, :20] = 0
    folder = save(tmp_path / "photographs", a=picture, flat=np.full((60, 80), 300, np.uint16))
    extract_to_database(tmp_path / "db.db", folder, options=options())
    assert stretches(tmp_path / "db.db")[0] == {"a.png": range_of(thermal(0)[:, 20:])}


@pytest.mark.slow
def test_export_import_and_merge_keep_it(tmp_path, photographs):
    extract_to_database(tmp_path / "db.db", photographs, options=options())
    for layout, features in (("hloc", "hloc/features.h5"), ("npz", "npz")):
        export_database(tmp_path / "db.db", tmp_path / layout, options=ExportOptions(format=layout))
        import_features(tmp_path / f"{layout}.db", photographs, tmp_path / features)
        assert stretches(tmp_path / f"{layout}.db") == stretches(tmp_path / "db.db")
    other = save(tmp_path / "others", c=textured_picture(7, SIZE))
    extract_to_database(tmp_path / "c.db", other, options=options())
    save(photographs, c=textured_picture(7, SIZE))
    merge_databases([tmp_path / "c.db", tmp_path / "db.db"], tmp_path / "merged.db", photographs)
    assert stretches(tmp_path / "merged.db")[0] == stretches(tmp_path / "db.db")[0]
    cold = save(tmp_path / "cold", e=thermal(0, 500))
    extract_to_database(tmp_path / "cold.db", cold, options=options())
    with pytest.raises(RuntimeError, match="features of different settings are not mixed"):
        merge_databases([tmp_path / f"{name}.db" for name in ("c", "db", "cold")], tmp_path / "m.db", photographs)


def test_files_of_a_list_follow_its_range(tmp_path, photographs):
    names = [str(photographs / f"{name}.png") for name in ("a", "b", "eight")]
    (tmp_path / "list.txt").write_text("\n".join(names))
    assert extract_to_files(tmp_path / "list.txt", options=options()).extracted == 3
    assert read_features(f"{names[0]}.d2-net").grey_range == range_of(thermal(0), thermal(1, 29040))
    assert extract_to_files(tmp_path / "list.txt", options=options()).already_there == 3
    (tmp_path / "list.txt").write_text("\n".join(names[::2]))
    assert list(extract_to_files(tmp_path / "list.txt", options=options()).skipped) == names[:1]
    assert extract_to_files(tmp_path / "list.txt", options=options(), overwrite=True).extracted == 2
    assert read_features(f"{names[0]}.d2-net").grey_range == range_of(thermal(0))


def test_maps_are_kept_by_range(tmp_path, photographs, monkeypatch):
    kept, put = [], MapCache.put
    monkeypatch.setattr(MapCache, "put", lambda self, *given: kept.append((self, given)) or put(self, *given))
    cache = MapCacheOptions(cache=tmp_path / "maps")
    extract_to_database(tmp_path / "db.db", photographs, options=options(), cache=cache)
    [(maps, (path, size, _, orientation, common))] = [each for each in kept if each[1][0].name == "a.png"]
    assert common == stretches(tmp_path / "db.db")[0]["a.png"]
    assert maps.get(path, size, orientation, common) is not None
    assert maps.get(path, size, orientation) is None
