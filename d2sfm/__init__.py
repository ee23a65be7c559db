"""d2sfm: D2-Net features for COLMAP, from photographs to a reconstruction.

    preparation -> photographs -> network -> features -> orientation -> extraction -> database
                -> pairs -> matching -> refinement -> mapping                      all of it: workflow
                -> georeference, undistortion, localization of further photographs

    a database of another extractor -> bridge -> mapping

    scenes with depth (megadepth_utils) -> training -> weights of the network

Each is a package, the driver in it has the name of the command (``extraction.extract``, ``matching.match``, ...).
Beside them: formats, exchange, bridge, evaluation, plots, show, report, demo, shards; options and commands. A
photograph's features, a whole stage:

    from d2sfm import Extractor, extract_to_database
    features = Extractor().extract("photo.jpg")
    extract_to_database("db.db", "photos")
"""

import sys
import warnings

# zlib must be loaded before pycolmap: its library exports deflate symbols of its own, and a zlib loaded
# after it binds to them and aborts the process at the first compressed write.
import zlib  # noqa: F401
from importlib import import_module
from itertools import takewhile

__version__ = "0.1.0"

# Modules are listed in the order in which their import ended; a part of pycolmap's ends before it loads its library,
# which loads NumPy. NumPy's own libraries load zlib, too.
_before = set(takewhile(lambda name: not name.startswith("pycolmap"), sys.modules))
if "pycolmap" in sys.modules and not {"zlib", "numpy"} & _before:
    warnings.warn(
        "pycolmap was imported before d2sfm. This process can now abort when it writes a PNG or a compressed file. "
        "Write 'import d2sfm' above 'import pycolmap'.",
        RuntimeWarning,
        stacklevel=2,
    )

# Where the public names live. They are loaded at first use, so that importing d2sfm costs nothing.
_PUBLIC = {
    "options": "BridgeOptions CameraOptions Convention DescriptorDtype ExtractionOptions GeoreferenceOptions "
    "LocalizationOptions MapCacheOptions MaskOptions MatchingOptions Orientation PairOptions PairSelectionOptions "
    "PreparationOptions Quality ReconstructionOptions RefinementOptions StorageOptions TrainingOptions "
    "TriangulationOptions UndistortionOptions VerificationOptions",
    "preparation.prepare": "prepare",
    "photographs.masks": "Masks",
    "features.extractor": "Extractor",
    "features.record": "Features",
    "extraction.extract": "extract_to_database",
    "database": "FeatureStore MatchStore create_database import_photographs",
    "matching.match": "match_database",
    "matching.neighbours": "mutual_nearest_neighbours",
    "refinement.refine": "refine_database restore_database",
    "refinement.refine_matches": "refine_matches",
    "refinement.gather": "gather_shares",
    "refinement.shares": "align_share",
    "shards.share": "Share",
    "shards.features": "extract_shard",
    "shards.pairs": "choose_pairs",
    "shards.matching": "match_shard",
    "shards.assemble": "assemble",
    "shards.cluster": "cluster",
    "bridge.bridge": "bridge_database unbridge_database",
    "mapping.extend": "extend_model",
    "mapping.reconstruct": "reconstruct",
    "mapping.triangulate": "triangulate",
    "georeference.georeference": "georeference_model",
    "undistortion.undistort": "undistort",
    "localization.localizer": "Localizer",
    "localization.outcome": "NotPlaced Pose",
    "localization.localize": "localize",
    "show.picture": "Picture",
    "show.keypoints": "show_keypoints",
    "show.matches": "show_matches",
    "show.image": "show_image",
    "show.pairs": "show_pairs",
    "show.track": "show_track",
    "show.model": "show_model",
    "workflow.reconstruct_photographs": "reconstruct_photographs",
    "training.train": "train",
    "formats.npz_mat": "read_features write_features",
    "exchange.export": "export_database",
    "exchange.extract_to_files": "extract_to_files",
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names.split()}

__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
