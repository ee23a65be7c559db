import pytest
import torch

from d2sfm.lru import LruCache, in_own_pages


@pytest.mark.parametrize("shape", [(0, 512), (1, 1), (300, 512)])
@pytest.mark.parametrize("dtype", [None, torch.float16, torch.float32])
def test_a_copy_in_its_own_pages(shape, dtype):
    original = torch.randn(shape, generator=torch.Generator().manual_seed(1)).half()
    copy = in_own_pages(original, dtype)
    assert copy.dtype == (dtype or torch.float16)
    torch.testing.assert_close(copy, original.to(copy.dtype), rtol=0, atol=0)
    original.zero_()
    assert copy.any() == (copy.numel() > 0)


def test_the_cache_is_bounded_and_keeps_what_was_used_last():
    loaded = []

    def load(key):
        loaded.append(key)
        return torch.zeros(100 if key < 10 else 1000, dtype=torch.uint8)

    cache = LruCache(load, capacity_bytes=250)
    for key in (1, 2, 1, 3, 1, 2):
        assert len(cache[key]) == 100
    assert loaded == [1, 2, 3, 2]
    assert len(cache[10]) == 1000  # larger than the capacity: held alone
    cache[10], cache[1]
    assert loaded == [1, 2, 3, 2, 10, 1]
