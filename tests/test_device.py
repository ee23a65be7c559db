import pytest
import torch

from d2sfm.device import resolve_device

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
    with pytest.raises(ValueError, match="there are 2"):
        resolve_device("cuda:2")


@with_cuda
@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_cuda(name):
    assert torch.zeros(1, device=resolve_device(name)).is_cuda
