"""The small scene in a database of COLMAP's SIFT, without pairs of its last photographs."""

from dataclasses import dataclass
from pathlib import Path

import pycolmap
from support.small_map import COUNT, STEP_M, camera
from support.small_scene import write_small_scene

from d2sfm.colmap import quiet_pycolmap
from d2sfm.database.connection import Connection

FEATURES = 600  # of each photograph
APART = ("3.png", "4.png")


@dataclass(frozen=True)
class SiftScene:
    """Paths."""

    folder: Path

    @property
    def images(self) -> Path:
        return self.folder / "photographs"

    @property
    def database(self) -> Path:
        return self.folder / "sift.db"


def make_sift_scene(folder: Path) -> SiftScene:
    """Photographs 0.png to 4.png, with ids 1 to 5; all pairs of the first three are verified, and no others matched."""
    made = SiftScene(folder)
    write_small_scene(made.images, COUNT, STEP_M)
    known = camera()
    reader = pycolmap.ImageReaderOptions(
        camera_model=known.model_name, camera_params=",".join(map(str, known.params.tolist()))
    )
    names, threads = [f"{number}.png" for number in range(COUNT)], {"num_threads": 1}
    extraction = pycolmap.FeatureExtractionOptions(**threads)
    extraction.sift.max_num_features = FEATURES
    with quiet_pycolmap():
        pycolmap.extract_features(
            made.database,
            made.images,
            names,
            camera_mode=pycolmap.CameraMode.SINGLE,
            reader_options=reader,
            extraction_options=extraction,
            device=pycolmap.Device.cpu,
        )
        options = pycolmap.TwoViewGeometryOptions()
        options.ransac.random_seed = 0
        pycolmap.match_exhaustive(
            made.database,
            pycolmap.FeatureMatchingOptions(**threads),
            verification_options=options,
            device=pycolmap.Device.cpu,
        )
    with Connection(made.database) as connection:
        apart = ", ".join("?" * len(APART))
        [(first,)] = connection.rows(f"SELECT min(image_id) FROM images WHERE name IN ({apart})", APART)
        for table in ("matches", "two_view_geometries"):
            connection.rows(f"DELETE FROM {table} WHERE pair_id % 2147483647 >= ?", (first,))
    return made
