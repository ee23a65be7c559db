import pytest
import torch
from support.helpers import random_weights
from torch.nn import functional as F

from d2sfm.network.trunk import MIN_EDGE_PX, Trunk


@pytest.fixture(scope="module")
def weights():
    return random_weights()


def plain_forward(picture, weights, relu):
    """The layers one after the other, as the paper lists them."""

    def convolve(x, name, dilation=1):
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=dilation, dilation=dilation)

    x = convolve(convolve(picture, "conv1_1").relu(), "conv1_2").relu()
    x = F.max_pool2d(x, 2)
    x = convolve(convolve(x, "conv2_1").relu(), "conv2_2").relu()
    x = F.max_pool2d(x, 2)
    x = convolve(convolve(convolve(x, "conv3_1").relu(), "conv3_2").relu(), "conv3_3").relu()
    x = F.avg_pool2d(x, 2, stride=1)
    x = convolve(convolve(x, "conv4_1", 2).relu(), "conv4_2", 2).relu()
    x = convolve(x, "conv4_3", 2)
    return x.relu() if relu else x


@pytest.mark.parametrize("relu", [True, False])
def test_forward_is_the_plain_chain_of_layers(weights, relu):
    picture = torch.randn(2, 3, 37, 50)
    expected = plain_forward(picture, weights, relu)
    features = Trunk(weights, relu=relu)(picture)
    torch.testing.assert_close(features, expected, atol=1e-4, rtol=1e-4)
    assert bool(features.min() < 0) is not relu


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 15), (16, 21), (31, 40)])
def test_size_of_the_feature_map(weights, height, width):
    assert Trunk(weights)(torch.zeros(1, 3, height, width)).shape == (1, 512, height // 4 - 1, width // 4 - 1)


def test_below_the_smallest_edge_there_is_no_map(weights):
    with pytest.raises(RuntimeError):
        Trunk(weights)(torch.zeros(1, 3, MIN_EDGE_PX - 1, 20))


def test_a_picture_is_not_changed_by_the_forward_pass(weights):
    picture = torch.randn(1, 3, 16, 16)
    before = picture.clone()
    Trunk(weights)(picture)
    assert torch.equal(picture, before)


def test_nothing_is_trained_at_inference(weights):
    assert not any(parameter.requires_grad for parameter in Trunk(weights).parameters())
