"""Four training pairs of real photographs against the numbers of the published code."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from d2sfm.network.weights.load import load_weights
from d2sfm.options import PairOptions, Preprocessing, TrainingOptions
from d2sfm.training.dataset import PairDataset, TrainingPair, collate, crop_corner
from d2sfm.training.distributed import Processes
from d2sfm.training.draws import Draw
from d2sfm.training.scenes import load_scene
from d2sfm.training.trainer import Trainer

pytestmark = [pytest.mark.photographs, pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

PAIRS = range(4)


@pytest.fixture(scope="module")
def golden(shared_data):
    """The published code's numbers, one record for each pair."""
    with np.load(shared_data.parent / "golden" / "mini_megadepth_training.npz") as numbers:
        pairs = [SimpleNamespace() for _ in PAIRS]
        for key in numbers.files:
            index, name = key.split("/")
            setattr(pairs[int(index)], name, numbers[key])
    return pairs


@pytest.fixture(scope="module")
def scene(shared_data):
    return load_scene(shared_data.parent / "golden" / "mini_megadepth_scene_info.npz", PairOptions())


@pytest.fixture(scope="module")
def items(shared_data, golden, scene):
    """The golden pairs as the loader cuts them out."""
    dataset = PairDataset(shared_data / "mini_megadepth", [scene], PairOptions())
    paths = scene.image_paths.tolist()
    draws = []
    for pair in golden:
        row1, column1, row2, column2 = pair.central_match.tolist()
        images = [paths.index(str(path)) for path in (pair.image_path1, pair.image_path2)]
        draws.append(Draw(0, *images, (column1, row1), (column2, row2)))
    return [dataset[draw] for draw in draws]


@pytest.fixture(scope="module")
def trainer(shared_data):
    weights = load_weights(shared_data.parent / "weights" / "d2_ots.pth")
    return Trainer(weights, Preprocessing.CAFFE, TrainingOptions(), torch.device("cpu"), Processes())


@pytest.mark.parametrize("index", PAIRS)
def test_crops_lie_where_the_published_code_cuts(golden, items, scene, shared_data, index):
    pair, item = golden[index], items[index]
    row1, column1, row2, column2 = pair.central_match.tolist()
    sides = ((pair.image_path1, pair.bbox1, (column1, row1)), (pair.image_path2, pair.bbox2, (column2, row2)))
    for side, (path, corner, xy) in enumerate(sides):
        photograph = np.asarray(Image.open(shared_data / "mini_megadepth" / str(path)).convert("RGB"))
        row, column = crop_corner(xy, photograph.shape[1::-1], 256)
        assert [row, column] == corner.tolist()
        assert np.array_equal(item.crops[side], photograph[row : row + 256, column : column + 256])


@pytest.mark.parametrize("index", PAIRS)
def test_the_same_cells_survive_at_the_same_places(golden, items, index):
    pair, item = golden[index], items[index]
    assert isinstance(item, TrainingPair)
    found = item.correspondences
    assert found.cells1.tolist() == pair.ids.tolist()
    np.testing.assert_allclose(found.in_crop1, pair.pos1.T, rtol=0, atol=0.01)
    np.testing.assert_allclose(found.in_crop2, pair.pos2.T, rtol=0, atol=0.01)


@pytest.mark.parametrize("index", PAIRS)
def test_soft_scores(golden, items, trainer, index):
    scores = trainer.scores(collate([items[index]])).numpy()
    np.testing.assert_allclose(scores[0], golden[index].scores1, rtol=0, atol=1e-7)
    np.testing.assert_allclose(scores[1], golden[index].scores2, rtol=0, atol=1e-7)


@pytest.mark.parametrize("index", PAIRS)
def test_loss_and_gradient(golden, items, trainer, index):
    pair, layer = golden[index], trainer.trunk.conv4_3
    trainer.trunk.zero_grad()
    (loss,) = trainer.losses(collate([items[index]]))
    loss.backward()
    assert loss.item() == pytest.approx(pair.loss.item(), abs=1e-4)
    assert layer.weight.grad.norm().item() == pytest.approx(pair.grad_norm_weight.item(), rel=1e-3)
    assert np.linalg.norm(layer.bias.grad.numpy() - pair.grad_bias) < 1e-3 * np.linalg.norm(pair.grad_bias)


def test_a_batch_of_all_pairs_has_their_losses_and_the_sum_of_their_gradients(golden, items, trainer):
    batch = collate(items)
    trainer.trunk.zero_grad()
    losses = trainer.losses(batch)
    losses.sum().backward()
    assert losses.tolist() == pytest.approx([pair.loss.item() for pair in golden], abs=1e-4)
    wanted = sum(pair.grad_bias for pair in golden)
    assert np.linalg.norm(trainer.trunk.conv4_3.bias.grad.numpy() - wanted) < 1e-3 * np.linalg.norm(wanted)
    trainer.trunk.zero_grad()
