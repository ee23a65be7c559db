"""Small files that declare, or unpack to, gigabytes. Made in pieces, without much memory."""

import struct
import zlib
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import h5py
import numpy as np
import torch
from support.helpers import random_weights

from d2sfm.network.weights.load import d2net_state

GIGABYTE, PIECE = 1 << 30, bytes(1 << 22)
MANY = 1_000_000  # keypoints


def deflated(size: int, head: bytes = b"") -> bytes:
    """zlib's stream of a head and that many zeros."""
    packer = zlib.compressobj(1)
    pieces = [packer.compress(head), *(packer.compress(PIECE) for _ in range(size // len(PIECE)))]
    return b"".join([*pieces, packer.flush()])


def write_archive(path: Path, members: dict[str, bytes], large: str, head: bytes = b"", size: int = GIGABYTE) -> None:
    """A zip file of these members, and a large one of zeros after its head."""
    with ZipFile(path, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        with archive.open(large, "w") as stream:
            stream.write(head)
            for _ in range(size // len(PIECE)):
                stream.write(PIECE)


def write_npz(path: Path) -> None:
    """Keypoints of the published tool, of a gigabyte."""
    head = str({"descr": "<f4", "fortran_order": False, "shape": (GIGABYTE // 12, 3)}).ljust(117) + "\n"
    write_archive(path, {}, "keypoints.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode())


def write_mat(path: Path) -> None:
    """Keypoints of the published tool, of a gigabyte."""
    flags, shape = struct.pack("<IIII", 6, 8, 6, 0), struct.pack("<IIii", 5, 8, GIGABYTE // 24, 3)
    matrix = flags + shape + struct.pack("<II9s7x", 1, 9, b"keypoints") + struct.pack("<II", 9, GIGABYTE)
    packed = deflated(GIGABYTE, struct.pack("<II", 14, len(matrix) + GIGABYTE) + matrix)
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<HH", 0x0100, 0x4D49)
    path.write_bytes(header + struct.pack("<II", 15, len(packed)) + packed)


def write_png(path: Path, edge: int = 26_000) -> None:
    """A black square of one bit a pixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer, row = zlib.compressobj(9), bytes(1 + edge // 8)
    pixels = b"".join([*(packer.compress(row) for _ in range(edge)), packer.flush()])
    header = struct.pack(">IIBBBBB", edge, edge, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"tEXt", b"Comment\x00" + bytes([32]) * 100), (b"IDAT", pixels), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks))


def write_checkpoint(path: Path) -> None:
    """Weights, and beside them a tensor of a gigabyte of zeros, packed."""
    whole = path.with_suffix(".whole")
    more = torch.zeros(1)
    torch.save({"model": d2net_state(random_weights()), "training": more}, whole)
    with ZipFile(whole) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    whole.unlink()
    [large] = [name for name, content in members.items() if content == more.numpy().tobytes()]
    del members[large]
    write_archive(path, members, large)


def write_features(path: Path, name: str, image_size: tuple[int, int]) -> None:
    """Features in hloc's layout whose descriptors are 4 GB, of which 4 MB are there."""
    with h5py.File(path, "w") as file:
        group = file.create_group(name)
        for dataset, shape in {"keypoints": (MANY, 2), "scores": (MANY,)}.items():
            group.create_dataset(dataset, shape, np.float32, chunks=True, compression="gzip")[:1] = 1
        group["image_size"] = np.array(image_size)
        chunks = (512, 1000)
        group.create_dataset("descriptors", (512, MANY), np.float64, chunks=chunks, compression="gzip")[:, :1000] = 0


def write_large_chunk(path: Path, group: str, dataset: str, shape: tuple[int, ...]) -> None:
    """A dataset whose only chunk is much larger than itself."""
    with h5py.File(path, "a") as file:
        chunks = (GIGABYTE // 8, *(1 for _ in shape[1:]))
        where = file.require_group(group)
        made = where.create_dataset(
            dataset, shape, np.float32, chunks=chunks, maxshape=(None, *shape[1:]), compression=1
        )
        made.id.write_direct_chunk(tuple(0 for _ in shape), deflated(GIGABYTE // 2))


def write_deep_groups(path: Path, depth: int = 12_000) -> None:
    """Groups in groups with a link in each, whose names together are a quarter of a gigabyte."""
    with h5py.File(path, "w") as file:
        group = file
        for _ in range(depth):
            group["link"] = h5py.SoftLink("/nowhere")
            group = group.create_group("ab")
