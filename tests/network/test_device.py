import pytest
import torch

from d2sfm.network import device
from d2sfm.network.device import resolve_device, resolve_precision
from d2sfm.options import Precision

without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
with_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")


def test_cpu():
    assert resolve_device("cpu") == torch.device("cpu")


def test_auto_takes_cuda_where_there_is_one():
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["", "gpu", "CPU", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "cuda:²", "auto:1", "cudax"])
def test_unknown_names(name):
    with pytest.raises(ValueError, match="auto, cpu, cuda or cuda:N"):
        resolve_device(name)


@without_cuda
@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_cuda_that_is_not_there(name):
    with pytest.raises(ValueError, match="no CUDA device"):
        resolve_device(name)


def test_index_out_of_range(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ValueError, match="torch finds 2"):
        resolve_device("cuda:2")


@with_cuda
@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_cuda(name):
    assert torch.zeros(1, device=resolve_device(name)).is_cuda


def flags(monkeypatch, tmp_path, line):
    """A processor that says this of itself."""
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\n{line}\n")
    monkeypatch.setattr(device, "CPUINFO", path)


CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16", torch.bfloat16),
        ("flags\t\t: fpu amx_bf16", torch.bfloat16),
        ("Features\t: asimd bf16", torch.bfloat16),
        ("flags\t\t: fpu avx2 avx512f", torch.float32),
        ("model name\t: bf16", torch.float32),
    ],
)
def test_auto_is_bfloat16_where_the_processor_has_it(monkeypatch, tmp_path, line, expected):
    flags(monkeypatch, tmp_path, line)
    assert resolve_precision(Precision.AUTO, CPU) == expected
    assert resolve_precision(Precision.FLOAT32, CPU) == torch.float32
    assert resolve_precision(Precision.BFLOAT16, CPU) == torch.bfloat16


def test_without_a_list_of_the_processors_abilities_auto_is_float32(monkeypatch, tmp_path):
    monkeypatch.setattr(device, "CPUINFO", tmp_path / "missing")
    assert resolve_precision(Precision.AUTO, CPU) == torch.float32


def test_float16_is_for_gpus():
    with pytest.raises(ValueError, match="needs a GPU"):
        resolve_precision(Precision.FLOAT16, CPU)


@with_cuda
def test_precisions_of_a_gpu():
    gpu = torch.device("cuda")
    newer = torch.cuda.get_device_capability(gpu) >= (8, 0)
    assert resolve_precision(Precision.AUTO, gpu) == (torch.bfloat16 if newer else torch.float32)
    assert resolve_precision(Precision.FLOAT16, gpu) == torch.float16
