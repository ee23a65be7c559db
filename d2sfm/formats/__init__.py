"""Features and matches in files that other tools read and write: HDF5 in hloc's layout, folders of npz and mat."""

from d2sfm.formats.feature_folder import FeatureFolder
from d2sfm.formats.hloc_features import HlocFeatures, write_hloc_features
from d2sfm.formats.hloc_matches import HlocMatches, require_distinct, write_hloc_matches

__all__ = [
    "FeatureFolder",
    "HlocFeatures",
    "HlocMatches",
    "require_distinct",
    "write_hloc_features",
    "write_hloc_matches",
]
