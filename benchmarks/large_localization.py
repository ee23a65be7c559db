"""Memory and time of localization in a large map: ``python benchmarks/large_localization.py DATABASE MODEL [OPTIONS]``.

The images of a map are repeated under other names, with links to their photographs, until there are --images of them;
of each the first --keypoints that see points are kept. Prints what the map takes to load, then what --queries queries
take, which are photographs of the map, and the peak of resident memory after both. Every query has other candidates.
"""

import argparse
import resource
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.colmap import read_model
from d2sfm.database import FeatureStore, create_database
from d2sfm.database.connection import open_pycolmap
from d2sfm.features.record import Features
from d2sfm.localization.localizer import Localizer
from d2sfm.text import aligned


def kept(features: Features, image: pycolmap.Image, most: int) -> tuple[Features, list[int]]:
    """Features that see points, and the ids of these."""
    own = image.points2D[: len(features)]
    rows = [row for row, point in enumerate(own) if point.has_point3D()][:most]
    chosen = replace(features, keypoints=features.keypoints[rows], descriptors=features.descriptors[rows])
    return chosen, [own[row].point3D_id for row in rows]


def repeat(
    database: Path, model: pycolmap.Reconstruction, work: Path, images: int, most: int
) -> pycolmap.Reconstruction:
    """Write ``work``/db.db and links in ``work``/photographs; returns the model."""
    with FeatureStore(database) as store:
        folder, fingerprints = store.notes.images_folder(), store.extracted()
        there = [model.images[image_id] for image_id in sorted(model.reg_image_ids())]
        read = {image.name: kept(store.read(image.name), image, most) for image in there}
    names = [(f"{number}_{Path(image.name).name}", image) for number in range(images) for image in there][:images]
    made, points = pycolmap.Reconstruction(), {}
    create_database(work / "db.db")
    (work / "photographs").mkdir()
    with open_pycolmap(work / "db.db") as colmap:
        for image_id, (name, image) in enumerate(names, start=1):
            camera = pycolmap.Camera(image.camera.todict() | {"camera_id": image_id})
            colmap.write_camera(camera, use_camera_id=True)
            row = pycolmap.Image(name=name, camera_id=image_id, image_id=image_id)
            colmap.write_image(row, use_image_id=True)
            (work / "photographs" / name).symlink_to((folder / image.name).resolve())
            made.add_camera_with_trivial_rig(camera)
            features, seen = read[image.name]
            row.points2D = [pycolmap.Point2D(xy) for xy in features.keypoints[:, :2].astype(float)]
            made.add_image_with_trivial_frame(row, image.cam_from_world())
            for number, point_id in enumerate(seen):
                key, element = (name.split("_")[0], point_id), pycolmap.TrackElement(image_id, number)
                if key in points:
                    made.add_observation(points[key], element)
                else:
                    track = pycolmap.Track([element])
                    points[key] = made.add_point3D(model.points3D[point_id].xyz, track, np.zeros(3, np.uint8))
    with FeatureStore(work / "db.db") as store:
        for name, image in names:
            store.write(name, read[image.name][0], fingerprints[image.name])
    return made


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    """Repeat, load, localize, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--keypoints", type=int, default=1000, help="of each image")
    parser.add_argument("--queries", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        model = repeat(arguments.database, read_model(arguments.model), work, arguments.images, arguments.keypoints)
        before, started = peak_gb(), time.perf_counter()
        localizer = Localizer(work / "db.db", model, images=work / "photographs")
        rows = [("", "seconds", "peak GB"), ("map in memory before", "-", f"{before:.2f}")]
        rows.append(("load", f"{time.perf_counter() - started:.1f}", f"{peak_gb():.2f}"))
        names, seconds = localizer.map.names, []
        for number in range(arguments.queries):
            candidates = [names[(5 * number + each) * len(names) // (5 * arguments.queries)] for each in range(5)]
            begun = time.perf_counter()
            localizer.localize(work / "photographs" / candidates[0], candidates=candidates)
            seconds.append(time.perf_counter() - begun)
        rows.append(("query, median", f"{statistics.median(seconds):.2f}", f"{peak_gb():.2f}"))
    print(
        f"{model.num_images()} images, {model.num_points3D()} points, {model.compute_num_observations()} observations"
    )
    print(aligned(rows))


if __name__ == "__main__":
    main()
