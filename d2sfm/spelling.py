"""What users may write for a name of d2sfm's: with other dashes and in another case, as other tools call it, misspelt.

Names of options are without their two dashes in here, so that the keys of a file are read in the same way.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from enum import Enum
from fnmatch import fnmatchcase
from typing import TypeVar

Choice = TypeVar("Choice", bound=Enum)

LONG_DASHES = "\u2013\u2014\u2212"  # what word processors and web pages make of --
NEAR = 0.7  # of difflib's ratio: of misspelt options, wrong hints begin a little below

# Options of other tools, as ``plain`` writes them, and those of d2sfm that mean the same, the first that a command has.
ALSO_CALLED = {
    # COLMAP
    "database-path": ("database",),
    "image-path": ("images",),
    "output-path": ("output",),
    "input-path": ("reference", "model"),
    "merged-database-path": ("output",),
    "workspace-path": ("output",),
    "default-random-seed": ("seed",),
    "random-seed": ("seed",),
    "match-list-path": ("pairs",),
    "image-names-path": ("image-list",),
    "imagereader.camera-model": ("camera-model",),
    "imagereader.camera-params": ("camera-params",),
    "imagereader.existing-camera-id": ("existing-camera",),
    "imagereader.default-focal-length-factor": ("default-focal-length-factor",),
    "imagereader.mask-path": ("masks",),
    "imagereader.camera-mask-path": ("camera-mask",),
    "featureextraction.max-image-size": ("max-edge",),
    "siftextraction.max-image-size": ("max-edge",),
    "siftextraction.max-num-features": ("max-keypoints",),
    "siftmatching.max-ratio": ("ratio",),
    "sequentialmatching.overlap": ("overlap",),
    "sequentialpairing.overlap": ("overlap",),
    "spatialmatching.max-num-neighbors": ("num-neighbours",),
    "spatialpairing.max-num-neighbors": ("num-neighbours",),
    "spatialmatching.max-distance": ("max-distance-m",),
    "spatialpairing.max-distance": ("max-distance-m",),
    "vocabtreematching.num-images": ("num-neighbours",),
    "vocabtreepairing.num-images": ("num-neighbours",),
    "twoviewgeometry.min-num-inliers": ("min-num-inliers",),
    "twoviewgeometry.min-inlier-ratio": ("min-inlier-ratio",),
    "twoviewgeometry.max-num-trials": ("max-num-trials",),
    "mapper.num-threads": ("num-threads",),
    # the published D2-Net
    "image-list-file": ("image-list",),
    "model-file": ("weights",),
    "checkpoint-directory": ("output",),
    # hloc
    "image-dir": ("images",),
    "sfm-dir": ("output",),
    "export-dir": ("output",),
    "reference-sfm": ("reference", "model"),
    "reference-sfm-model": ("reference", "model"),
    "num-matched": ("num-neighbours", "num-candidates"),
    "retrieval": ("pairs",),
    "results": ("output",),
    # America
    "num-neighbors": ("num-neighbours",),
}
# Patterns of what has no option of the same meaning, and what does it.
DONE_OTHERWISE = {
    "imagereader.single-camera": "--camera-mode single",
    "imagereader.single-camera-per-folder": "--camera-mode per-folder",
    "imagereader.single-camera-per-image": "--camera-mode per-image",
    "image-list-path": "--only, with names or patterns of names",
    "twoviewgeometry.max-error": "--max-error, in pixels of the network's input",
    "mapper.ba-refine-*": "--refine-cameras yes or no",
    "*use-gpu": "--device cpu or cuda",
    "*gpu-index": "--device cuda:N",
}
COMMANDS_ELSEWHERE = {  # of COLMAP, the published D2-Net and hloc
    "automatic_reconstructor": "run",
    "feature_extractor": "extract",
    "feature_importer": "import",
    "exhaustive_matcher": "match --pairs exhaustive",
    "sequential_matcher": "match --pairs sequential",
    "spatial_matcher": "match --pairs spatial",
    "vocab_tree_matcher": "match --pairs retrieval",
    "matches_importer": "match --pairs FILE",
    "geometric_verifier": "match",
    "mapper": "reconstruct",
    "hierarchical_mapper": "reconstruct",
    "global_mapper": "reconstruct --mapper global",
    "point_triangulator": "triangulate",
    "database_merger": "merge",
    "model_aligner": "georeference",
    "model_orientation_aligner": "georeference --up",
    "image_deleter": "remove",
    "image_registrator": "localize",
    "model_comparer": "evaluate poses",
    "model_analyzer": "report",
    "model_converter": "reconstruct --text or --ply",
    "gui": "show model",
    "image_undistorter": "undistort",
    "rig_configurator": "extract --rig-config",
    "extract_features.py": "extract",
    "train.py": "train",
    "extract_features": "extract",
    "match_features": "match",
    "pairs_from_exhaustive": "match --pairs exhaustive",
    "pairs_from_retrieval": "match --pairs retrieval",
    "pairs_from_covisibility": "match --pairs covisibility",
    "pairs_from_poses": "match --pairs poses",
    "reconstruction": "reconstruct",
    "triangulation": "triangulate",
    "localize_sfm": "localize",
}

COMMANDS_AFTER = {  # COLMAP's own, which have no like here, and the command that writes what they take
    "patch_match_stereo": "undistort --layout colmap",
    "stereo_fusion": "undistort --layout colmap",
}


def plain(name: str) -> str:
    """A name of an option in the letters that all of d2sfm's have."""
    return name.strip(f"-_{LONG_DASHES}").replace("_", "-").lower()


def own_name(name: str, names: Iterable[str]) -> str | None:
    """The name of the option that is meant, or None: the same but for dashes and case, or what another tool calls by
    this name."""
    wanted = plain(name)
    by_letters = {plain(each): each for each in names}
    return next((by_letters[each] for each in (wanted, *ALSO_CALLED.get(wanted, ())) if each in by_letters), None)


def done_otherwise(name: str) -> str | None:
    """What does in d2sfm what an option of COLMAP's of this name does there; None if nothing is known of it."""
    return next((text for pattern, text in DONE_OTHERWISE.items() if fnmatchcase(plain(name), pattern)), None)


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The most similar word, one of the same letters before others; None if no word is near."""
    by_letters, wanted = {plain(each): each for each in words}, plain(word)
    found = get_close_matches(wanted, by_letters, cutoff=NEAR)
    return by_letters[max(found, key=lambda each: sorted(each) == sorted(wanted))] if found else None


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, if any."""
    meant = nearest(word, words)
    return f": did you mean {meant}?" if meant else ""


def chosen(kind: type[Choice], word: object) -> Choice | None:
    """The choice that is meant, in any case and with underscores for dashes; None if there is none."""
    if isinstance(word, str):
        word = word.replace("_", "-").lower()
    return next((each for each in kind if each.value == word), None)
