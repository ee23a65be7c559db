import resource

import numpy as np
import pycolmap
import pytest
from support.undistorted_model import write_undistorted_model

from d2sfm import colmap
from d2sfm.colmap import read_model

FILES = ("cameras.bin", "images.bin", "points3D.bin")


@pytest.fixture
def folder(tmp_path):
    write_undistorted_model(tmp_path / "sparse")
    return tmp_path / "sparse"


@pytest.mark.parametrize("missing", FILES)
def test_a_missing_model_is_named(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(FileNotFoundError, match=r"no COLMAP model in .*sparse"):
        read_model(folder)


@pytest.mark.slow
@pytest.mark.parametrize("broken", FILES)
@pytest.mark.parametrize("damage", ["half", "empty", "noise"])
def test_a_broken_model_is_one_line(folder, broken, damage, monkeypatch):
    monkeypatch.setattr(colmap, "SPARE_BYTES", 2**26)  # all of it is filled before it runs out
    for name in ("rigs.bin", "frames.bin"):
        (folder / name).unlink()
    content = (folder / broken).read_bytes()
    noise = np.random.default_rng(0).bytes(400)
    (folder / broken).write_bytes({"half": content[: len(content) // 2], "empty": b"", "noise": noise}[damage])
    with pytest.raises(RuntimeError, match=r"the model .*sparse can't be read: ") as error:
        read_model(folder)
    assert "\n" not in str(error.value)


def test_the_limit_of_memory_holds_only_while_the_model_is_read(folder, monkeypatch):
    before = resource.getrlimit(resource.RLIMIT_AS)
    within = []

    def read(path):
        within.append(resource.getrlimit(resource.RLIMIT_AS)[0])
        raise ValueError("Check failed")

    monkeypatch.setattr(pycolmap, "Reconstruction", read)
    with pytest.raises(RuntimeError, match="can't be read: Check failed"):
        read_model(folder)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert 0 < within[0] < 2**40
