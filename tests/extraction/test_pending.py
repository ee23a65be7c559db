"""What is to be done: photographs without features, and the folder that they are of."""

import json

import pytest
from support.two_sizes import NAMES, imported, write_some_features, write_two_sizes

from d2sfm.database import begin_overwriting, create_database
from d2sfm.extraction.pending import in_their_precision, names_to_overwrite, note_folder, pending_names
from d2sfm.options import Convention, ExtractionOptions, Precision

pytestmark = pytest.mark.usefixtures("narrow_network")

FINGERPRINT = json.dumps({"extractor": "d2sfm", "max_edge": 96})


@pytest.fixture
def photographs(tmp_path):
    return write_two_sizes(tmp_path / "photographs")


@pytest.fixture
def database(tmp_path):
    create_database(tmp_path / "db.db")
    return tmp_path / "db.db"


def test_pending_are_those_without_features(database, photographs):
    imported(database, photographs)
    assert pending_names(database, NAMES, FINGERPRINT) == NAMES
    write_some_features(database, FINGERPRINT, "b.jpg")
    assert pending_names(database, NAMES, FINGERPRINT) == ["a.jpg", "sub/a.jpg", "sub/b.jpg"]
    with pytest.raises(RuntimeError, match=r"with max_edge 96, but this run asks for max_edge 64"):
        pending_names(database, NAMES, FINGERPRINT.replace("96", "64"))


def test_auto_is_the_precision_of_the_features_that_stay(database, photographs, tmp_path):
    auto, half = ExtractionOptions(), json.dumps({"extractor": "d2sfm", "precision": "bfloat16"})
    imported(database, photographs)
    assert in_their_precision(tmp_path / "missing.db", auto, ()) == in_their_precision(database, auto, ()) == auto
    assert auto.precision is Precision.AUTO
    write_some_features(database, half, "a.jpg")
    assert in_their_precision(str(database), auto, ()).precision is Precision.BFLOAT16
    assert in_their_precision(database, auto, {"a.jpg"}) == auto
    for told in (ExtractionOptions(precision="float32"), ExtractionOptions(convention=Convention.REFERENCE)):
        assert in_their_precision(database, told, ()).precision is Precision.FLOAT32


def test_to_be_overwritten_are_all_or_what_a_stopped_run_left(database, photographs):
    imported(database, photographs)
    write_some_features(database, FINGERPRINT, "a.jpg", "b.jpg")
    other = FINGERPRINT.replace("96", "64")
    assert names_to_overwrite(database, NAMES, FINGERPRINT) == names_to_overwrite(database, NAMES, other) == NAMES
    with pytest.raises(RuntimeError, match=r"max_edge 96 of 1 image \(b\.jpg\), not among the 3 phot"):
        names_to_overwrite(database, ["a.jpg", *NAMES[2:]], other)
    begin_overwriting(database, NAMES, other)
    write_some_features(database, other, "a.jpg")
    assert names_to_overwrite(database, NAMES, other) == pending_names(database, NAMES, other) == NAMES[1:]
    assert names_to_overwrite(database, NAMES, FINGERPRINT) == NAMES


def test_the_folder_is_noted_and_another_is_refused_once_there_are_features(database, photographs, tmp_path):
    note_folder(database, tmp_path)
    note_folder(database, photographs)
    imported(database, photographs)
    write_some_features(database, FINGERPRINT, "b.jpg")
    with pytest.raises(RuntimeError, match="extract those of"):
        note_folder(database, tmp_path)
    note_folder(database, photographs)
