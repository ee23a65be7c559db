"""Time, memory and disk of undistortion.

    python benchmarks/undistort.py FOLDER [--megapixels MP] [--layouts LAYOUT ...] [--threads N]

FOLDER holds ``images/`` and ``ground_truth/`` (a COLMAP model of cameras without distortion). They get a mild one, so
that every pixel is resampled. ``d2sfm undistort`` runs on one photograph and on some: the difference is what one more
takes. COLMAP's own undistortion runs on the same ones. Seconds are those of the processor.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pycolmap
from child import d2sfm
from pages import add_update, update
from PIL import Image

from d2sfm.colmap import quiet_pycolmap
from d2sfm.options import Layout
from d2sfm.text import aligned

RADIAL = -0.05
HEADER = ("layout", "threads", "megapixels", "s a photograph", "MB on disk", "peak, MB", "COLMAP, s")


def write_scene(folder: Path, source: Path, count: int, megapixels: float | None) -> float:
    """Write ``folder``/images and ``folder``/model of so many photographs, enlarged to so many megapixels.

    Cameras keep focal length and size, and get some barrel distortion. Returns the megapixels of a photograph.
    """
    model = pycolmap.Reconstruction(source / "ground_truth")
    for image in sorted(model.images.values(), key=lambda image: image.name)[count:]:
        model.deregister_frame(image.frame_id)
    pixels = []
    for image in (model.images[image_id] for image_id in model.reg_image_ids()):
        camera, path = image.camera, folder / "images" / image.name
        path.parent.mkdir(parents=True, exist_ok=True)
        if megapixels is None:
            shutil.copyfile(source / "images" / image.name, path)
        else:
            scale = (megapixels * 1e6 / (camera.width * camera.height)) ** 0.5
            camera.rescale(scale)
            with Image.open(source / "images" / image.name) as picture:
                picture.resize((camera.width, camera.height)).save(path, quality=95)
        pixels.append(camera.width * camera.height)
    for camera in model.cameras.values():
        params = [camera.mean_focal_length(), camera.width / 2, camera.height / 2, RADIAL]
        camera.model = pycolmap.CameraModelId.SIMPLE_RADIAL
        camera.params = params
    (folder / "model").mkdir()
    model.write_binary(folder / "model")
    return float(np.mean(pixels)) / 1e6


def by_colmap(scene: Path, target: Path) -> float:
    """Seconds of the processor that COLMAP takes for all photographs, with one thread."""
    began = time.process_time()
    with quiet_pycolmap():
        pycolmap.undistort_images(target, scene / "model", scene / "images", num_threads=1)
    return time.process_time() - began


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--megapixels", type=float, help="of the photographs, which are enlarged (default: as they are)"
    )
    parser.add_argument("--count", type=int, default=5, help="photographs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--layouts", type=Layout, nargs="+", default=[Layout.COLMAP])
    add_update(parser)
    arguments = parser.parse_args()
    rows = [HEADER, *(row(layout, arguments) for layout in arguments.layouts)]
    print(aligned(rows))
    update(arguments.update, rows)


def row(layout: Layout, arguments: argparse.Namespace) -> tuple[str, ...]:
    """Of the table, for one layout."""
    runs = []
    with tempfile.TemporaryDirectory() as scratch:
        for count in (1, arguments.count):
            scene, output = Path(scratch, f"scene{count}"), Path(scratch, f"output{count}")
            megapixels = write_scene(scene, arguments.folder, count, arguments.megapixels)
            options = ["--layout", layout, "--num-threads", arguments.threads, "--output", output]
            runs.append(d2sfm("undistort", scene / "model", "--images", scene / "images", *options))
        sizes = [path.stat().st_size for path in (output / "images").rglob("*.*")]
        colmap_s = by_colmap(scene, Path(scratch, "colmap")) / len(sizes)
    one, all_ = runs
    one_more_s = (all_.cpu_seconds - one.cpu_seconds) / (len(sizes) - 1)
    measured = (f"{megapixels:.1f}", f"{one_more_s:.2f}", f"{sum(sizes) / len(sizes) / 1e6:.1f}")
    return (layout, str(arguments.threads), *measured, f"{all_.peak_bytes / 1e6:.0f}", f"{colmap_s:.2f}")


if __name__ == "__main__":
    main()
