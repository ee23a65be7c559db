"""The newcomer's run: render a town square, reconstruct it from D2 features, compare with the truth.

d2sfm demo
"""

import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.demo.pictures import draw
from d2sfm.demo.rendering import photograph, render
from d2sfm.demo.scene import Camera, Scene, arc_of_views
from d2sfm.demo.square import build_square
from d2sfm.evaluation.poses import PoseErrors, compare_with_truth
from d2sfm.extraction.extract import extract_to_database
from d2sfm.mapping.reconstruct import ReconstructionResult, reconstruct
from d2sfm.matching.match import match_database
from d2sfm.models import write_model
from d2sfm.notebook import Displayed
from d2sfm.options import (
    CameraMode,
    CameraOptions,
    DemoOptions,
    ReconstructionOptions,
    RefinementOptions,
    VerificationOptions,
)
from d2sfm.plots.canvas import save_image
from d2sfm.progress import Bar
from d2sfm.refinement.refine import refine_database
from d2sfm.text import aligned

MARKER = "d2sfm_demo.txt"
OUR_FILES = {MARKER, "images", "truth", "sparse", "keypoints.png", "matches.png", "cameras.png"}
OUR_FILES |= {"db.db", "db.db-shm", "db.db-wal", "db.db.lock"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DemoResult(Displayed):
    """What the run found; ``errors`` is None where nothing could be reconstructed."""

    folder: Path
    reconstruction: ReconstructionResult
    errors: PoseErrors | None
    extent_m: float  # diameter of the scene
    seconds: float

    def __str__(self) -> str:
        lines = [str(self.reconstruction)]
        if self.errors is not None:
            rotation, centre = self.errors.rotation_deg, self.errors.centre
            rows = [("error of the cameras", "median", "largest")]
            for label, values in (
                ("rotation, degrees", rotation),
                ("centre, cm", 100 * centre),
                (f"centre, % of the scene's {self.extent_m:.0f} m", 100 * centre / self.extent_m),
            ):
                rows.append((label, f"{np.median(values):.3f}", f"{values.max():.3f}"))
            pictures = "keypoints.png, matches.png, cameras.png"
            lines += ["", aligned(rows), f"pictures: {pictures} in {self.folder}"]
        return "\n".join([*lines, f"demo: {self.seconds:.0f} s"])


def show(output: Path | str, *, options: DemoOptions | None = None, progress: bool = False) -> DemoResult:
    """Make ``output`` with the photographs, the database, the model, the true model and three pictures.

    A folder of an earlier demonstration is made anew. Raises ValueError where the folder holds anything else.
    """
    started = time.perf_counter()
    output, options = Path(output), options or DemoOptions()
    _prepare(output)
    scene = build_square(options.seed)
    cameras = arc_of_views(scene.centre, options.views)
    _take_photographs(output / "images", scene, cameras, options.seed, progress)
    truth = truth_model(cameras)
    (output / "truth").mkdir()
    write_model(truth, output / "truth", binary=False, text=True)
    result = _reconstruct(output, cameras[0], options.seed, progress)
    errors = None
    if result.models:
        model = pycolmap.Reconstruction(result.models[0])
        errors = compare_with_truth(model, truth)
        draw(output, model, errors, truth)
    return DemoResult(
        folder=output,
        reconstruction=result,
        errors=errors,
        extent_m=scene.extent_m,
        seconds=time.perf_counter() - started,
    )


def truth_model(cameras: list[Camera]) -> pycolmap.Reconstruction:
    """The true cameras as a COLMAP model without points; they share one PINHOLE camera, that of the first."""
    first, model = cameras[0], pycolmap.Reconstruction()
    params = [first.fx, first.fy, first.cx, first.cy]
    model.add_camera_with_trivial_rig(
        pycolmap.Camera(camera_id=1, model="PINHOLE", width=first.width, height=first.height, params=params)
    )
    for image_id, camera in enumerate(cameras, start=1):
        cam_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(camera.rotation), camera.translation)
        image = pycolmap.Image(name=camera.name, camera_id=1, image_id=image_id)
        model.add_image_with_trivial_frame(image, cam_from_world)
    return model


def _take_photographs(folder: Path, scene: Scene, cameras: list[Camera], seed: int, progress: bool) -> None:
    generator = np.random.default_rng(seed)
    for camera in Bar(cameras, desc="render", unit="view", disable=not progress):
        save_image(folder / camera.name, photograph(render(scene, camera).image, generator))


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
            raise ValueError(f"{output} holds {others[0]}, which is no demonstration's: give another --output")
        if any(output.iterdir()) and not (output / MARKER).exists():
            raise ValueError(f"{output} holds files of something else: give another --output")
        shutil.rmtree(output)
    output.mkdir(parents=True)
    (output / MARKER).write_text("made by d2sfm demo, which makes the folder anew when it runs again\n")
    (output / "images").mkdir()
