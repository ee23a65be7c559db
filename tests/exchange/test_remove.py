"""Photographs taken out of a database: by name, or because their files are gone."""

import pytest
from support.database_contents import contents, require_whole
from support.transfer_files import NAMES, write_database, write_photographs

from d2sfm.database import FeatureStore
from d2sfm.exchange.remove import remove_images

OTHERS = ["c.png", "d.png"]


@pytest.fixture
def folder(tmp_path):
    return write_photographs(tmp_path / "photographs", [*NAMES, *OTHERS])


@pytest.fixture
def database(tmp_path, folder):
    return write_database(tmp_path / "db.db", folder, [*NAMES, *OTHERS])


def without(found, names):
    """The contents of a database less what is of these images."""

    def is_of(key):
        return key in names or (isinstance(key, tuple) and set(key) & set(names))

    return {
        table: [name for name in rows if name not in names]
        if isinstance(rows, list)
        else {key: row for key, row in rows.items() if table == "settings" or not is_of(key)}
        for table, rows in found.items()
    }


def test_named_images_go_with_all_that_hangs_on_them_and_nothing_else(tmp_path, database, folder):
    expected = without(contents(database), ["a.png", "sub/a.png"])
    assert len(expected["matches"]) == 3
    summary = remove_images(database, ["a.png", "sub/a.png", "a.png"])
    assert str(summary) == "remove: took out 2 images, 3 left"
    assert require_whole(database) == expected
    # As if they had never been there, but for the ids.
    never = write_database(tmp_path / "never.db", folder, ["b c.png", *OTHERS])
    assert sorted(contents(never)["cameras"]) == sorted(expected["cameras"])


def test_a_dry_run_tells_and_changes_nothing(database):
    before = database.read_bytes()
    assert str(remove_images(database, ["d.png"], dry_run=True)) == "d.png\nremove: would take out 1 image, 4 left"
    assert database.read_bytes() == before


def test_missing_photographs_go(database, folder):
    """The case deleted_photograph."""
    expected = without(contents(database), ["c.png"])
    (folder / "c.png").unlink()
    assert remove_images(database, missing=True).removed == ("c.png",)
    assert require_whole(database) == expected
    assert remove_images(database, missing=True).removed == ()


def test_a_disk_that_is_not_there_takes_nothing_with_it(tmp_path, database, folder):
    before = contents(database)
    with pytest.raises(RuntimeError, match=r"lacks 5 of 5 photographs: check the folder and its disk"):
        remove_images(database, missing=True, images=tmp_path)
    for name in NAMES:
        (folder / name).unlink()
    with pytest.raises(RuntimeError, match="lacks 3 of 5 photographs"):
        remove_images(database, missing=True)
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"no folder of photographs .*photographs: give --images"):
        remove_images(database, missing=True)
    assert contents(database) == before


def test_a_link_to_a_disk_that_is_not_there_is_not_missing(tmp_path, database, folder):
    (folder / "c.png").unlink()
    (folder / "c.png").symlink_to(tmp_path / "not_mounted" / "c.png")
    assert remove_images(database, missing=True).removed == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "expected names of images or --image-list, or --missing alone"),
        ({"names": ["a.png"], "missing": True}, "expected names of images or --image-list, or --missing alone"),
        ({"names": ["a.png", "e.png", "f.png"]}, r"no image of that name: 2 names \(e\.png the first\)"),
    ],
)
def test_what_can_not_be_meant_is_refused(database, arguments, message):
    before = contents(database)
    with pytest.raises(ValueError, match=message):
        remove_images(database, **arguments)
    assert contents(database) == before
    with FeatureStore(database) as store:
        assert len(store.images()) == 5
