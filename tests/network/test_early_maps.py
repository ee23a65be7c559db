"""Maps for alignment against the trunk's own layers, of the whole picture at once."""

import numpy as np
import pytest
import torch
from support.helpers import random_weights, save_plain_weights
from torch.nn import functional as F

from d2sfm.network.early_maps import CELL_PX, COARSE, FINE, MapRecorder, feature_maps
from d2sfm.network.input import normalise_batch
from d2sfm.network.trunk import BLOCKS, CHANNELS, Trunk
from d2sfm.network.weights.load import load_weights
from d2sfm.options import Preprocessing

pytestmark = pytest.mark.usefixtures("one_thread", "narrow_network")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights():
    return random_weights()


def picture(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def plain_maps(pixels, weights, preprocessing):
    """conv2_2 and conv3_3 as VGG16 has them, each cell divided by its length: by layer, [H, W, C] float32."""
    x, found = normalise_batch(torch.from_numpy(pixels)[None], preprocessing), {}
    for number, block in enumerate(BLOCKS[:3]):
        x = F.max_pool2d(x, 2) if number else x
        for name, _, _ in block:
            x = F.relu(F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1))
            found[name] = x
    of_cells = {name: found[name][0].permute(1, 2, 0) for name in (FINE, COARSE)}
    return {name: cells / cells.norm(dim=2, keepdim=True).clamp(min=1e-12) for name, cells in of_cells.items()}


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (67, 64), (64, 65), (130, 131), (37, 199)])
@pytest.mark.parametrize("preprocessing", list(Preprocessing))
def test_maps_are_the_trunks_own_of_unit_length(weights, size, preprocessing):
    pixels = picture(*size)
    maps = feature_maps(pixels, Trunk(weights), preprocessing, CPU)
    for name, expected in plain_maps(pixels, weights, preprocessing).items():
        found = maps.layer(name)
        assert found.dtype == torch.float16
        assert found.shape == (size[1] // CELL_PX[name], size[0] // CELL_PX[name], CHANNELS[name])
        np.testing.assert_allclose(found.float(), expected, rtol=2e-3, atol=1e-4)
        np.testing.assert_allclose(found.float().norm(dim=2), 1, atol=2e-3)
    assert maps.nbytes == 2 * sum(maps.layer(name).numel() for name in (FINE, COARSE))


def test_bfloat16_differs_by_its_rounding_only(weights):
    pixels = picture(96, 80)
    exact = feature_maps(pixels, Trunk(weights), Preprocessing.CAFFE, CPU)
    half = feature_maps(pixels, Trunk(weights).to(torch.bfloat16), Preprocessing.CAFFE, CPU)
    for name in (FINE, COARSE):
        assert half.layer(name).dtype == torch.float16
        cosine = (exact.layer(name).float() * half.layer(name).float()).sum(2)
        assert 0.999 < cosine.min() < cosine.mean() < 1.001


def test_cells_lie_where_the_poolings_put_them(tmp_path):
    """Cell i sees the pixels around CELL_PX * i + (CELL_PX - 1) / 2, of a network that passes bright pixels on."""
    weights = dict(load_weights(save_plain_weights(tmp_path / "plain.pth", 1.0), Preprocessing.CAFFE))
    weights["conv1_1.bias"] = torch.zeros(CHANNELS["conv1_1"])  # what is darker than the mean is cut
    trunk = Trunk(weights)
    for x, y in [(8, 8), (15, 12), (17, 30), (22, 21), (31, 0)]:
        pixels = np.zeros((32, 32, 3), np.uint8)
        pixels[y, x] = 255
        maps = feature_maps(pixels, trunk, Preprocessing.CAFFE, CPU)
        for name in (FINE, COARSE):
            [[row, column]] = maps.layer(name)[..., 0].nonzero().tolist()
            for cell, pixel in ((row, y), (column, x)):
                assert abs(CELL_PX[name] * cell + (CELL_PX[name] - 1) / 2 - pixel) < CELL_PX[name] / 2


def test_a_cell_without_any_response_is_zero(weights):
    silent = {name: torch.zeros_like(value) for name, value in weights.items()}
    maps = feature_maps(picture(16, 16), Trunk(silent), Preprocessing.CAFFE, CPU)
    assert not maps.fine.any()
    assert not maps.coarse.any()


def test_rows_of_several_pictures_are_put_together_in_their_order():
    recorder, random = MapRecorder((24, 16), 2, CPU), torch.Generator().manual_seed(0)
    fine = torch.rand(2, CHANNELS[FINE], 8, 12, generator=random)
    coarse = torch.rand(2, CHANNELS[COARSE], 4, 6, generator=random)
    for name, rows in (
        (FINE, fine[:, :, :3]),
        ("conv1_1", fine[:, :4]),
        (COARSE, coarse[:, :, :0]),
        (COARSE, coarse[:, :, :1]),
        (FINE, fine[:, :, 3:]),
        (COARSE, coarse[:, :, 1:]),
    ):
        recorder.on_rows(name, rows)
    for picture_fine, picture_coarse, maps in zip(fine, coarse, recorder.maps(), strict=True):
        assert torch.equal(maps.fine, F.normalize(picture_fine, dim=0).permute(1, 2, 0).half())
        assert torch.equal(maps.coarse, F.normalize(picture_coarse, dim=0).permute(1, 2, 0).half())
