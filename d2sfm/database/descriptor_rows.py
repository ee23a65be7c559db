"""Descriptors in the rows of a database: their types, how many fit into a row, and their conversion."""

from collections.abc import Iterator

import numpy as np
import pycolmap

from d2sfm.database.connection import PIECE_BYTES
from d2sfm.features.record import DESCRIPTOR_SIZE
from d2sfm.options import DescriptorDtype

MAX_ROW_BYTES = 1_000_000_000  # SQLite's limit, where it is not built with another
_ROW_HEAD_BYTES = 64  # more than what stands beside the descriptors in their row
DTYPES = {DescriptorDtype.FLOAT16: np.dtype("<f2"), DescriptorDtype.FLOAT32: np.dtype("<f4")}
DTYPE_OF_BYTES = {DESCRIPTOR_SIZE * dtype.itemsize: dtype for dtype in DTYPES.values()}  # of a row of D2-Net's
SIFT = int(pycolmap.FeatureExtractorType.SIFT)
UNDEFINED = int(pycolmap.FeatureExtractorType.UNDEFINED)  # none of the extractors that COLMAP knows


def check_count(count: int, descriptor_dtype: DescriptorDtype) -> None:
    """Raise ValueError if the descriptors of that many keypoints are more than a row of the database can hold."""
    row_bytes = DESCRIPTOR_SIZE * DTYPES[DescriptorDtype(descriptor_dtype)].itemsize
    most = (MAX_ROW_BYTES - _ROW_HEAD_BYTES) // row_bytes
    if count > most:
        or_half = " or --descriptor-dtype float16" if descriptor_dtype is DescriptorDtype.FLOAT32 else ""
        raise ValueError(
            f"has {count} keypoints, but a database holds at most {most} for an image as {descriptor_dtype}: use "
            f"--max-keypoints {most}{or_half}"
        )


def pieces(descriptors: np.ndarray, dtype: np.dtype) -> Iterator[np.ndarray]:
    """The descriptors in the dtype, some rows at a time."""
    rows = PIECE_BYTES // (DESCRIPTOR_SIZE * dtype.itemsize)
    for start in range(0, len(descriptors), rows):
        yield descriptors[start : start + rows].astype(dtype, copy=False)
