import pytest
import torch

from d2sfm.training.distributed import joined_processes


def test_several_processes_take_no_single_gpu(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="2 processes can't share 'cuda:0'"), joined_processes("cuda:0"):
        pass


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_several_processes_without_a_gpu_are_told_in_our_words(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="torch finds no CUDA device here"), joined_processes("cuda"):
        pass


@pytest.mark.parametrize("rank", ["0", "3"])
def test_alone_there_is_nothing_to_join(monkeypatch, rank):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("RANK", rank)  # which other programs set, too
    with joined_processes("cpu") as (processes, device):
        assert (processes.count, processes.rank, processes.leads, device) == (1, 0, True, "cpu")
        assert processes.sum([1.5, 2], torch.device("cpu")) == [1.5, 2]
        assert processes.gather("mine") == ["mine"]
