"""Where torch computes."""

import torch


def resolve_device(name: str) -> torch.device:
    """The torch device that a name stands for.

    name: "auto" (the current CUDA device where there is one, else the CPU), "cpu", "cuda" or "cuda:N".
    Raises ValueError for any other name, for CUDA where there is none, and for an N that is not there.
    """
    kind, colon, index = name.partition(":")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if kind != "cuda" or (colon and not (index.isascii() and index.isdecimal())):
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N, found {name!r}")
    if not torch.cuda.is_available():
        raise ValueError(f"device {name!r} was asked for, but torch finds no CUDA device here")
    if colon and int(index) >= torch.cuda.device_count():
        raise ValueError(f"device {name!r} was asked for, but there are {torch.cuda.device_count()} (counted from 0)")
    return torch.device(name)
