"""A small reconstruction to report: a model, its database with a photograph that the model lacks, and photographs."""

import sqlite3
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pycolmap
from PIL import ExifTags, Image
from support.synthetic_model import synthetic_database

HOSTILE = (
    "<img src=x onerror=document.title=1>.jpg",
    "</script><script>document.title=2</script>.jpg",
    "\"quotes' &amp; more.jpg",
    "turned\u202egpj.exe",
    "bell\x07\x1b[31m\nnext.jpg",
    "{{ 7 * 7 }} شارع.jpg",
)
MAKER = '<b>Maker</b>"</script>'


class Reported(NamedTuple):
    """Where it lies; missing: the name of the photograph that the model lacks."""

    folder: Path
    missing: str

    @property
    def database(self) -> Path:
        return self.folder / "db.db"

    @property
    def model(self) -> Path:
        return self.folder / "sparse" / "0"

    @property
    def photographs(self) -> Path:
        return self.folder / "photos"


def write_reported(folder: Path, names=tuple(f"{number}.jpg" for number in range(6))) -> Reported:
    """Write it below a folder; the last of the names is missing in the model, as none of its pairs agrees."""
    made = Reported(folder, names[-1])
    truth = synthetic_database(made.database, len(names))
    of_old = {image.name: (image.image_id, name) for image, name in zip(truth.images.values(), names, strict=True)}
    connection = sqlite3.connect(made.database)
    for old, (_, name) in of_old.items():
        connection.execute("UPDATE images SET name = ? WHERE name = ?", (name, old))
    for image in truth.images.values():
        image.name = of_old[image.name][1]
    [gone] = [image for image in truth.images.values() if image.name == made.missing]
    ids = f"(pair_id / 2147483647 = {gone.image_id} OR pair_id % 2147483647 = {gone.image_id})"
    connection.execute(f"UPDATE two_view_geometries SET rows = 0, data = NULL WHERE {ids}")
    connection.commit()
    connection.close()
    truth.deregister_frame(gone.frame_id)
    truth.update_point_3d_errors()
    made.model.mkdir(parents=True)
    truth.write(made.model)
    camera = gone.camera
    for number, name in enumerate(names):
        path = made.photographs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.new("RGB", (camera.width, camera.height), (40 * number, 90, 120))
        exif = picture.getexif()
        exif[ExifTags.Base.Make], exif[ExifTags.Base.Orientation] = MAKER, 6
        picture.save(path, "JPEG", exif=exif)
    return made


def two_groups(size: int, weight: int = 100, joint: int = 20) -> tuple[np.ndarray, ...]:
    """Pairs a, b and their matches: two groups of so many photographs, all of each with each other, and one pair of
    both (size - 1, size)."""
    pairs = [
        (a, b, weight) for first in (0, size) for a in range(first, first + size) for b in range(a + 1, first + size)
    ]
    return tuple(np.array(column, np.int64) for column in zip(*pairs, (size - 1, size, joint), strict=True))


def with_points(model: pycolmap.Reconstruction) -> list[pycolmap.Image]:
    """Registered images, by id."""
    return [model.images[image_id] for image_id in sorted(model.reg_image_ids())]
