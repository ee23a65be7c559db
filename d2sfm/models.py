"""Models on disk, written through pycolmap, which says nothing where a file comes out short, as on a full disk.

It hangs on reading such a file, or takes the part for the whole. So the room is asked for first, and what was written
is looked at without pycolmap: every record, and that the last one ends with the file.
"""

import mmap
import struct
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.colmap import posed_images
from d2sfm.parts import sync
from d2sfm.system import require_room

MODEL_FILES = ("cameras", "images", "points3D", "rigs", "frames")  # without their suffix
PLY_NAME = "points3D.ply"
# Readers for Gaussian splatting ask for normals, which points of a model have none of.
PLY_VERTEX = np.dtype(
    [(axis, "<f4") for axis in ("x", "y", "z", "nx", "ny", "nz")] + [(c, "u1") for c in ("red", "green", "blue")]
)
TEXT_BYTES = 2  # of a text file for each byte of the binary one (measured: 1.0 to 1.8)
LEAST_COMMENTS = 3  # lines that each text file begins with

_COUNT, _ID = struct.Struct("<Q"), struct.Struct("<I")
_CAMERA, _POINT = struct.Struct("<Ii"), struct.Struct("<Q35xQ")  # id and kind; id and length of track
_RIG, _FRAME = struct.Struct("<II"), struct.Struct("<II56xI")  # id and sensors; id, rig and data


def write_model(
    model: pycolmap.Reconstruction,
    folder: Path,
    *,
    called: Path | None = None,
    binary: bool = True,
    text: bool = False,
    ply: bool = False,
) -> None:
    """Write a model into an empty folder. When this returns, all of it is on the disk.

    called: what messages name (default: the folder). Raises RuntimeError if the disk is full or fails: then what is in
    the folder is no model.
    """
    called = called or folder
    of_binary = _binary_sizes(model)
    sizes = of_binary if binary else []
    sizes = sizes + [TEXT_BYTES * size for size in of_binary] if text else sizes
    sizes = [*sizes, PLY_VERTEX.itemsize * model.num_points3D()] if ply else sizes
    require_room(called, *sizes, folder=folder)
    try:
        if binary:
            model.write_binary(folder)
            require_whole(folder, _ids(model))
        if text:
            model.write_text(folder)
            _require_lines(folder, model)
        if ply:
            _write_ply(model, folder / PLY_NAME)
        for path in (*folder.iterdir(), folder):
            sync(path)
    except (ValueError, OSError) as error:
        raise RuntimeError(f"{called} can't be written: {str(error).strip().splitlines()[0]}") from error


def require_whole(folder: Path, ids: Mapping[str, set[int]] | None = None) -> None:
    """Raise ValueError if a binary file of a model is cut short, or does not end where its last record does.

    ids: those that the files must hold, by what they are of (default: any). A million points take a second.
    """
    for kind, after in _AFTER.items():
        path = folder / f"{kind}.bin"
        size, found, at = path.stat().st_size, set(), _COUNT.size
        if size < at:
            raise _cut(path)
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            [count] = _COUNT.unpack_from(data)
            try:
                for _ in range(count):
                    record_id, at = after(data, at)
                    found.add(record_id)
            except (struct.error, IndexError, ValueError):  # beyond the end
                raise _cut(path) from None
        if at != size or len(found) != count or (ids is not None and found != ids[kind]):
            raise _cut(path)


def _cut(path: Path) -> ValueError:
    return ValueError(
        f"{path.name} came out cut or damaged, {path.stat().st_size} bytes: the disk is full, over a quota or damaged"
    )


def _after_camera(data: mmap.mmap, at: int) -> tuple[int, int]:
    """Id of the record that begins there, and where it ends; so do the next ones."""
    camera_id, kind = _CAMERA.unpack_from(data, at)
    return camera_id, at + 24 + 8 * _num_parameters(kind)


@cache
def _num_parameters(kind: int) -> int:
    """Of a camera model. ValueError if COLMAP has no model of that number."""
    return len(pycolmap.Camera.create_from_model_id(0, pycolmap.CameraModelId(kind), 1.0, 1, 1).params)


def _after_image(data: mmap.mmap, at: int) -> tuple[int, int]:
    [image_id] = _ID.unpack_from(data, at)
    name_end = data.find(b"\0", at + 64)
    if name_end < 0:
        raise ValueError("its name has no end")
    [points] = _COUNT.unpack_from(data, name_end + 1)
    return image_id, name_end + 9 + 24 * points


def _after_point(data: mmap.mmap, at: int) -> tuple[int, int]:
    point_id, length = _POINT.unpack_from(data, at)
    return point_id, at + 51 + 8 * length


def _after_rig(data: mmap.mmap, at: int) -> tuple[int, int]:
    rig_id, sensors = _RIG.unpack_from(data, at)
    at += 16 if sensors else 8  # the first one has no pose
    for _ in range(1, sensors):
        at += 65 if data[at + 8] else 9
    return rig_id, at


def _after_frame(data: mmap.mmap, at: int) -> tuple[int, int]:
    frame_id, _, items = _FRAME.unpack_from(data, at)
    return frame_id, at + 68 + 16 * items


_AFTER = {
    "cameras": _after_camera,
    "images": _after_image,
    "points3D": _after_point,
    "rigs": _after_rig,
    "frames": _after_frame,
}


def _ids(model: pycolmap.Reconstruction) -> dict[str, set[int]]:
    """Of what pycolmap writes: images and frames with a pose."""
    return {
        "cameras": set(model.cameras),
        "images": set(model.reg_image_ids()),
        "points3D": model.point3D_ids(),
        "rigs": set(model.rigs),
        "frames": set(model.reg_frame_ids()),
    }


def _binary_sizes(model: pycolmap.Reconstruction) -> list[int]:
    """Bytes of the files of ``_AFTER``, or a few more."""
    images = posed_images(model)
    return [
        8 + sum(24 + 8 * len(camera.params) for camera in model.cameras.values()),
        8 + sum(73 + len(image.name.encode()) + 24 * image.num_points2D() for image in images),
        8 + 51 * model.num_points3D() + 8 * model.compute_num_observations(),
        8 + 8 * model.num_rigs() + 65 * model.num_cameras(),
        8 + 68 * model.num_reg_frames() + 16 * len(images),
    ]


def _require_lines(folder: Path, model: pycolmap.Reconstruction) -> None:
    """Raise ValueError if a text file lacks lines: then it lacks the end of the last one, too."""
    lines = {kind: len(ids) for kind, ids in _ids(model).items()}
    lines["images"] += sum(
        1 + image.name.count("\n") for image in posed_images(model)
    )  # the second one of an image is of its points
    for kind, expected in lines.items():
        path, comments = folder / f"{kind}.txt", 0
        with path.open("rb") as stream:
            while (line := stream.readline()).startswith(b"#") and line.endswith(b"\n"):
                comments += 1
            ends = line.count(b"\n") + sum(piece.count(b"\n") for piece in iter(partial(stream.read, 1 << 20), b""))
        if comments < LEAST_COMMENTS or ends != expected:
            raise _cut(path)


def _write_ply(model: pycolmap.Reconstruction, path: Path) -> None:
    """The points as binary PLY: positions, normals of zero, colours."""
    vertices, points = np.zeros(model.num_points3D(), PLY_VERTEX), model.points3D.values()
    for names, values in (("x y z", (p.xyz for p in points)), ("red green blue", (p.color for p in points))):
        columns = np.array(list(values)).reshape(-1, 3).T
        for name, column in zip(names.split(), columns, strict=True):
            vertices[name] = column
    words = {"f": "float", "u": "uchar"}
    properties = [f"property {words[PLY_VERTEX[name].kind]} {name}\n" for name in PLY_VERTEX.names]
    with path.open("wb") as stream:
        stream.write(f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\n".encode())
        stream.write("".join([*properties, "end_header\n"]).encode())
        stream.write(vertices.tobytes())
