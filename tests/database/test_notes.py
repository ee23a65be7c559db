"""What runs note for later ones."""

import shutil

import pycolmap
import pytest
from support.transfer_files import write_database, write_photographs

from d2sfm.database import FeatureStore, Note, create_database, working_copy
from d2sfm.database.connection import Connection, open_pycolmap
from d2sfm.database.notes import Notes


@pytest.fixture
def database(tmp_path):
    create_database(tmp_path / "db.db")
    return tmp_path / "db.db"


def test_settings_are_kept_and_replaced(database):
    with FeatureStore(database) as store:
        assert store.notes.read(Note.IMAGES) is None
        store.notes.write(Note.IMAGES, "/one")
        store.notes.write(Note.IMAGES, "/photos/Füße")
        assert store.notes.read(Note.COPY_OF) is None
    with FeatureStore(database) as store:
        assert store.notes.read(Note.IMAGES) == "/photos/Füße"


def test_a_project_that_is_copied_or_moved_keeps_its_folder(tmp_path):
    """The case copied_project: the copy's photographs are beside the copy, also while the original is there."""
    project = tmp_path / "project"
    write_photographs(project / "photos")
    write_database(project / "db.db", project / "photos")
    with FeatureStore(project / "db.db") as store:
        store.notes.note_images_folder(project / "photos")
    shutil.copytree(project, tmp_path / "copy")
    shutil.copy(project / "db.db", tmp_path / "alone.db")  # photos lies elsewhere from here

    def folder(path):
        with FeatureStore(path) as store:
            return store.notes.find_images_folder(None)

    assert folder(tmp_path / "copy" / "db.db") == tmp_path / "copy" / "photos"
    assert folder(tmp_path / "alone.db") == folder(project / "db.db") == project / "photos"
    (tmp_path / "photos").mkdir()  # another one, of that name, which holds none of the photographs
    assert folder(tmp_path / "alone.db") == project / "photos"
    project.rename(tmp_path / "moved")
    assert folder(tmp_path / "moved" / "db.db") == tmp_path / "moved" / "photos"
    with pytest.raises(FileNotFoundError, match=r"no folder of photographs .*project/photos: give --images"):
        folder(tmp_path / "alone.db")
    working_copy(tmp_path / "moved" / "db.db", tmp_path / "work.db")
    assert folder(tmp_path / "work.db") == tmp_path / "moved" / "photos"


def test_settings_of_matching_are_kept_and_replaced(database):
    with FeatureStore(database) as store:
        assert store.notes.match_settings() == {}
        store.notes.note_match_settings({"ratio": None, "max_error": 4.0})
        store.notes.note_match_settings({"ratio": None})
    with FeatureStore(database) as store:
        assert store.notes.match_settings() == {"ratio": None}


def test_a_note_is_removed_alone(database):
    with Connection(database) as connection:
        notes = Notes(connection)
        notes.remove(Note.MATCH)  # no run has noted anything
        notes.write(Note.MATCH, "{}")
        notes.write(Note.COPY_OF, "/one.db")
        notes.remove(Note.MATCH)
        notes.remove(Note.OVERWRITING)
        assert notes.all() == {"copy_of": "/one.db"}


def test_the_note_of_refinement_holds_while_there_are_originals(database):
    """Features that are written again lose their originals, the note stays; those that are to be have no say."""
    with open_pycolmap(database) as colmap:
        camera_id = colmap.write_camera(pycolmap.Camera(model="PINHOLE", width=4, height=4, params=[1, 1, 2, 2]))
        colmap.write_image(pycolmap.Image(name="a.jpg", camera_id=camera_id))
    with Connection(database) as connection:
        notes = Notes(connection)
        assert notes.refinement() == {}
        notes.write(Note.REFINEMENT, '{"seed": 1}')
        assert notes.refinement() == {}
        connection.rows(
            "INSERT INTO d2sfm_features VALUES (1, 4, 4, '[1]', 'colmap', 'settings', '', 1, NULL, NULL, 0)"
        )
        connection.rows("INSERT INTO d2sfm_original_keypoints VALUES (1, '')")
        assert notes.refinement() == {"seed": 1}
        connection.rows("UPDATE d2sfm_features SET fingerprint = ''")
        assert notes.refinement() == {}


def test_keys_are_stored_as_text(database):
    with Connection(database) as connection:
        for note in Note:
            Notes(connection).write(note, note)
        found = connection.rows("SELECT key, value, typeof(key) FROM d2sfm_settings ORDER BY rowid")
    assert found == [(key, key, "text") for key in Note]
