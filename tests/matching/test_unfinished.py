"""What commands say of pairs that stopped runs have left."""

from contextlib import nullcontext

import numpy as np
import pycolmap
import pytest
from support.feature_database import descriptors_of_place, write_feature_database

from d2sfm.database import MatchStore, begin_overwriting_pairs, create_database
from d2sfm.database.connection import Connection
from d2sfm.exchange.export import export_database
from d2sfm.exchange.merge import merge_databases
from d2sfm.mapping.reconstruct import reconstruct
from d2sfm.mapping.triangulate import triangulate
from d2sfm.options import ExportOptions
from d2sfm.refinement.refine import refine_database

ANEW = "still to be matched again: 1 pair of {}; run d2sfm match --overwrite again with the same options"
UNVERIFIED = "left out of {}: 2 pairs of {} with matches but no two-view geometry; run d2sfm match again"


@pytest.fixture
def database(tmp_path):
    """Six pairs, of which two lack a geometry and one is to be matched again; one without matches needs neither."""
    named = {f"{index}.jpg": descriptors_of_place(0, index) for index in range(4)}
    path = write_feature_database(tmp_path / "db.db", named)
    matches, geometry = np.array([[0, 1], [1, 0]]), pycolmap.TwoViewGeometry()
    with MatchStore(path) as store:
        for pair in ((1, 2), (1, 3)):
            store.write(*pair, matches, geometry)
        for pair in ((1, 4), (2, 3)):
            store.write(*pair, matches)
        store.write(2, 4, matches[:0])
    with Connection(path) as connection:
        connection.rows("UPDATE d2sfm_features SET fingerprint = '{}'")
    begin_overwriting_pairs(path, np.array([pycolmap.image_pair_to_pair_id(1, 2)]), {"ratio": 0.5})
    return path


def merge_with_another(path):
    create_database(path.with_name("other.db"))
    merge_databases([path, path.with_name("other.db")], path.with_name("merged.db"))


def triangulate_nothing(path):
    model = path.with_name("model")
    model.mkdir()
    pycolmap.Reconstruction().write_binary(model)
    triangulate(path, model, path.with_name("points"))


VERIFIED = ExportOptions(matches="verified")
COMMANDS = {  # with what geometries have part in, and the error that comes after the words where there is one
    "export": (lambda path: export_database(path, path.with_name("exported"), options=VERIFIED), "the files", None),
    "merge": (merge_with_another, None, None),
    "reconstruct": (lambda path: reconstruct(path, path.with_name("sparse")), "the model", None),
    "refine": (lambda path: refine_database(path, path.with_name("none")), "the alignment", "no folder of photographs"),
    "triangulate": (triangulate_nothing, "the model", "0 images in common"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_say_what_is_left_and_what_to_run(database, command, caplog):
    act, part_of, error = COMMANDS[command]
    with pytest.raises((RuntimeError, FileNotFoundError), match=error) if error else nullcontext():
        act(database)
    expected = [ANEW.format(database)] + [UNVERIFIED.format(part_of, database)] * (part_of is not None)
    assert caplog.messages[: len(expected)] == expected


def test_a_merged_database_has_nothing_left_to_be_matched_anew(database, caplog):
    merge_with_another(database)
    caplog.clear()
    export_database(database.with_name("merged.db"), database.with_name("exported"))
    assert not any("matched again" in message for message in caplog.messages)
