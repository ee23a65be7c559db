import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.helpers import random_weights

from d2sfm.network.strips import MIN_STRIP_PX, TrunkStrips, memory_bytes, strip_px
from d2sfm.network.trunk import Trunk

pytestmark = pytest.mark.usefixtures("narrow_network")


@pytest.fixture(scope="module")
def trunk():
    return Trunk(random_weights())


def in_strips(trunk, pictures, heights):
    """The feature map of pictures that arrive in strips of these heights; the last takes what is left."""
    strips, begin, rows = TrunkStrips(trunk.layers()), 0, []
    for height in heights:
        if begin + height >= pictures.shape[2]:
            break
        rows.append(strips.push(pictures[:, :, begin : begin + height], last=False))
        begin += height
    return torch.cat([*rows, strips.push(pictures[:, :, begin:], last=True)], dim=2)


@given(height=st.integers(8, 61), width=st.integers(8, 23), heights=st.lists(st.integers(1, 40), max_size=20))
@settings(max_examples=examples(25))
def test_strips_of_any_height_give_the_whole_map(trunk, height, width, heights):
    pictures = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(height * 100 + width))
    torch.testing.assert_close(in_strips(trunk, pictures, heights), trunk(pictures), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("heights", [[1] * 60, [5] * 20, [8] * 10, [64]])
def test_several_pictures_at_a_time(trunk, heights):
    pictures = torch.randn(3, 3, 53, 20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(in_strips(trunk, pictures, heights), trunk(pictures), rtol=1e-5, atol=1e-5)


def test_a_strip_gives_what_its_rows_decide(trunk):
    """Cell i sees pixels 4i - 42 to 4i + 49, so its row comes with row 4i + 49 of the picture, not later."""
    strips, picture = TrunkStrips(trunk.layers()), torch.randn(1, 3, 200, 16)
    complete = 0
    for row in range(200):
        complete += strips.push(picture[:, :, row : row + 1], last=row == 199).shape[2]
        assert complete == (49 if row == 199 else max(0, (row - 49) // 4 + 1))


def test_strips_keep_few_rows_between_two(trunk):
    strips = TrunkStrips(trunk.layers())
    for _ in range(3):
        strips.push(torch.randn(1, 3, 40, 16), last=False)
    held = sum(rows.untyped_storage().nbytes() for rows in strips._kept.values())
    assert held <= memory_bytes([(16, 120)], 0, 4)


def test_strips_are_in_the_trunks_precision():
    trunk = Trunk(random_weights()).to(torch.bfloat16)
    picture = torch.randn(1, 3, 40, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    features = in_strips(trunk, picture, [16, 16])
    assert features.dtype == torch.bfloat16
    torch.testing.assert_close(features, trunk(picture))


@pytest.mark.parametrize("sizes", [[(640, 480)], [(8688, 5792)], [(320, 240), (640, 480), (1280, 960)]])
@pytest.mark.parametrize("itemsize", [2, 4])
def test_strips_as_high_as_the_limit_allows(sizes, itemsize):
    limit = memory_bytes(sizes, 1000, itemsize)
    rows = strip_px(sizes, itemsize, limit)
    assert rows % 4 == 0
    assert memory_bytes(sizes, rows, itemsize) <= limit < memory_bytes(sizes, rows + 5, itemsize)
    assert strip_px(sizes, itemsize, 1) == MIN_STRIP_PX


def test_memory_grows_with_width_and_rows_and_not_with_the_pictures_height():
    assert memory_bytes([(800, 600)], 64, 4) == memory_bytes([(800, 6000)], 64, 4)
    assert memory_bytes([(800, 600)], 64, 4) < memory_bytes([(1600, 600)], 64, 4)
    assert memory_bytes([(800, 600)], 64, 4) < memory_bytes([(800, 600)], 128, 4)
