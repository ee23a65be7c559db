"""Blocks of two photographs, so that a small folder has several."""

import pytest
from support.photograph_folder import write_photograph_folder

from d2sfm.shards import folder


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(folder, "BLOCK_PHOTOGRAPHS", 2)


@pytest.fixture
def photographs(tmp_path):
    return write_photograph_folder(tmp_path / "photographs")
