"""The benchmark of large sets in shards: what it fills a folder with, and what it tells of processes."""

import os
import runpy
from pathlib import Path

import numpy as np
import pytest

from d2sfm.shards.feature_block import FeatureBlock

PROGRAM = Path(__file__).parents[2] / "benchmarks/shards.py"


@pytest.fixture
def program(monkeypatch):
    monkeypatch.syspath_prepend(PROGRAM.parent)
    return runpy.run_path(str(PROGRAM), run_name="imported")


@pytest.mark.slow
def test_neighbours_share_points_whatever_block_they_are_in(program, tmp_path):
    images, count = 70, 80
    folder = program["write_shards"](tmp_path / "shards", images, count)
    before = folder.features(0).stat().st_mtime_ns
    program["write_shards"](tmp_path / "shards", images, count)
    assert folder.features(0).stat().st_mtime_ns == before
    found = {}
    for number in range(2):
        with FeatureBlock(folder.features(number)) as block:
            found |= {name: block.read(name, program["SIZE_PX"]).descriptors.astype(np.float32) for name in block.of}
    assert len(found) == images

    def shared(pair):
        one, other = (found[f"{image_id:06}.png"] for image_id in pair)
        return ((one @ other.T).max(axis=1) > 0.6).sum()

    assert all(shared(pair) >= count // 2 for pair in program["pairs_of"](images)[::10])
    on_the_way = 1 + np.random.default_rng(0).permutation(images)
    assert shared(on_the_way[[0, -1]]) == 0


def test_rates_and_samples(program):
    seconds = np.arange(31.0)
    assert program["rates"](seconds, np.minimum(2 * seconds, 20 + seconds)) == "2.0 - 1.0"
    assert program["rates"](seconds[:2], seconds[:2]) == "-"
    first = program["sample"](os.getpid())
    Path(os.devnull).write_bytes(bytes(1000))
    second = program["sample"](os.getpid())
    assert second.written_bytes - first.written_bytes == 1000
    assert 10e6 < second.resident_bytes < 100e9
