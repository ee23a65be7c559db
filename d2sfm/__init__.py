"""d2sfm: D2-Net features for COLMAP, from photographs to a reconstruction.

    photographs -> network -> features -> extraction -> database
                -> pairs -> matching -> refinement -> mapping

    scenes with depth (megadepth_utils) -> training -> weights of the network

Each is a package, the driver in it has the name of the command (``extraction.extract``, ``matching.match``, ...).
Beside them: formats, exchange, plots, demo; options and commands. A photograph's features, and a whole stage:

    from d2sfm import Extractor, extract_to_database
    features = Extractor().extract("photo.jpg")
    extract_to_database("db.db", "photos")
"""

# zlib must be loaded before pycolmap: its library exports deflate symbols of its own, and a zlib loaded
# after it binds to them and aborts the process at the first compressed write.
import zlib  # noqa: F401
from importlib import import_module

__version__ = "0.1.0"

# Public names and where they live. They are loaded at first use, so that importing d2sfm costs nothing.
_PUBLIC = {
    "CameraOptions": "options",
    "Convention": "options",
    "DescriptorDtype": "options",
    "ExtractionOptions": "options",
    "Extractor": "features.extractor",
    "FeatureStore": "database",
    "Features": "features.record",
    "MapCacheOptions": "options",
    "MaskOptions": "options",
    "Masks": "photographs.masks",
    "MatchStore": "database",
    "MatchingOptions": "options",
    "Orientation": "options",
    "PairOptions": "options",
    "PairSelectionOptions": "options",
    "ReconstructionOptions": "options",
    "RefinementOptions": "options",
    "StorageOptions": "options",
    "TrainingOptions": "options",
    "TriangulationOptions": "options",
    "VerificationOptions": "options",
    "create_database": "database",
    "extract_to_database": "extraction.extract",
    "extract_to_files": "exchange.extract_to_files",
    "import_photographs": "database",
    "match_database": "matching.match",
    "mutual_nearest_neighbours": "matching.neighbours",
    "read_features": "formats.npz_mat",
    "reconstruct": "mapping.reconstruct",
    "refine_database": "refinement.refine",
    "refine_matches": "refinement.refine_matches",
    "restore_database": "refinement.refine",
    "train": "training.train",
    "triangulate": "mapping.triangulate",
    "write_features": "formats.npz_mat",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
