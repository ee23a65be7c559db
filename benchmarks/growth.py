"""Photographs refined after the others against all refined at once: how exact, in how much time.

    python benchmarks/growth.py DATABASE TRUTH --new NUMBER ... [--new ...] [--images DIR] [--precision P] [--cache DIR]

DATABASE holds features of d2sfm, and stays as it is; NUMBER: the photographs that come later, by their place in the
order of names, from 0; TRUTH is a COLMAP model without distortion of these photographs, or of some, and what the others
have does not count. Prints, of the new photographs, Sampson errors in pixels of the photographs, and which share of
them is below half a pixel: of their keypoints against the references of their tracks, and of verified matches; with the
CPU seconds of each stage (run it with OMP_NUM_THREADS=1), in which maps of a cache count as far as they are not there.
Once for each --new.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pycolmap
from observations import errors_px
from pages import add_update, update

from d2sfm.database import FeatureStore, MatchStore, working_copy
from d2sfm.database.connection import Connection
from d2sfm.database.removal import remove_features
from d2sfm.matching.epipolar import epipolar_errors_px
from d2sfm.matching.match import match_database
from d2sfm.options import MapCacheOptions, Precision, RefinementOptions, VerificationOptions
from d2sfm.refinement.collection import read_images
from d2sfm.refinement.one_round import Run, read_stages
from d2sfm.refinement.refine import refine_database
from d2sfm.text import aligned

BELOW_PX = 0.5
HEADER = (
    "new",
    "pairs",
    "match, CPU s",
    "refine, CPU s",
    "keypoints < .5 px",
    "of",
    "median, px",
    "matches < .5 px",
    "of matches",
)


class Result(NamedTuple):
    """What matching and refinement of a database found of the new photographs."""

    observations: np.ndarray  # errors in px
    matches: np.ndarray
    pairs: int  # that were matched
    match_s: float
    refine_s: float

    def cells(self) -> tuple[str, ...]:
        """Of the table."""
        return (
            str(self.pairs),
            f"{self.match_s:.1f}",
            f"{self.refine_s:.1f}",
            f"{np.mean(self.observations < BELOW_PX):.3f}",
            str(len(self.observations)),
            f"{np.median(self.observations):.3f}",
            f"{np.mean(self.matches < BELOW_PX):.3f}",
            str(len(self.matches)),
        )


def main() -> None:
    """Refine both ways, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--new", type=int, nargs="+", required=True, action="append")
    parser.add_argument("--images", type=Path)
    parser.add_argument("--precision", type=Precision, default=Precision.AUTO)
    parser.add_argument("--cache", type=Path)
    add_update(parser)
    arguments = parser.parse_args()
    truth = pycolmap.Reconstruction(arguments.truth)
    rows = [HEADER]
    for new in arguments.new:
        rows += both_ways(arguments, new, truth)
    print(aligned(rows))
    update(arguments.update, rows)


def both_ways(arguments: argparse.Namespace, numbers: list[int], truth: pycolmap.Reconstruction) -> list[tuple]:
    """A row for these photographs after the others, and one for all at once."""
    with tempfile.TemporaryDirectory() as scratch:
        together, grown = Path(scratch) / "together.db", Path(scratch) / "grown.db"
        working_copy(arguments.database, together)
        with FeatureStore(together) as store:
            settings = store.extracted()
            new = {name: store.read(name) for number, name in enumerate(settings) if number in numbers}
        shutil.copy(together, grown)
        with Connection(grown) as connection, connection.transaction():
            for (image_id,) in connection.rows("SELECT image_id FROM images"):
                [(name,)] = connection.rows("SELECT name FROM images WHERE image_id = ?", (image_id,))
                if name in new:
                    remove_features(connection, image_id)
        match_database(grown, verification=VerificationOptions())
        refine_database(grown, arguments.images, **given(arguments))
        with FeatureStore(grown) as store:
            for name, features in new.items():
                store.write(name, features, settings[name])
        ways = ((f"{len(new)} of {len(settings)}", grown), (f"{len(settings)} at once", together))
        return [(label, *refined(path, arguments, truth, set(new), path == together).cells()) for label, path in ways]


def given(arguments: argparse.Namespace) -> dict:
    """What refinement is given."""
    options, cache = RefinementOptions(precision=arguments.precision), MapCacheOptions(cache=arguments.cache)
    return {"options": options, "cache": cache, "progress": False}


def refined(
    database: Path, arguments: argparse.Namespace, truth: pycolmap.Reconstruction, new: set[str], is_matched_anew: bool
) -> Result:
    """Match and refine a database."""
    matching, match_s = timed(
        lambda: match_database(database, verification=VerificationOptions(), overwrite=is_matched_anew)
    )
    run = Run(database=database, images=arguments.images, **given(arguments))
    with FeatureStore(database) as store:
        later = frozenset(store.later_in_pairs().values())
    stages = read_stages(run, later).stages
    _, refine_s = timed(lambda: refine_database(database, arguments.images, **given(arguments)))
    collection, tracks, nodes = stages.collection, stages.tracks, stages.moving
    with FeatureStore(database) as store:
        xy = {image.name: image.xy for image in read_images(store, continued=True)}
    xy = np.concatenate([xy[image.name][: len(image.xy)] for image in collection.images])
    posed = {image.name for image in truth.images.values()}
    is_new, is_posed = (np.array([image.name in names for image in collection.images]) for names in (new, posed))
    references = tracks.reference[tracks.of_node[nodes]]
    of_nodes, of_references = (collection.image_of_node[each] for each in (nodes, references))
    counted = nodes[is_new[of_nodes] & is_posed[of_nodes] & is_posed[of_references]]
    observations = errors_px(collection, tracks, counted, xy, truth)
    return Result(
        observations, match_errors_px(database, truth, new), matching.pairs - matching.already_there, match_s, refine_s
    )


def timed(work: Callable) -> tuple[object, float]:
    """What it returns, and its CPU seconds."""
    begun = time.process_time()
    return work(), time.process_time() - begun


def match_errors_px(database: Path, truth: pycolmap.Reconstruction, new: set[str]) -> np.ndarray:
    """Of the verified matches of the pairs of these photographs."""
    posed, errors = {image.name: image for image in truth.images.values()}, [np.zeros(0)]
    with MatchStore(database) as store:
        ids = store.image_ids()
        pairs = [(a, b) for a in ids for b in ids if ids[a] < ids[b] and {a, b} & new and {a, b} <= posed.keys()]
        for a, b in pairs:
            matches = store.inlier_matches(ids[a], ids[b])
            xy = [
                store.keypoints(ids[each])[column].astype(float) for each, column in zip((a, b), matches.T, strict=True)
            ]
            b_from_a = posed[b].cam_from_world() * posed[a].cam_from_world().inverse()
            errors.append(epipolar_errors_px(posed[a].camera, xy[0], posed[b].camera, xy[1], b_from_a))
    return np.concatenate(errors)


if __name__ == "__main__":
    main()
