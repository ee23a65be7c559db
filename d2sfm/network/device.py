"""Where torch computes, and in which arithmetic."""

from pathlib import Path

import torch

from d2sfm.options import Precision

# What Linux says of processors that multiply bfloat16 themselves: x86 with AVX-512 or AMX, and Arm.
CPUINFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def resolve_device(name: str) -> torch.device:
    """The torch device that a name stands for.

    name: "auto" (the current CUDA device if there is one, else the CPU), "cpu", "cuda" or "cuda:N".
    Raises ValueError for any other name, for CUDA without a CUDA device, and for an N that does not exist.
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
        raise ValueError(
            f"device {name!r} was asked for, but torch finds {torch.cuda.device_count()} (the first is cuda:0)"
        )
    return torch.device(name)


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """The type of the network's weights and maps on a device.

    ``auto`` is bfloat16 where the processor multiplies it, else float32. It is never float16, whose range ends at
    65504: responses of conv3_3 in ordinary photographs reach a quarter of that. Raises ValueError for float16 on a CPU.
    """
    if precision is Precision.AUTO:
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    if precision is Precision.FLOAT16 and device.type == "cpu":
        raise ValueError("precision float16 needs a GPU: use bfloat16 on a CPU")
    return getattr(torch, precision)


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 in its own circuits, and so faster than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return not BFLOAT16_FLAGS.isdisjoint(_processor_flags())


def _processor_flags() -> set[str]:
    lines = CPUINFO.read_text().splitlines() if CPUINFO.exists() else []
    return {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.partition(":")[2].split()}
