"""SIFT by COLMAP's defaults, stage by stage, for the benchmarks that compare with it."""

import json
from pathlib import Path

import pycolmap

from d2sfm.colmap import quiet_pycolmap
from d2sfm.database import FeatureStore, Note, create_database, exclusive
from d2sfm.extraction.folder import import_folder
from d2sfm.extraction.pending import note_folder
from d2sfm.options import CameraOptions
from d2sfm.photographs.photograph import read_headers
from d2sfm.photographs.reading import list_photographs
from d2sfm.skipped import Skipped
from d2sfm.system import processors

# COLMAP's own default, all of the machine's processors, knows nothing of those that this process may not use.
NUM_THREADS = processors()


def extract_sift(database: Path, images: Path, cameras: CameraOptions, **sift) -> None:
    """Import the photographs as ``d2sfm extract`` does, so that cameras are the same, and extract at full resolution.

    COLMAP's defaults: 8192 features at most, and photographs of more than 3200 px on the long edge are reduced to it.
    sift: what of its SiftExtractionOptions is otherwise.
    """
    with exclusive(database):
        create_database(database)
        note_folder(database, images)
        skipped = Skipped()
        import_folder(database, images, read_headers(images, list_photographs(images), skipped), cameras, skipped)
        with FeatureStore(database) as store:
            names = sorted(store.images())
        options = pycolmap.FeatureExtractionOptions(num_threads=NUM_THREADS)
        options.sift.mergedict(sift)
        with quiet_pycolmap():
            pycolmap.extract_features(database, images, names, extraction_options=options, device=pycolmap.Device.cpu)


def match_sift(database: Path) -> None:
    """Match all pairs with COLMAP's ratio test and cross check, without verification."""
    options = pycolmap.FeatureMatchingOptions(num_threads=NUM_THREADS, skip_geometric_verification=True)
    with exclusive(database), quiet_pycolmap():
        pycolmap.match_exhaustive(database, options, device=pycolmap.Device.cpu)


def verify_sift(database: Path, seed: int, max_error_px: float | None = None) -> None:
    """Two-view geometries of the matched pairs. Bit for bit what matching without the skip computes at this seed.

    max_error_px: of inliers, in pixels of the photographs (default: COLMAP's).
    """
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.random_seed = seed
    if max_error_px is not None:
        options.ransac.max_error = max_error_px
    threads = pycolmap.GeometricVerifierOptions(num_threads=NUM_THREADS)
    with exclusive(database), quiet_pycolmap():
        pycolmap.geometric_verification(database, threads, two_view_geometry_options=options)
        with FeatureStore(database) as store:  # mapping's thresholds follow it
            store.notes.write(Note.MATCH, json.dumps({"max_error": options.ransac.max_error}))
