"""Features in npz or mat files, with the array names of the published tool.

``keypoints`` [N, 4] (x, y, scale, activation), ``descriptors`` [N, 512] and ``scores`` [N], the activations once more;
beside them what the published tool leaves out: ``convention``, ``image_size``, ``input_size``, ``scales`` and the
``fingerprint`` of the settings. The published tool's own files have ``keypoints`` [N, 3] (x, y, scale).
"""

import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from d2sfm.coordinates import ORIENTATIONS, Size
from d2sfm.features.record import Features
from d2sfm.files import ALWAYS_UNPACKED, MOST_UNPACKED, check_archive, check_unpacked, replacing
from d2sfm.options import Convention, DescriptorDtype, OutputType
from d2sfm.text import errors_at

REQUIRED = ("keypoints", "descriptors", "convention", "image_size", "input_size", "scales")
PUBLISHED = ("keypoints", "descriptors", "scores")

_NPZ_MAGIC = b"PK\x03\x04"
_MAT_MAGIC = b"MATLAB 5.0 MAT-file"
_MAT_HEADER_BYTES, _MAT_COMPRESSED, _PIECE_BYTES = 128, 15, 1 << 20
_MAT_ITEM_BYTES = {"double": 8, "single": 4}
_MAT_ITEM_BYTES |= {f"{sign}int{8 * size}": size for sign in ("", "u") for size in (1, 2, 4, 8)}


class DamagedFile(ValueError):
    """A feature file that can't be read to its end, as a copy that was cut short."""


def write_features(
    path: Path,
    features: Features,
    output_type: OutputType = OutputType.NPZ,
    descriptor_dtype: DescriptorDtype = DescriptorDtype.FLOAT32,
    fingerprint: str | None = None,
) -> None:
    """Write a feature file of exactly this name, replacing an existing one; a killed run leaves no partial file.

    fingerprint: the settings that made the features, for ``read_fingerprint``.

    Raises FileNotFoundError if the folder is missing, ValueError for float16 in mat, which has no such type.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no folder {path.parent} for the feature file {path.name}")
    if output_type is OutputType.MAT and descriptor_dtype is DescriptorDtype.FLOAT16:
        raise ValueError("mat files can't hold float16: choose float32 descriptors or npz")
    arrays = {
        "keypoints": features.keypoints,
        "descriptors": features.descriptors.astype(str(descriptor_dtype), copy=False),
        "scores": features.scores,
        "convention": str(features.convention),
        "image_size": np.array(features.image_size, np.int64),
        "input_size": np.array(features.input_size, np.int64),
        "scales": np.array(features.scales, np.float64),
    }
    if features.orientation != 1:  # left out if there is none, as earlier versions did
        arrays["orientation"] = np.array(features.orientation, np.int64)
    if features.grey_range is not None:
        arrays["grey_range"] = np.array(features.grey_range, np.int64)
    if fingerprint is not None:
        arrays["fingerprint"] = fingerprint
    with replacing(path) as stream:
        _save(stream, arrays, output_type)


def read_features(path: Path) -> Features:
    """Read a file that ``write_features`` wrote; npz and mat are told apart by their content.

    Keypoints, scales and float32 descriptors come back bit for bit. Raises FileNotFoundError if the file is missing,
    ValueError if it is not a feature file or lacks a key, as files of the published tool lack the convention.
    """
    arrays = _load_all(path, REQUIRED, "not one of d2sfm's feature files")
    greys = _load(path, ("grey_range",)).get("grey_range")
    orientation = read_orientation(path)
    with errors_at(path):
        _require_floats(arrays, ("keypoints", "descriptors", "scales"))
        scales = tuple(map(float, arrays["scales"].ravel()))
        if not scales or not all(0 < scale < np.inf for scale in scales):
            raise ValueError(f"scales {scales}, expected numbers above 0")
        if greys is not None and (
            greys.size != 2 or greys.dtype.kind not in "iu" or not 0 <= greys.min() < greys.max()
        ):
            raise ValueError(f"grey_range {greys.ravel().tolist()}, expected two numbers from 0")
        return Features(
            keypoints=arrays["keypoints"],
            descriptors=arrays["descriptors"],
            image_size=_size(arrays["image_size"]),
            input_size=_size(arrays["input_size"]),
            convention=Convention(arrays["convention"].item()),
            scales=scales,
            orientation=orientation,
            grey_range=None if greys is None else tuple(sorted(greys.ravel().tolist())),
        )


def read_published(path: Path, convention: Convention, image_size: Size, input_size: Size) -> Features:
    """Read a file that the published tool wrote, in the file's order.

    Arguments for what it lacks: convention is the frame of its keypoints (the tool's own is ``reference``), the sizes
    are (width, height) of the photograph and of the network's input in pixels. Raises as ``read_features``.
    """
    arrays = _load_all(path, PUBLISHED, "no feature file")
    with errors_at(path):
        _require_floats(arrays, PUBLISHED)
        keypoints, scores = (arrays[key].astype(np.float32) for key in ("keypoints", "scores"))
        if keypoints.ndim != 2 or keypoints.shape[1] != 3 or scores.size != len(keypoints):
            raise ValueError(f"keypoints {keypoints.shape} and scores {scores.shape}, expected (N, 3) and (N,)")
        if not (keypoints[:, 2] > 0).all():
            raise ValueError("scales of keypoints are not above 0")
        return Features(
            keypoints=np.column_stack([keypoints, scores.ravel()]),
            descriptors=arrays["descriptors"],
            image_size=tuple(image_size),
            input_size=tuple(input_size),
            convention=convention,
            scales=tuple((1 / np.unique(keypoints[:, 2])[::-1].astype(np.float64)).tolist()) or (1.0,),
        )


def tells_convention(path: Path) -> bool:
    """Whether a feature file gives the frame of its keypoints, as d2sfm's do. Raises as ``read_features``."""
    return "convention" in _load(path, ("convention",))


def read_fingerprint(path: Path) -> str | None:
    """The fingerprint in a feature file, or None if the file has none or is not a feature file at all.

    Reads nothing else of it. Raises FileNotFoundError if the file is missing, DamagedFile if it is cut short.
    """
    try:
        arrays = _load(path, ("fingerprint",))
    except DamagedFile:
        raise
    except ValueError:
        return None
    found = arrays.get("fingerprint")
    return found.item() if found is not None and found.size == 1 and found.dtype.kind == "U" else None


def read_orientation(path: Path) -> int:
    """How the photograph of a feature file was turned, 1 to 8 as in EXIF. Reads nothing else; raises as
    ``read_features``."""
    turned = _load(path, ("orientation",)).get("orientation", np.array(1))
    with errors_at(path):
        if turned.size != 1 or turned.item() not in ORIENTATIONS:
            raise ValueError(f"orientation {turned.ravel().tolist()}, expected 1 to 8")
    return int(turned.item())


def _save(stream: BinaryIO, arrays: dict, output_type: OutputType) -> None:
    if output_type is OutputType.NPZ:
        np.savez(stream, **arrays)
    else:
        from scipy.io import savemat  # slow to import, and rarely needed

        # Rows made here: of an empty one-dimensional array SciPy makes 0 x 0.
        savemat(stream, {key: np.atleast_2d(array) for key, array in arrays.items()})


def _load_all(path: Path, keys: tuple[str, ...], what: str) -> dict[str, np.ndarray]:
    """All of the keys. ValueError, also if the file lacks one, which then is ``what``."""
    arrays = _load(path, keys)
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}: it is {what}")
    return arrays


def _load(path: Path, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Those of the keys that the file has. ValueError if it is neither npz nor mat, or is damaged."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no feature file {path}")
    with path.open("rb") as stream:
        magic = stream.read(len(_MAT_MAGIC))
        stream.seek(0)
        if magic.startswith(_NPZ_MAGIC):
            load = _load_npz
        elif magic == _MAT_MAGIC:
            load = _load_mat
        else:
            raise ValueError(f"{path} is not a feature file: expected npz or mat")
        try:
            return load(stream, keys)
        except Exception as error:  # the readers raise what they like on damaged files
            raise DamagedFile(f"{path} is damaged: {error}") from error


def _load_npz(stream: BinaryIO, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    with np.load(stream, allow_pickle=False) as archive:
        check_archive(archive.zip, stream.seek(0, os.SEEK_END))
        return {key: archive[key] for key in keys if key in archive.files}


def _load_mat(stream: BinaryIO, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    from scipy.io import loadmat, whosmat

    check_unpacked(*_mat_bytes(stream))
    stream.seek(0)
    for key, shape, kind in whosmat(stream):  # cells are made before they are read
        if key in keys and kind not in (*_MAT_ITEM_BYTES, "char"):
            raise ValueError(f"{key} is {kind}, expected numbers or a text")
        if key in keys:
            check_unpacked(stream.seek(0, os.SEEK_END), math.prod(shape) * _MAT_ITEM_BYTES.get(kind, 4))
    stream.seek(0)
    arrays = loadmat(stream, variable_names=list(keys))
    return {key: arrays[key] for key in keys if key in arrays}


def _mat_bytes(stream: BinaryIO) -> tuple[int, int]:
    """Bytes of a mat file, and the unpacked size of its elements, up to the first that makes it too large.

    ValueError if the file ends within an element.
    """
    stored, unpacked = stream.seek(0, os.SEEK_END), 0
    stream.seek(_MAT_HEADER_BYTES - 2)
    order, place = "<" if stream.read(2) == b"IM" else ">", _MAT_HEADER_BYTES
    while place + 8 <= stored:
        stream.seek(place)
        kind, size = struct.unpack(f"{order}II", stream.read(8))
        if kind == _MAT_COMPRESSED:
            element = zlib.decompressobj()
            waiting = stream.read(min(size, stored))
            while waiting and unpacked <= MOST_UNPACKED * stored + ALWAYS_UNPACKED:
                unpacked += len(element.decompress(waiting, _PIECE_BYTES))
                waiting = element.unconsumed_tail
        else:
            unpacked += size
        place += 8 + size
    if place > stored:
        raise ValueError("it is cut short")
    return stored, unpacked


def _require_floats(arrays: dict[str, np.ndarray], keys: tuple[str, ...]) -> None:
    for key in keys:
        if arrays[key].dtype.kind != "f":
            raise ValueError(f"{key} are {arrays[key].dtype}, expected floating point")


def _size(array: np.ndarray) -> tuple[int, int]:
    if array.size != 2 or array.dtype.kind not in "iu" or array.min() < 1:
        raise ValueError(f"size {array.ravel().tolist()}, expected width and height of 1 or more")
    return tuple(array.ravel().tolist())
