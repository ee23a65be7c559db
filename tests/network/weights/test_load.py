import argparse
import hashlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from support.helpers import textured_picture
from torchvision.models.vgg import VGG16_Weights, cfgs, make_layers

from d2sfm.network.input import normalise_batch
from d2sfm.network.trunk import CONVOLUTIONS, Trunk
from d2sfm.network.weights.load import BUNDLED, D2NET_PREFIX, LAYER_INDEX, d2net_state, digest, load_weights
from d2sfm.network.weights.pack import pack
from d2sfm.options import Preprocessing
from d2sfm.training.training_trunk import TrainingTrunk


@pytest.fixture(scope="module")
def published_layout():
    """A D2-Net state dict with the bundled values."""
    return torch.load(BUNDLED["d2_ots"], weights_only=True)["model"]


def save(tmp_path, content, name="weights.pth"):
    path = tmp_path / name
    torch.save(content, path)
    return path


def test_the_bundled_weights_load_as_float32():
    weights = load_weights("d2_ots")
    assert list(weights) == [f"{name}.{kind}" for name, _, _ in CONVOLUTIONS for kind in ("weight", "bias")]
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    assert BUNDLED["d2_ots"].stat().st_size < 16e6


def test_a_checkpoint_with_its_wrapper_and_without_are_the_same(tmp_path, published_layout):
    wrapped = load_weights(save(tmp_path, {"model": published_layout}, "a.pth"))
    bare = load_weights(save(tmp_path, published_layout, "b.pth"))
    assert digest(wrapped) == digest(bare) == digest(load_weights("d2_ots"))


def test_d2net_state_is_the_reverse_of_loading(tmp_path):
    generator = torch.Generator().manual_seed(0)
    weights = {key: torch.randn(tensor.shape, generator=generator) for key, tensor in load_weights("d2_ots").items()}
    loaded = load_weights(save(tmp_path, {"model": d2net_state(weights)}))
    assert list(loaded) == list(weights)
    assert all(torch.equal(loaded[key], weights[key]) for key in weights)


def test_d2net_state_takes_the_training_trunks_own_weights():
    weights = load_weights("d2_ots")
    state = d2net_state(TrainingTrunk(weights).state_dict())
    assert all(torch.equal(state[key], tensor) for key, tensor in d2net_state(weights).items())


def test_checkpoints_of_the_published_trainer_load(tmp_path, published_layout):
    checkpoint = {
        "args": argparse.Namespace(lr=1e-3, plot=False),
        "epoch_idx": 3,
        "model": published_layout,
        "optimizer": {"state": {}, "param_groups": []},
        "min_validation_loss": np.float64(0.25),
        "train_loss_history": [np.float32(0.5), np.float64(0.4), np.mean(np.array([1.0, 2.0]))],
    }
    assert digest(load_weights(save(tmp_path, checkpoint))) == digest(load_weights("d2_ots"))


def test_the_preprocessing_of_the_published_trainer_counts(tmp_path, published_layout):
    path = save(tmp_path, {"args": argparse.Namespace(preprocessing="torch"), "model": published_layout})
    assert digest(load_weights(path, Preprocessing.TORCH)) == digest(load_weights("d2_ots"))
    with pytest.raises(
        ValueError, match="trained with --preprocessing torch, not caffe: use it with --preprocessing torch"
    ):
        load_weights(path)


def warnings_of(path, caplog):
    """The names of the preprocessings that loading warns of."""
    warned = []
    for preprocessing in Preprocessing:
        caplog.clear()
        load_weights(path, preprocessing)
        assert len(caplog.records) < 2
        warned += [preprocessing] if caplog.records else []
    return warned


@pytest.mark.slow
def test_torchvisions_classifier_loads_as_it_is_and_asks_for_its_preprocessing(tmp_path, caplog):
    """A network that was trained from scratch stands for it: it has none of the filters of d2_ots."""
    features = make_layers(cfgs["D"])
    state = {f"features.{key}": tensor for key, tensor in features.state_dict().items()}
    path = save(tmp_path, state | {"classifier.6.bias": torch.zeros(1000)})
    weights = load_weights(path)
    assert f"{path} was trained with --preprocessing torch, not caffe" in caplog.text
    assert torch.equal(weights["conv1_1.weight"], features[0].weight)
    assert torch.equal(weights["conv4_3.weight"], features[21].weight)
    assert torch.equal(weights["conv1_1.bias"], features[0].bias)
    assert warnings_of(path, caplog) == [Preprocessing.CAFFE]


def in_torchvisions_layout(weights):
    return {f"features.{LAYER_INDEX[key.split('.')[0]]}.{key.split('.')[1]}": weights[key] for key in weights}


def for_rgb(weights):
    return weights | {"conv1_1.weight": weights["conv1_1.weight"][:, [2, 1, 0]]}


@pytest.fixture(scope="module")
def caffe_input():
    """A picture, [1, 3, H, W] in BGR, 0 to 255 less the mean."""
    return normalise_batch(torch.from_numpy(textured_picture(0, (96, 64)))[None], Preprocessing.CAFFE)


@pytest.mark.slow
def test_torchvisions_weights_for_features_answer_as_those_that_they_are_a_port_of(
    shared_data, tmp_path, caplog, caffe_input
):
    """IMAGENET1K_FEATURES takes RGB, 0 to 255 less the mean. Made here of the float32 weights, with its classifier."""
    original = load_weights(shared_data.parent / "weights" / "d2_ots.pth")
    port = in_torchvisions_layout(for_rgb(original)) | {"classifier.6.bias": torch.full((1000,), torch.nan)}
    path = save(tmp_path, port)
    response = Trunk(load_weights(path))(caffe_input)
    assert response.max() > 1
    assert torch.equal(response, Trunk(original)(caffe_input))
    first = torch.conv2d(caffe_input.flip(1), port["features.0.weight"], port["features.0.bias"], padding=1)
    mine = torch.conv2d(caffe_input, *(load_weights(path)[f"conv1_1.{kind}"] for kind in ("weight", "bias")), padding=1)
    torch.testing.assert_close(mine, first, rtol=1e-5, atol=1e-3)
    assert warnings_of(path, caplog) == [Preprocessing.TORCH]


@pytest.mark.parametrize(
    ("dtype", "order"),
    [
        (torch.float32, lambda weights: weights),
        (torch.bfloat16, for_rgb),
        pytest.param(torch.float32, for_rgb, marks=pytest.mark.slow),
        pytest.param(torch.bfloat16, lambda weights: weights, marks=pytest.mark.slow),
        pytest.param(torch.float16, lambda weights: weights, marks=pytest.mark.slow),
        pytest.param(torch.float16, for_rgb, marks=pytest.mark.slow),
    ],
)
def test_the_filters_tell_for_which_order_of_channels_they_are(tmp_path, caplog, order, dtype):
    """Whoever ported them, to whatever type, and tuned the last layer."""
    weights = load_weights("d2_ots") | {"conv4_3.bias": torch.ones(512)}
    stored = {key: tensor.to(dtype) for key, tensor in in_torchvisions_layout(order(weights)).items()}
    path = save(tmp_path, stored)
    loaded = load_weights(path)
    assert all(torch.equal(loaded[key], weights[key].to(dtype).float()) for key in weights)
    assert warnings_of(path, caplog) == [Preprocessing.TORCH]


@pytest.mark.parametrize(
    "change",
    [
        lambda filters: filters[:, [0, 2, 1]],
        pytest.param(lambda filters: filters.flip(0), marks=pytest.mark.slow),
        pytest.param(lambda filters: filters * 58, marks=pytest.mark.slow),
    ],
)
def test_other_filters_are_not_taken_for_those_of_d2_ots(tmp_path, caplog, change):
    """The same ones for channels in no order, in another sequence, and for input of another range."""
    weights = for_rgb(load_weights("d2_ots"))
    weights["conv1_1.weight"] = change(weights["conv1_1.weight"]).contiguous()
    path = save(tmp_path, in_torchvisions_layout(weights))
    assert torch.equal(load_weights(path)["conv1_1.weight"], weights["conv1_1.weight"])
    assert warnings_of(path, caplog) == [Preprocessing.CAFFE]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("published", "warned"),
    [(VGG16_Weights.IMAGENET1K_V1, Preprocessing.CAFFE), (VGG16_Weights.IMAGENET1K_FEATURES, Preprocessing.TORCH)],
)
def test_torchvisions_own_files_are_told_apart(published, warned, caplog):
    """Where torchvision has fetched them before: half a gigabyte each."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(published.url).name
    if not path.is_file():
        pytest.skip(f"no {path}")
    assert warnings_of(path, caplog) == [warned]


def test_digest_tells_weights_apart(published_layout):
    weights = load_weights("d2_ots")
    changed = weights | {"conv4_3.bias": weights["conv4_3.bias"] + 1e-6}
    assert digest(weights) != digest(changed)


def test_pack_rounds_to_half_precision_and_keeps_the_layout(tmp_path, published_layout):
    source = {key: tensor.float() + 1e-6 for key, tensor in published_layout.items()}
    target = tmp_path / "packed.pth"
    pack(save(tmp_path, {"model": source}), target)
    packed = torch.load(target, weights_only=True)["model"]
    assert packed.keys() == published_layout.keys()
    assert all(torch.equal(packed[key], source[key].half()) for key in packed)


def test_the_bundled_weights_are_the_rounded_published_ones(shared_data):
    original = torch.load(shared_data.parent / "weights" / "d2_ots.pth", weights_only=True)["model"]
    bundled = torch.load(BUNDLED["d2_ots"], weights_only=True)["model"]
    assert all(torch.equal(bundled[key], original[key].half()) for key in original)


def test_the_provenance_names_the_sums_of_what_is_bundled_and_of_its_source(shared_data):
    provenance = (BUNDLED["d2_ots"].parent / "PROVENANCE.md").read_text()
    for path in (BUNDLED["d2_ots"], shared_data.parent / "weights" / "d2_ots.pth"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in provenance


KEY = f"{D2NET_PREFIX}0.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state | {KEY: torch.zeros(64, 3, 5, 5)}, "has shape (64, 3, 5, 5), expected (64, 3, 3, 3)"),
        (lambda state: {key: state[key] for key in state if key != KEY}, "lacks " + KEY),
        (lambda state: state | {KEY: torch.full((64, 3, 3, 3), float("nan"))}, "not finite"),
        (lambda state: state | {KEY: torch.zeros(64, 3, 3, 3, dtype=torch.int32)}, "torch.int32"),
        (lambda state: state | {"head.weight": torch.zeros(1)}, "unexpected entry 'head.weight'"),
        (lambda state: state | {KEY: "a string"}, "not a named tensor"),
        (lambda state: [1, 2, 3], "holds list"),
        (lambda state: {}, "holds dict"),
    ],
)
def test_other_contents_are_refused_by_name(tmp_path, published_layout, change, message):
    path = save(tmp_path, change(dict(published_layout)))
    with pytest.raises(ValueError) as caught:
        load_weights(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


class Malicious:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_code_in_a_checkpoint_is_never_run(tmp_path, published_layout):
    marker = tmp_path / "ran"
    path = save(tmp_path, {"model": published_layout, "args": Malicious(marker)})
    with pytest.raises(ValueError, match="code from a checkpoint is never run"):
        load_weights(path)
    assert not marker.exists()


def zip_of(name):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, "hello")
    return stream.getvalue()


NO_CHECKPOINTS = {
    "empty": b"",
    "text": b"no weights at all",
    "pickle": b"\x80\x02garbage",
    "binary": bytes(range(256)) * 20,
    "zip": zip_of("readme.txt"),
    "cut": BUNDLED["d2_ots"].read_bytes()[: 2**20],
}


@pytest.mark.parametrize("content", NO_CHECKPOINTS.values(), ids=NO_CHECKPOINTS.keys())
def test_files_that_are_no_checkpoint(tmp_path, content):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        load_weights(path)
    assert str(path) in str(caught.value)


def test_flipped_bits_are_told(tmp_path):
    path, content = tmp_path / "weights.pth", bytearray(BUNDLED["d2_ots"].read_bytes())
    content[len(content) // 2] ^= 1  # in the middle of a tensor: any value is a good one
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^[^\n]*weights\.pth is damaged: the check sum of [^\n]* is wrong[^\n]*$"):
        load_weights(path)


def test_archives_that_grow_are_refused_before_they_do(tmp_path):
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(10**6))
    with pytest.raises(ValueError, match=r"weights\.pth is damaged: it declares more bytes than it has"):
        load_weights(path)


def test_missing_weights_name_what_is_bundled(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"d2_ots, .*: did you mean d2_tf\?$"):
        load_weights(tmp_path / "d2_tf.pth")
