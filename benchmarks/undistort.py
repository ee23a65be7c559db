"""Time and disk of undistortion: ``python benchmarks/undistort.py FOLDER [--threads N]``.

FOLDER holds ``images/`` and ``ground_truth/`` (a COLMAP model of cameras without distortion). They get a mild one, so
that every pixel is resampled, and the photographs are undistorted as ``megadepth_utils.undistortion`` does it.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.colmap import quiet_pycolmap

RADIAL = -0.05
MAX_EDGE = 1600


def distorted(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    """The model with cameras of the same size and focal length, and some barrel distortion."""
    for camera in model.cameras.values():
        focal_px = camera.mean_focal_length()
        camera.model = pycolmap.CameraModelId.SIMPLE_RADIAL
        camera.params = [focal_px, camera.width / 2, camera.height / 2, RADIAL]
    return model


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    model = distorted(pycolmap.Reconstruction(arguments.folder / "ground_truth"))
    megapixels = np.mean([camera.width * camera.height for camera in model.cameras.values()]) / 1e6
    options = pycolmap.UndistortCameraOptions()
    options.max_image_size = MAX_EDGE
    with tempfile.TemporaryDirectory() as scratch, quiet_pycolmap():
        source, target = Path(scratch) / "source", Path(scratch) / "target"
        source.mkdir()
        model.write_binary(source)
        began = time.perf_counter()
        pycolmap.undistort_images(
            target, source, arguments.folder / "images", undistort_options=options, num_threads=arguments.threads
        )
        seconds = time.perf_counter() - began
        sizes = [path.stat().st_size for path in (target / "images").rglob("*.*")]
    count = len(sizes)
    print(f"{count} photographs of {megapixels:.1f} megapixels, {arguments.threads} thread(s)")
    print(f"{seconds / count:.3f} s and {sum(sizes) / count / 1e6:.2f} MB a photograph")


if __name__ == "__main__":
    main()
