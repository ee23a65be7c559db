"""Additions to pycolmap: models that may be damaged are read safely (pycolmap takes minutes, or all memory, or notices
nothing), its log is silenced, and similarities are found of points in any plane."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pycolmap

try:
    import resource
except ImportError:  # on Windows
    resource = None

MEMORY_IN_PAGES = Path("/proc/self/statm")  # Linux's; macOS keeps to no limit of memory either
SPARE_BYTES = 2**29
BYTES_PER_BYTE = 8  # memory for each byte of the model's files, at the most (measured: 1.5)


def model_files(folder: Path) -> list[Path]:
    """The files of the model in a folder: cameras, images and points, binary ones first; empty without a model."""
    for suffix in (".bin", ".txt"):
        files = [folder / (name + suffix) for name in ("cameras", "images", "points3D")]
        if all(file.is_file() for file in files):
            return files
    return []


def model_digest(folder: Path) -> str:
    """Of the files of the model in a folder: another one after any change of cameras, images or points."""
    digest = hashlib.sha256()
    for path in model_files(folder):
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:32]


def read_model(folder: Path) -> pycolmap.Reconstruction:
    """Read a binary or text model. On Linux, with little memory and at once also where it is damaged.

    Raises FileNotFoundError if it is missing, RuntimeError if it is damaged.
    """
    files = model_files(folder)
    if not files:
        raise FileNotFoundError(f"no COLMAP model in {folder}: expected cameras, images and points3D as .bin or .txt")
    sizes = [file.stat().st_size for file in files]
    try:
        with _limited_memory(SPARE_BYTES + BYTES_PER_BYTE * sum(sizes)):
            model = pycolmap.Reconstruction(folder)
    except MemoryError as error:
        raise RuntimeError(f"the model {folder} can't be read: it claims more than {sum(sizes)} bytes hold") from error
    except (ValueError, IndexError, RuntimeError) as error:  # what broken models were seen to raise
        raise RuntimeError(f"the model {folder} can't be read: {str(error).strip()}") from error
    if files[0].suffix == ".bin":
        for file, size, expected in zip(files, sizes, _least_sizes(model), strict=True):
            if size < expected:
                raise RuntimeError(f"the model {folder} can't be read: {file.name} is cut, {size} of {expected} bytes")
    return model


def posed_images(model: pycolmap.Reconstruction) -> list[pycolmap.Image]:
    """The images that have a pose."""
    return [model.images[image_id] for image_id in model.reg_image_ids()]


def placed_images(model: pycolmap.Reconstruction) -> list[pycolmap.Image]:
    """Images with a pose, by name, without those of damaged models whose pose is not finite."""
    images = sorted(posed_images(model), key=lambda image: image.name)
    return [image for image in images if np.isfinite(image.projection_center()).all()]


@contextmanager
def quiet_pycolmap() -> Iterator[None]:
    """Silence pycolmap's log: what matters in it is also in results and exceptions."""
    level = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = pycolmap.logging.Level.FATAL.value
    try:
        yield
    finally:
        pycolmap.logging.minloglevel = level


def similarity(
    points: np.ndarray,
    positions: np.ndarray,
    *,
    scale: float | None = None,
    ransac: pycolmap.RANSACOptions | None = None,
) -> pycolmap.Sim3d | None:
    """The similarity of least squares, or by RANSAC, that takes points to positions, [N, 3] each, N >= 3.

    scale: if it is known. None if no similarity is found, as of points on one line. pycolmap itself finds none of
    points that lie in one plane with the origin, such as cameras of one height that is 0.
    """
    shift, there = _off_plane(points), _off_plane(positions)
    points, positions = points + shift.translation, positions + there.translation
    if scale is None:
        estimate, robust = pycolmap.estimate_sim3d, pycolmap.estimate_sim3d_robust
    else:
        estimate, robust = pycolmap.estimate_rigid3d, pycolmap.estimate_rigid3d_robust
        points = scale * points
    if ransac is None:
        found = estimate(points, positions)
    else:
        found = robust(points, positions, ransac)
        found = found and found["tgt_from_src"]
    if found and scale is not None:
        found = pycolmap.Sim3d(scale, found.rotation, found.translation)
    return found and there.inverse() * found * shift


def _off_plane(points: np.ndarray) -> pycolmap.Sim3d:
    """A shift after which points do not lie in one plane with the origin."""
    middle = points.mean(axis=0)
    _, extent, axes = np.linalg.svd(points - middle, full_matrices=False)
    return pycolmap.Sim3d(1, pycolmap.Rotation3d(), extent[0] * axes[2] - middle)


@contextmanager
def _limited_memory(growth_bytes: int) -> Iterator[None]:
    """Limit how much the process may grow: in a damaged file, pycolmap takes any number for a length to allocate."""
    if resource is None or not MEMORY_IN_PAGES.exists():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(MEMORY_IN_PAGES.read_text().split()[0])
    limit = pages * resource.getpagesize() + growth_bytes
    given = [bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([limit, *given]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _least_sizes(model: pycolmap.Reconstruction) -> tuple[int, int, int]:
    """Bytes that the binary files of cameras, images and points must have. A cut file may be read without an error."""
    cameras = sum(24 + 8 * len(camera.params) for camera in model.cameras.values())
    images = sum(73 + len(image.name.encode()) + 24 * image.num_points2D() for image in model.images.values())
    points = sum(51 + 8 * point.track.length() for point in model.points3D.values())
    return 8 + cameras, 8 + images, 8 + points
