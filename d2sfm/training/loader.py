"""Batches of an epoch for one process, read ahead by workers."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from torch import Generator
from torch.utils.data import DataLoader

from d2sfm.training.dataset import Batch, PairDataset, collate
from d2sfm.training.distributed import Processes
from d2sfm.training.draws import Draw


def steps_of(draws: Sequence[Draw], batch_size: int, accumulate: int, processes: Processes) -> list[list[list[Draw]]]:
    """An epoch's draws dealt out: for each step of the optimiser this process's ``accumulate`` batches.

    Which pairs make a step depends only on their number in a step, over all batches and processes. Batches of the last
    step may be short or empty.
    """
    in_pass = batch_size * processes.count
    steps = []
    for first in range(0, len(draws), accumulate * in_pass):
        starts = range(first + processes.rank * batch_size, first + accumulate * in_pass, in_pass)
        steps.append([list(draws[start : start + batch_size]) for start in starts])
    return steps


def load(
    dataset: PairDataset, steps: Iterable[Sequence[Sequence[Draw]]], num_workers: int, pin_memory: bool = False
) -> Iterator[tuple[Batch, ...]]:
    """The batches of each step, in order. Nothing is drawn here, so the number of workers changes nothing but speed.

    pin_memory: whether batches come in page-locked memory, for a GPU.
    """
    steps = [list(step) for step in steps]
    loader = DataLoader(
        dataset,
        batch_sampler=list(chain.from_iterable(steps)),
        collate_fn=collate,
        num_workers=num_workers,
        pin_memory=pin_memory,
        # Seeds the workers, and leaves the process's own random numbers alone.
        generator=Generator().manual_seed(0),
    )
    return zip(*[iter(loader)] * len(steps[0]), strict=True) if steps else iter(())
