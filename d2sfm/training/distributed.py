"""The processes of a run: one, or those that ``torchrun`` started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist

from d2sfm.network.device import resolve_device

_ENVIRONMENT = (("WORLD_SIZE", 1), ("RANK", 0), ("LOCAL_RANK", 0), ("LOCAL_WORLD_SIZE", 1))


@dataclass(frozen=True)
class Processes:
    """How many processes share the run, and which one this is."""

    count: int = 1
    rank: int = 0
    local_rank: int = 0  # on this machine: the number of its GPU
    local_count: int = 1  # processes on this machine

    @property
    def leads(self) -> bool:
        """Whether this process writes files and logs."""
        return self.rank == 0

    def sum(self, values: list[float], device: torch.device) -> list[float]:
        """Each value summed over all processes, in float64. Every process has to call it."""
        if self.count == 1:
            return values
        # NCCL takes tensors on the GPU, gloo on the CPU.
        total = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(total)
        return total.tolist()

    def gather(self, value: object) -> list:
        """The value of every process, in order of rank. Every process has to call it."""
        if self.count == 1:
            return [value]
        values = [None] * self.count
        dist.all_gather_object(values, value)
        return values


@contextmanager
def joined_processes(device: str) -> Iterator[tuple[Processes, str]]:
    """The processes that ``torchrun`` describes in the environment, and this one's device; joined until the end.

    device: as the user names it; with several processes "auto" and "cuda" become the GPU of the local rank.
    Raises ValueError if there is no such device, and for several processes on one GPU.
    """
    processes = Processes(*(int(os.environ.get(key, default)) for key, default in _ENVIRONMENT))
    if processes.count == 1:  # RANK alone is of another program: this process still writes the files
        yield Processes(), device
        return
    if device.startswith("cuda:"):
        raise ValueError(
            f"{processes.count} processes can't share {device!r}: run without --device, then each process takes its "
            "own GPU"
        )
    on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if on_gpu:
        device = f"cuda:{processes.local_rank}"
        torch.cuda.set_device(resolve_device(device))
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield processes, device
    finally:
        dist.destroy_process_group()
