"""How hloc reads features and matches."""

import h5py
import numpy as np


def keypoints_of_hloc(path, name):
    """What hloc's triangulation writes into COLMAP's database (get_keypoints and import_features)."""
    with h5py.File(str(path), "r", libver="latest") as file:
        keypoints = file[name]["keypoints"].__array__()
    keypoints += 0.5
    return keypoints


def key_of_hloc(name_a, name_b, separator="/"):
    """hloc's names_to_pair, and names_to_pair_old with '_'."""
    return separator.join((name_a.replace("/", "-"), name_b.replace("/", "-")))


def matches_of_hloc(path, name_a, name_b):
    """hloc's find_pair and get_matches."""
    with h5py.File(str(path), "r", libver="latest") as file:
        keys = [
            (key_of_hloc(*names, separator), names == (name_b, name_a))
            for separator in "/_"
            for names in ((name_a, name_b), (name_b, name_a))
        ]
        key, is_reversed = next(found for found in keys if found[0] in file)
        matches = file[key]["matches0"].__array__()
        scores = file[key]["matching_scores0"].__array__()
    index = np.where(matches != -1)[0]
    matches = np.stack([index, matches[index]], -1)
    return np.flip(matches, -1) if is_reversed else matches, scores[index]
