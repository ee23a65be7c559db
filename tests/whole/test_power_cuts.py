"""Power cuts while pairs are written: features stay, and pairs are whole or not there."""

import shutil
from pathlib import Path
from random import Random

import cv2
import pytest
from support.all_tests import ALL_TESTS
from support.database_contents import contents, require_whole
from support.feature_database import descriptors_of_place, write_feature_database
from support.helpers import textured_picture
from support.power_cuts import cut, record

from d2sfm.cli import main
from d2sfm.database.tables import OUR_PAIR_TABLES, PAIR_TABLES, SIMILARITIES

CUTS = 100 if ALL_TESTS else 10


def pairs(found):
    assert found["matches"].keys() == found["two_view_geometries"].keys() == found[SIMILARITIES].keys()
    return {pair: [found[table].get(pair) for table in (*PAIR_TABLES, *OUR_PAIR_TABLES)] for pair in found["matches"]}


@pytest.mark.slow
def test_power_cuts_while_pairs_are_written(tmp_path):
    named = {f"{index:02}.jpg": descriptors_of_place(index % 2, index) for index in range(24)}
    database = write_feature_database(tmp_path / "db.db", named)
    extracted, before = contents(database), {str(database): database.read_bytes()}
    runs = [["match", "--quiet", *more, "--database"] for more in ([], ["--overwrite", "--max-error", "2"])]
    unbroken, of_run = Path(shutil.copy(database, tmp_path / "unbroken.db")), []
    for run in runs:
        main([*run, str(unbroken)])
        of_run.append(pairs(contents(unbroken)))
    assert len(of_run[0]) == 276
    script = f"from d2sfm.cli import main\nfor run in {runs}: assert main([*run, {str(database)!r}]) == 0"
    counts = set()
    for found in after_cuts(record(database, script, tmp_path), before, tmp_path):
        require_features(found, extracted)
        for pair, rows in pairs(found).items():
            assert rows in (of_run[0][pair], of_run[1][pair])
        counts.add(len(found["matches"]))
    assert len(counts) > CUTS / 5  # they fell into different stages


def after_cuts(steps, before, folder):
    """The contents of the database after each cut, which is sound."""
    for seed in range(CUTS):
        place = folder / str(seed)
        place.mkdir()
        for path, content in cut(steps, before, Random(seed)).items():
            (place / Path(path).name).write_bytes(content)
        yield require_whole(place / "db.db")
        shutil.rmtree(place)


def require_features(found, extracted):
    for table in ("keypoints", "descriptors", "d2sfm_features"):
        assert found[table] == extracted[table]


@pytest.mark.slow
def test_power_cuts_while_photographs_are_imported(tmp_path):
    database = write_feature_database(tmp_path / "db.db", {f"{i:02}.jpg": descriptors_of_place(0, i) for i in range(8)})
    extracted, before = contents(database), {str(database): database.read_bytes()}
    names = [f"new {index}.png" for index in range(30)]
    for index, name in enumerate(names):
        cv2.imwrite(str(tmp_path / name), textured_picture(index, (64, 48)))
    arguments = f"{str(database)!r}, {str(tmp_path)!r}, {names}"
    script = f"from d2sfm.database import import_photographs\nimport_photographs({arguments})"
    for found in after_cuts(record(database, script, tmp_path), before, tmp_path):
        require_features(found, extracted)
        assert len(found["images"]) in (8, 38)
