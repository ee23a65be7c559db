"""Patches come back from their slots, from memory and from disk, and disks that are full are named."""

import os

import numpy as np
import pytest
import torch

from d2sfm.refinement import patch_store as patch_store_module
from d2sfm.refinement.patch_store import PatchStore
from d2sfm.system import reserve

SHAPES = {"one": (9, 4), "other": (4, 6)}
CPU = torch.device("cpu")


def some_patches(layer, count, seed):
    return torch.rand(count, *SHAPES[layer], generator=torch.Generator().manual_seed(seed)).half()


@pytest.fixture(params=["memory", "file"])
def store(request, tmp_path, monkeypatch):
    if request.param == "file":
        monkeypatch.setattr(patch_store_module, "MEMORY_BYTES", 0)
    return PatchStore(SHAPES, 20, tmp_path)


def test_patches_come_back_from_their_slots_until_others_take_these(store):
    expected = {layer: some_patches(layer, 20, 0) for layer in SHAPES}
    random = np.random.default_rng(0)
    for seed in range(4):
        slots = random.permutation(20)[: 20 if seed == 0 else 7]
        for layer in SHAPES:
            patches = some_patches(layer, len(slots), seed)
            store.put(layer, slots, patches)
            expected[layer][slots] = patches
    for layer in SHAPES:
        slots = random.integers(0, 20, 30)
        found = store.get(layer, slots, CPU)
        assert torch.equal(found, expected[layer][slots])
        found.zero_()  # a copy
        assert torch.equal(store.get(layer, slots, CPU), expected[layer][slots])


def test_the_file_has_no_name(store, tmp_path):
    assert list(tmp_path.iterdir()) == []


def test_only_what_does_not_go_into_memory_lies_in_a_file(tmp_path, monkeypatch):
    made, nbytes = [], 2 * 20 * (9 * 4 + 4 * 6)
    monkeypatch.setattr(patch_store_module, "reserve", lambda file, size: made.append(size) or reserve(file, size))
    for limit, folder, expected in ((nbytes, tmp_path, 0), (nbytes - 1, None, 0), (nbytes - 1, tmp_path, 1)):
        monkeypatch.setattr(patch_store_module, "MEMORY_BYTES", limit)
        PatchStore(SHAPES, 20, folder)
        assert made == [nbytes] * expected


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr(patch_store_module, "MEMORY_BYTES", 0)
    monkeypatch.setattr(os, "posix_fallocate", fail)
    with pytest.raises(RuntimeError, match=r"has no room for .* GB of patches: No space left on device"):
        PatchStore(SHAPES, 20, tmp_path)


def test_no_slots_are_no_file(tmp_path):
    assert PatchStore(SHAPES, 0, tmp_path).get("one", np.zeros(0, np.int64), CPU).shape == (0, 9, 4)
