import numpy as np
import pytest
import torch
from support.helpers import random_weights
from support.trainers import make_trainer
from torch.nn import functional as F

from d2sfm.training.dataset import Batch
from d2sfm.training.training_trunk import TrainingTrunk

pytestmark = pytest.mark.usefixtures("narrow_training")


@pytest.fixture(scope="module")
def weights():
    return random_weights()


def plain_training_forward(picture, weights):
    """Plain VGG16 up to conv4_3, not rectified."""

    def convolve(x, name):
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    x = convolve(convolve(picture, "conv1_1").relu(), "conv1_2").relu()
    x = F.max_pool2d(x, 2)
    x = convolve(convolve(x, "conv2_1").relu(), "conv2_2").relu()
    x = F.max_pool2d(x, 2)
    x = convolve(convolve(convolve(x, "conv3_1").relu(), "conv3_2").relu(), "conv3_3").relu()
    x = F.max_pool2d(x, 2)
    return convolve(convolve(convolve(x, "conv4_1").relu(), "conv4_2").relu(), "conv4_3")


def test_the_training_trunk_is_the_plain_chain_of_layers(weights):
    picture = torch.randn(2, 3, 40, 56, generator=torch.Generator().manual_seed(1))
    features = TrainingTrunk(weights)(picture)
    torch.testing.assert_close(features, plain_training_forward(picture, weights), atol=1e-4, rtol=1e-4)
    assert features.min() < 0


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 24), (31, 47)])
def test_size_of_the_training_feature_map(weights, height, width):
    assert TrainingTrunk(weights)(torch.zeros(3, 3, height, width)).shape == (3, 512, height // 8, width // 8)


def test_a_training_cell_is_centred_at_8i_plus_3_5(weights):
    """A mirrored picture has the mirrored features where weights are symmetric: cells mirror about the middle."""
    symmetric = {key: (value + value.flip(-1)) / 2 if value.ndim == 4 else value for key, value in weights.items()}
    picture = torch.randn(1, 3, 16, 32, generator=torch.Generator().manual_seed(2))
    trunk = TrainingTrunk(symmetric)
    torch.testing.assert_close(trunk(picture.flip(-1)), trunk(picture).flip(-1), atol=1e-4, rtol=1e-4)


def test_only_conv4_3_is_trained(weights):
    trunk = TrainingTrunk(weights)
    trained = {name for name, parameter in trunk.named_parameters() if parameter.requires_grad}
    assert trained == {"conv4_3.weight", "conv4_3.bias"}
    trunk(torch.randn(1, 3, 16, 16)).square().sum().backward()
    assert {name for name, parameter in trunk.named_parameters() if parameter.grad is not None} == trained


def test_gradients_are_those_of_a_chain_that_is_differentiable_throughout(weights):
    generator = torch.Generator().manual_seed(3)
    picture, direction = torch.randn(2, 3, 24, 32, generator=generator), torch.randn(2, 512, 3, 4, generator=generator)
    trunk = TrainingTrunk(weights)
    (trunk(picture) * direction).sum().backward()
    plain = {key: value.clone().requires_grad_() for key, value in weights.items()}
    (plain_training_forward(picture, plain) * direction).sum().backward()
    for kind in ("weight", "bias"):
        wanted = plain[f"conv4_3.{kind}"].grad
        assert wanted.norm() > 1
        torch.testing.assert_close(getattr(trunk.conv4_3, kind).grad, wanted, rtol=1e-4, atol=1e-4 * wanted.abs().max())


def test_the_training_trunk_gives_back_its_weights(weights):
    """Under the same names, so that a checkpoint can be made of them; and it has copies of its own."""
    trunk = TrainingTrunk(weights)
    state = trunk.state_dict()
    assert list(state) == list(weights)
    assert all(torch.equal(state[key], weights[key]) for key in weights)
    before = weights["conv4_3.bias"].clone()
    with torch.no_grad():
        trunk.conv4_3.bias += 1
    assert torch.equal(weights["conv4_3.bias"], before)


def test_a_picture_is_not_changed_by_the_training_forward_pass(weights):
    picture = torch.randn(1, 3, 16, 16)
    before = picture.clone()
    TrainingTrunk(weights)(picture)
    assert torch.equal(picture, before)


@pytest.mark.slow
def test_the_memory_of_a_batch_of_8_pairs_fits_a_small_gpu():
    # What autograd keeps of a pair of 256 px between forward and backward pass, which is most of what a step takes:
    # eight times that is what it keeps of eight, and the weights, which it keeps once.
    trainer, generator = make_trainer(), np.random.default_rng(0)
    crops = torch.from_numpy(generator.integers(0, 256, (2, 256, 256, 3), np.uint8))
    cells = torch.from_numpy(generator.integers(0, 1024, (2, 1000)))
    kept: dict[int, int] = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        trainer.losses(Batch(["a pair"], crops, [cells], [], []))
    assert 8 * sum(kept.values()) < 1e9
