"""Worker processes of one thread and one core each, for measurements that are independent of each other."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import torch


def workers(count: int) -> ProcessPoolExecutor:
    """A pool of ``count`` processes. From here on OpenMP and OpenBLAS get one thread in what this process starts."""
    spawn = multiprocessing.get_context("spawn")
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return ProcessPoolExecutor(count, mp_context=spawn, initializer=_take_a_core, initargs=(spawn.Value("i", 0),))


def _take_a_core(taken) -> None:
    """Keep a worker to a core of its own: the others are busy, too. taken: how many are, in memory that is shared."""
    with taken.get_lock():
        number, taken.value = taken.value, taken.value + 1
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[number % len(cores)]})
    torch.set_num_threads(1)
