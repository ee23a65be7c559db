"""A map of the small scene, of known cameras: all photographs but one, which is left to be placed."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pycolmap
from support.small_scene import FOCAL_PX, SIZE, write_small_scene

from d2sfm.extraction.extract import extract_to_database
from d2sfm.mapping.triangulate import triangulate
from d2sfm.matching.match import match_database
from d2sfm.options import CameraMode, CameraOptions, TriangulationOptions, VerificationOptions
from d2sfm.refinement.refine import refine_database

COUNT, STEP_M, LEFT_OUT = 5, 0.35, 2


@dataclass(frozen=True)
class SmallMap:
    """Paths, and what is true of the query."""

    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "db.db"

    @property
    def model(self) -> Path:
        return self.folder / "model" / "0"

    @property
    def queries(self) -> Path:
        return self.folder / "queries"

    @property
    def query(self) -> Path:
        return self.queries / f"{LEFT_OUT}.png"

    @property
    def truth(self) -> Path:
        """A list with the true pose of the query."""
        return self.folder / "truth.txt"


def camera() -> pycolmap.Camera:
    """Of all photographs."""
    return pycolmap.Camera(model="SIMPLE_PINHOLE", width=SIZE[0], height=SIZE[1], params=(FOCAL_PX, *_middle()))


def make_small_map(folder: Path) -> SmallMap:
    """Extract, match, refine and triangulate."""
    made = SmallMap(folder)
    photographs = write_small_scene(folder / "photographs", COUNT, STEP_M)
    made.queries.mkdir()
    (photographs / f"{LEFT_OUT}.png").rename(made.query)
    params = ",".join(map(str, (FOCAL_PX, *_middle())))
    given = CameraOptions(camera_mode=CameraMode.SINGLE, camera_model="SIMPLE_PINHOLE", camera_params=params)
    extract_to_database(made.database, photographs, cameras=given)
    match_database(made.database, verification=VerificationOptions(), num_threads=1)
    refine_database(made.database)
    write_true_model(folder / "true", [number for number in range(COUNT) if number != LEFT_OUT])
    triangulate(made.database, folder / "true", folder / "model", options=TriangulationOptions(num_threads=1))
    made.truth.write_text(f"{made.query.name} 1 0 0 0 {-centre_x(LEFT_OUT)} 0 0\n")
    return made


def centre_x(number: int) -> float:
    """Where a photograph was taken, metres; y and z are 0, and there is no rotation."""
    return STEP_M * (number - (COUNT - 1) / 2)


def write_true_model(folder: Path, numbers: Iterable[int]) -> None:
    """Of the photographs of these numbers, without points."""
    model, known = pycolmap.Reconstruction(), camera()
    known.camera_id = 1
    model.add_camera_with_trivial_rig(known)
    for number in numbers:
        image = pycolmap.Image(name=f"{number}.png", camera_id=1, image_id=number + 1)
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(), [-centre_x(number), 0, 0])
        model.add_image_with_trivial_frame(image, pose)
    folder.mkdir()
    model.write_binary(folder)


def _middle() -> tuple[float, float]:
    return SIZE[0] / 2, SIZE[1] / 2
