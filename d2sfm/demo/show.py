"""A first run: render a town square, reconstruct it from D2 features, compare with the truth.

d2sfm demo [--night]
"""

import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.demo.photographs import is_by_night, take_photographs
from d2sfm.demo.pictures import draw
from d2sfm.demo.scene import Camera
from d2sfm.demo.square import EXTENT_M
from d2sfm.evaluation.poses import PoseErrors, compare_with_truth
from d2sfm.extraction.extract import extract_to_database
from d2sfm.mapping.reconstruct import ReconstructionResult, reconstruct
from d2sfm.matching.match import match_database
from d2sfm.notebook import Displayed
from d2sfm.options import (
    CameraMode,
    CameraOptions,
    DemoOptions,
    ReconstructionOptions,
    RefinementOptions,
    VerificationOptions,
)
from d2sfm.refinement.refine import refine_database
from d2sfm.text import aligned

MARKER = "d2sfm_demo.txt"
OUR_FILES = {MARKER, "images", "truth", "sparse", "keypoints.png", "matches.png", "cameras.png"}
OUR_FILES |= {"db.db", "db.db-shm", "db.db-wal", "db.db.lock"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DemoResult(Displayed):
    """Results of the run; ``errors`` is None if nothing could be reconstructed."""

    folder: Path
    reconstruction: ReconstructionResult
    errors: PoseErrors | None
    extent_m: float  # diameter of the scene
    seconds: float

    def __str__(self) -> str:
        lines = [str(self.reconstruction)]
        if self.errors is not None:
            rows = [("error of the cameras", "median", "largest")]
            by_night = np.array([is_by_night(name) for name in self.errors.names])
            parts = {"by day: ": ~by_night, "by night: ": by_night} if by_night.any() else {"": ~by_night}
            for title, chosen in parts.items():
                rotation, centre = self.errors.rotation_deg[chosen], self.errors.centre[chosen]
                for label, values in (
                    ("rotation, degrees", rotation),
                    ("centre, cm", 100 * centre),
                    (f"centre, % of the scene's {self.extent_m:.0f} m", 100 * centre / self.extent_m),
                ):
                    if len(values):
                        rows.append((f"{title}{label}", f"{np.median(values):.3f}", f"{values.max():.3f}"))
            pictures = "keypoints.png, matches.png, cameras.png"
            lines += ["", aligned(rows), f"pictures: {pictures} in {self.folder}"]
        return "\n".join([*lines, f"demo: {self.seconds:.0f} s"])


def show(output: Path | str, *, options: DemoOptions | None = None, progress: bool = False) -> DemoResult:
    """Make ``output`` with the photographs, the database, the model, the true model and three pictures.

    A folder of an earlier demonstration is made again. Raises ValueError if the folder holds anything else.
    """
    started = time.perf_counter()
    output, options = Path(output), options or DemoOptions()
    _prepare(output)
    cameras, truth = take_photographs(output, options, progress=progress)
    result = _reconstruct(output, cameras[0], options.seed, progress)
    errors = None
    if result.models:
        model = pycolmap.Reconstruction(result.models[0])
        errors = compare_with_truth(model, truth)
        draw(output, model, errors, truth)
    return DemoResult(
        folder=output, reconstruction=result, errors=errors, extent_m=EXTENT_M, seconds=time.perf_counter() - started
    )


def _reconstruct(output: Path, camera: Camera, seed: int, progress: bool) -> ReconstructionResult:
    """From photographs of one known camera to a model, by the four commands that the log names."""
    database = output / "db.db"
    params = ",".join(f"{value:g}" for value in (camera.fx, camera.fy, camera.cx, camera.cy))
    given = CameraOptions(camera_mode=CameraMode.SINGLE, camera_model="PINHOLE", camera_params=params)
    logger.info("d2sfm extract --images images --camera-mode single --camera-model PINHOLE --camera-params %s", params)
    logger.info("%s", extract_to_database(database, output / "images", cameras=given, progress=progress))
    logger.info("d2sfm match --seed %d", seed)
    logger.info("%s", match_database(database, verification=VerificationOptions(seed=seed), progress=progress))
    logger.info("d2sfm refine --seed %d", seed)
    logger.info("%s", refine_database(database, options=RefinementOptions(seed=seed), progress=progress))
    logger.info("d2sfm reconstruct --seed %d --num-threads 1", seed)  # one, so that the seed decides the numbers
    options = ReconstructionOptions(seed=seed, num_threads=1)
    return reconstruct(database, output / "sparse", options=options, progress=progress)


def _prepare(output: Path) -> None:
    if output.exists():
        if not output.is_dir():
            raise ValueError(f"{output} is a file, expected a folder for the demonstration")
        others = sorted({path.name for path in output.iterdir()} - OUR_FILES)
        if others:
            raise ValueError(f"{output} holds {others[0]}, which is not part of a demonstration: give another --output")
        if any(output.iterdir()) and not (output / MARKER).exists():
            raise ValueError(f"{output} holds files of another program: give another --output")
        shutil.rmtree(output)
    output.mkdir(parents=True)
    (output / MARKER).write_text("made by d2sfm demo, which replaces the folder when it runs again\n")
