"""Descriptor rows, which match nothing, for keypoints without a descriptor of the extractor: COLMAP's guided and
vocabulary-tree matching end the process if rows are fewer than keypoints."""

import hashlib

import numpy as np

from d2sfm.database.descriptor_rows import SIFT

ENTRIES = 4  # that are not 0; of dense random rows one or two in an image matched, of zeros hundreds
_SIFT_BYTES = 128


def row_dtype(row_bytes: int, type_id: int) -> np.dtype:
    """Type of the numbers in another extractor's descriptors: bytes as SIFT's, else float32."""
    are_bytes = type_id == SIFT or row_bytes == _SIFT_BYTES or row_bytes % 4
    return np.dtype("u1" if are_bytes else "<f4")


def filler_rows(count: int, row_bytes: int, type_id: int, name: str) -> bytes:
    """``count`` descriptors of the common length, those of float32 with unit length.

    row_bytes, type_id: as the rows of an image declare them; name: of the image, as equal rows in two images would
    match.
    """
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    generator = np.random.default_rng(np.frombuffer(digest, "<u4"))
    dtype = row_dtype(row_bytes, type_id)
    size = row_bytes // dtype.itemsize
    entries = min(ENTRIES, size)
    places = np.argpartition(generator.random((count, size), np.float32), entries - 1, axis=1)[:, :entries]
    of_bytes = np.full((count, entries), 255)
    of_floats = generator.choice([-1, 1], (count, entries)) * entries**-0.5
    rows = np.zeros((count, size), dtype)
    np.put_along_axis(rows, places, (of_bytes if dtype.itemsize == 1 else of_floats).astype(dtype), axis=1)
    return rows.tobytes()
