"""Models on disk: what is cut short is noticed, what is whole is not."""

import random
import shutil
import struct
import time

import numpy as np
import pycolmap
import pytest

from d2sfm import models
from d2sfm.models import require_whole, write_model

KINDS = ("cameras", "images", "points3D", "rigs", "frames")


def synthesized(cameras=2, points=20):
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 2, cameras, 2
    options.num_points3D, options.num_points2D_without_point3D = points, 3
    return pycolmap.synthesize_dataset(options)


def without_a_frame():
    model = synthesized()
    model.deregister_frame(1)
    return model


def of_many_cameras():
    """One of each camera model, with images of odd names."""
    model = pycolmap.Reconstruction()
    for camera_id, kind in enumerate(list(pycolmap.CameraModelId.__members__.values())[1:], start=1):
        camera = pycolmap.Camera.create_from_model_id(camera_id, kind, 100.0, 80, 60)
        model.add_camera_with_trivial_rig(camera)
        image = pycolmap.Image(name=f"süd/東\n{camera_id}.jpg", camera_id=camera_id, image_id=camera_id)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d())
    return model


MODELS = {
    "rigs": synthesized,
    "without points": lambda: synthesized(points=0),
    "single cameras": lambda: synthesized(cameras=1),
    "without a frame": without_a_frame,
    "cameras of all models": of_many_cameras,
    "empty": pycolmap.Reconstruction,
}


@pytest.mark.parametrize("kind", MODELS)
def test_whole_models_are_written(tmp_path, kind):
    write_model(MODELS[kind](), tmp_path, text=True, ply=True)
    suffixed = [f"{name}{suffix}" for name in KINDS for suffix in (".bin", ".txt")]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*suffixed, "points3D.ply"])
    require_whole(tmp_path)
    again = pycolmap.Reconstruction(tmp_path)
    assert again.num_reg_images() == MODELS[kind]().num_reg_images()


def test_points_as_gaussian_splatting_reads_them(tmp_path):
    """The case ply_without_normals_3dgs: nine properties, normals of zero."""
    model = synthesized(points=5)
    write_model(model, tmp_path, ply=True)
    header, _, data = (tmp_path / "points3D.ply").read_bytes().partition(b"end_header\n")
    assert header.decode().splitlines() == [
        *("ply", "format binary_little_endian 1.0", "element vertex 5"),
        *(f"property float {name}" for name in ("x", "y", "z", "nx", "ny", "nz")),
        *(f"property uchar {name}" for name in ("red", "green", "blue")),
    ]
    found = [struct.unpack_from("<6f3B", data, 27 * number) for number in range(5)]
    assert len(data) == 5 * 27
    points = list(model.points3D.values())
    np.testing.assert_allclose([row[:3] for row in found], [point.xyz for point in points], rtol=1e-6)
    assert [row[3:6] for row in found] == [(0, 0, 0)] * 5
    assert [row[6:] for row in found] == [tuple(point.color) for point in points]


def writer_that_cuts(monkeypatch, name, left):
    """As on a disk that becomes full: pycolmap writes, says nothing, and the file is cut."""
    for method in ("write_binary", "write_text"):
        real = getattr(pycolmap.Reconstruction, method)

        def write(model, path, real=real):
            real(model, path)
            folder = path if path.is_dir() else path.parent
            if (folder / name).exists() and left < (folder / name).stat().st_size:
                with (folder / name).open("r+b") as stream:
                    stream.truncate(left)

        monkeypatch.setattr(pycolmap.Reconstruction, method, write)


def test_what_is_cut_anywhere_is_noticed(tmp_path, monkeypatch):
    model, generator = synthesized(), random.Random(0)
    (tmp_path / "whole").mkdir()
    write_model(model, tmp_path / "whole", text=True, ply=True)
    for path in (path for kind in KINDS for path in (tmp_path / "whole").glob(f"{kind}.[bt]*")):
        size = path.stat().st_size
        for left in {0, generator.randrange(size), size - 1}:
            folder = tmp_path / f"{path.name} {left}"
            folder.mkdir()
            with monkeypatch.context() as patch:
                writer_that_cuts(patch, path.name, left)
                with pytest.raises(RuntimeError, match=rf"^{folder} can't be written: {path.name} came out cut"):
                    write_model(model, folder, text=True, ply=True)


def test_room_is_asked_for_before(tmp_path, monkeypatch):
    model, asked = synthesized(points=200), []
    monkeypatch.setattr(models, "require_room", lambda *arguments, **options: asked.append(arguments))
    write_model(model, tmp_path, text=True, ply=True)
    [(called, *sizes)] = asked
    assert called == tmp_path
    written = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert written < sum(sizes) < 1.5 * written


def test_damage_is_noticed_without_the_model(tmp_path):
    write_model(synthesized(), tmp_path)
    for name in KINDS:
        content = (tmp_path / f"{name}.bin").read_bytes()
        for damaged in (content + b"\0", content[:-1], struct.pack("<Q", 2**60) + content[8:], b""):
            (tmp_path / f"{name}.bin").write_bytes(damaged)
            with pytest.raises(ValueError, match=rf"{name}\.bin came out cut or damaged"):
                require_whole(tmp_path)
        (tmp_path / f"{name}.bin").write_bytes(content)
    require_whole(tmp_path)


@pytest.mark.slow
def test_a_million_points_take_seconds(tmp_path):
    write_model(pycolmap.Reconstruction(), tmp_path)
    points = np.zeros(10**6, [("id", "<u8"), ("rest", "V35"), ("length", "<u8"), ("track", "<u8", 5)])
    points["id"], points["length"] = np.arange(10**6), 5
    (tmp_path / "points3D.bin").write_bytes(struct.pack("<Q", 10**6) + points.tobytes())
    started = time.process_time()
    require_whole(tmp_path)
    assert time.process_time() - started < 5
    shutil.rmtree(tmp_path)
