"""Numbers about reconstructions: size, quality, and a score that ranks them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap

from d2sfm.colmap import posed_images
from d2sfm.text import aligned

MIN_SUPPORT = 30  # triangulated points that an image needs before its pose can be relied on
SHARP_PX = 0.5  # of the network input: the scale of Cauchy's loss, about the error of refined keypoints
WRONG_PX = 4.0  # an observation that is so far off says nothing; COLMAP's mapper drops it
MOST_UNEVEN = 1.05  # one focal length over the other: pixels of cameras are square, to some thousandths
MIN_GAIN = 0.01  # of a camera for each image: where there was no distortion, that of 10 photographs gained 0.2 %


@dataclass(frozen=True, kw_only=True)
class ModelStatistics:
    """Size and quality of one reconstruction."""

    images: int  # registered
    supported: int  # registered, with MIN_SUPPORT triangulated points or more
    points: int
    points_of_three: int  # points seen by three or more images: nothing else checks a point of two
    observations: int
    agreement: float  # observations of points_of_three, weighted by the point's mean error: 1 (none) to 0 (WRONG_PX)
    track_length: float  # mean, images that see a point
    error_px: float  # mean reprojection error, pixels of the photographs


def statistics(reconstruction: pycolmap.Reconstruction, pixel_factor: float = 1.0) -> ModelStatistics:
    """Statistics of a reconstruction; an empty one has zeros.

    pixel_factor: pixels of the photographs for one of the network input, for the weights of ``agreement`` alone.
    """
    registered = posed_images(reconstruction)
    lengths = [point.track.length() for point in reconstruction.points3D.values()]
    return ModelStatistics(
        images=len(registered),
        supported=sum(image.num_points3D >= MIN_SUPPORT for image in registered),
        points=len(lengths),
        points_of_three=sum(length >= 3 for length in lengths),
        observations=sum(lengths),
        agreement=_agreement(reconstruction, pixel_factor),
        track_length=float(np.mean(lengths)) if lengths else 0.0,
        error_px=float(reconstruction.compute_mean_reprojection_error()) if lengths else 0.0,
    )


def _agreement(reconstruction: pycolmap.Reconstruction, pixel_factor: float) -> float:
    """Sum of weights: by what share Cauchy's loss of a point's mean error is less than that of WRONG_PX."""
    found = [(point.error, point.track.length()) for point in reconstruction.points3D.values()]
    error_px, lengths = np.array(found, dtype=float).reshape(-1, 2).T
    loss = np.log1p((np.maximum(error_px, 0) / pixel_factor / SHARP_PX) ** 2)
    weight = np.maximum(1 - loss / np.log1p((WRONG_PX / SHARP_PX) ** 2), 0)
    weight[error_px < 0] = 0  # not computed
    return float(np.sum((weight * lengths)[lengths >= 3]))


def score(model: ModelStatistics) -> tuple[int, float, float]:
    """How good a model is, larger is better: supported images, then agreement, then small error.

    The number of registered images alone misleads: wrong models of D2 features register all images of a small
    collection, each on a handful of points. A wrong model lacks points seen by three or more images, but the best few
    of a dozen models have about as many; weighted by their errors, the more exact poses win.
    """
    return model.supported, model.agreement, -model.error_px


def is_worth_it(released: ModelStatistics, held: ModelStatistics, cameras: int) -> bool:
    """Whether refined distortion explains more than its additional parameters alone would.

    cameras: their number in the released model, each with distortion of its own.
    """
    if released.supported != held.supported:
        return released.supported > held.supported
    return released.agreement > (1 + MIN_GAIN * cameras / released.images) * held.agreement


def uneven_focal_lengths(model: pycolmap.Reconstruction) -> list[pycolmap.Camera]:
    """Cameras of registered images whose focal lengths in x and y differ by more than those of square pixels can.

    The two drift apart if they are free and the photographs do not determine them. A panorama has none.
    """
    used = {image.camera_id for image in posed_images(model)}
    cameras = [model.cameras[camera_id] for camera_id in sorted(used)]
    return [
        camera
        for camera in cameras
        if len(camera.focal_length_idxs()) == 2
        and not 1 / MOST_UNEVEN <= camera.focal_length_x / camera.focal_length_y <= MOST_UNEVEN
    ]


def table(models: Sequence[ModelStatistics], of_images: int, labels: Sequence[str]) -> str:
    """Aligned text in the field's words, a line for each model. of_images: how many the database holds."""
    header = ("model", "registered images", "points", "track length", "reprojection error")
    rows = [
        (
            label,
            f"{model.images} of {of_images}",
            str(model.points),
            f"{model.track_length:.2f}",
            f"{model.error_px:.2f} px",
        )
        for label, model in zip(labels, models, strict=True)
    ]
    return aligned([header, *rows])


def detailed_table(models: Sequence[ModelStatistics], of_images: int, labels: Sequence[str]) -> str:
    """The same with everything that ranks models."""
    header = ("", "images", "supported", "points", "seen by 3+", "agreement", "observations", "track", "error px")
    rows = [
        (
            label,
            f"{model.images} of {of_images}",
            str(model.supported),
            str(model.points),
            str(model.points_of_three),
            f"{model.agreement:.0f}",
            str(model.observations),
            f"{model.track_length:.2f}",
            f"{model.error_px:.2f}",
        )
        for label, model in zip(labels, models, strict=True)
    ]
    return aligned([header, *rows])
