"""Power cuts while pairs are written: features stay, and pairs are whole or not there."""

import os
import shutil
from pathlib import Path
from random import Random

import pytest
from support.database_contents import contents, require_whole
from support.feature_database import descriptors_of_place, write_feature_database
from support.power_cuts import cut, record

from d2sfm.cli import main

CUTS = int(os.environ.get("D2SFM_POWER_CUTS", "10"))  # 100 take a minute
PAIR_TABLES = ("matches", "two_view_geometries")


def pairs(found):
    assert found["matches"].keys() == found["two_view_geometries"].keys()
    return {pair: [found[table][pair] for table in PAIR_TABLES] for pair in found["matches"]}


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
    steps = record(database, [[*run, database] for run in runs], tmp_path)
    counts = set()
    for seed in range(CUTS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        for path, content in cut(steps, before, Random(seed)).items():
            (folder / Path(path).name).write_bytes(content)
        found = require_whole(folder / "db.db")
        for table in ("keypoints", "descriptors", "d2sfm_features"):
            assert found[table] == extracted[table]
        for pair, rows in pairs(found).items():
            assert rows in (of_run[0][pair], of_run[1][pair])
        counts.add(len(found["matches"]))
        shutil.rmtree(folder)
    assert len(counts) > CUTS / 5  # they fell into different stages
