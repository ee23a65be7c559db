"""Points of ``d2sfm triangulate`` under true cameras, of keypoints as found and refined.

    python benchmarks/known_cameras.py FOLDER ... [--databases DIR]

FOLDER holds ``images/`` and ``ground_truth/`` (a COLMAP model). --databases holds their features with the true
cameras, as NAME/d2.db (``accuracy.py FOLDER --known-cameras --work DIR/NAME`` makes it), which stay as they are; what
is not there is extracted, in float32. Prints size and error in pixels of the photographs, and the verified matches that
agree with the poses.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import pycolmap
from exactness import known_camera
from pages import add_update, update

from d2sfm.extraction.extract import extract_to_database
from d2sfm.mapping.triangulate import TriangulationResult, triangulate
from d2sfm.matching.match import match_database
from d2sfm.options import ExtractionOptions, Precision, RefinementOptions, VerificationOptions
from d2sfm.refinement.refine import refine_database
from d2sfm.text import aligned

HEADER = ("set", "keypoints", "points", "seen by 3+", "track", "error px", "verified matches that agree")


def main() -> None:
    """Triangulate and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--databases", type=Path, metavar="DIR", help="where features may be (default: extracted)")
    add_update(parser)
    arguments = parser.parse_args()
    rows = [HEADER]
    for folder in arguments.folders:
        with tempfile.TemporaryDirectory() as scratch:
            database, truth = Path(scratch) / "d2.db", folder / "ground_truth"
            features(folder, arguments.databases, database)
            match_database(database, verification=VerificationOptions())
            rows.append((folder.name, "D2", *cells(triangulate(database, truth, Path(scratch) / "plain"))))
            refine_database(database, folder / "images", options=RefinementOptions(precision=Precision.FLOAT32))
            rows.append((folder.name, "D2, refined", *cells(triangulate(database, truth, Path(scratch) / "refined"))))
    print(aligned(rows))
    update(arguments.update, rows)


def features(folder: Path, databases: Path | None, database: Path) -> None:
    """Copy the features of a folder, or extract them."""
    if databases is not None and (made := databases / folder.name / "d2.db").exists():
        shutil.copy(made, database)
        return
    cameras = known_camera(pycolmap.Reconstruction(folder / "ground_truth"))
    options = ExtractionOptions(precision=Precision.FLOAT32)
    extract_to_database(database, folder / "images", options=options, cameras=cameras)


def cells(result: TriangulationResult) -> tuple[str, ...]:
    """The columns of one model."""
    size = result.statistics
    numbers = str(size.points), str(size.points_of_three), f"{size.track_length:.2f}", f"{size.error_px:.2f}"
    return *numbers, f"{result.agreeing} of {result.matches}"


if __name__ == "__main__":
    main()
