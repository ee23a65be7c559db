"""The benchmark of matching at the beginning, in the middle and at the end of a large set, at small size."""

import runpy
import sys
from pathlib import Path

import pytest

from d2sfm.database import MatchStore

PROGRAM = Path(__file__).parents[2] / "benchmarks/large_matching.py"


@pytest.mark.slow
def test_the_last_run_finds_all_pairs_but_its_own_there(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(PROGRAM.parent)
    program = runpy.run_path(str(PROGRAM), run_name="imported")
    database, sizes = tmp_path / "db.db", ["--images", "40", "--distinct", "30", "--features", "60"]
    sizes += ["--count", "5", "--shares", "0", "0.5", "1"]
    monkeypatch.setattr(sys, "argv", ["large_matching.py", "--database", str(database), *sizes])
    program["main"]()
    head, _, *rows = capsys.readouterr().out.strip().splitlines()
    pairs = 20 * 20 + 19 * 20 // 2
    assert head.startswith(f"40 images of 60 features, {pairs} pairs")
    assert [row.split()[0] for row in rows] == ["0", str(pairs // 2), str(pairs - 5)]
    assert all(row.split()[2] == "5" for row in rows)
    with MatchStore(database) as store:
        counts = store.pair_counts()
        assert all(
            len(store.keypoints(image_id)) == len(store.descriptors(image_id)) == 60 for image_id in range(1, 41)
        )
    assert len(counts) == pairs
    assert counts["inliers"].min() >= 15
