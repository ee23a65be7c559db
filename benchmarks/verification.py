"""Verification with similarities and without them, of the same matches: ``python benchmarks/verification.py DATA``.

DATA holds folders of photographs with their truth, SET/images and SET/ground_truth (a COLMAP model), for the sets
below. --databases keeps and takes their features, SET.db, as d2sfm extract makes them with the options that SETS has
(default: made again each time, which takes minutes).

A row for each set, way and seed, and one for pairs of different places, drawn across the sets. CPU milliseconds a pair
of this process, mean and largest, the ways in turn, and those of matching. Pairs "kept" are those with inliers that
chance does not explain; "right", at least half of them true; "of" those whose true matches alone say more than chance.
True are matches that the true poses and cameras agree with within the threshold of the pair; their inliers are counted
over the right pairs. Rotation: of the relative pose from the geometry with the true cameras, median over the pairs of
"of", in degrees. Different places are "kept" wrongly.
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import torch
from exactness import known_camera
from pages import add_update, update

from d2sfm.database import FeatureStore, MatchStore
from d2sfm.extraction.extract import extract_to_database
from d2sfm.matching.chance import chance_explains
from d2sfm.matching.epipolar import epipolar_errors_px
from d2sfm.matching.neighbours import mutual_nearest_neighbours
from d2sfm.matching.verification import Verification, verify
from d2sfm.matching.view import View
from d2sfm.options import CameraOptions, ExtractionOptions, VerificationOptions
from d2sfm.text import aligned

SETS = {"herz_jesus_p8": (1024, True), "fountain_p11": (1024, True), "sacre_coeur": (1600, False)}  # edge, known camera
WAYS = ("without", "with")
HEADER = ("set", "similarities", "seed", "ms", "most ms", "match ms", "kept", "right", "of", "true inliers", "rotation")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What is known of a photograph, and the truth."""

    name: str
    view: View
    descriptors: np.ndarray
    factor: float
    camera: pycolmap.Camera
    pose: pycolmap.Rigid3d


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Matches of two pictures; ``true``: which of them are, None of different places."""

    a: Picture
    b: Picture
    matches: np.ndarray
    similarities: np.ndarray
    max_error_px: float
    matching_s: float
    true: np.ndarray | None

    def is_beyond_chance(self, inliers: int) -> bool:
        """Whether so many of the matches say that the pictures have something in common."""
        cameras = self.a.view.camera, self.b.view.camera
        return not chance_explains(cameras, len(self.matches), inliers, self.max_error_px)


@dataclass(kw_only=True)
class Tally:
    """A row of the table as it grows."""

    seconds: list[float] = field(default_factory=list)
    kept: int = 0
    right: int = 0
    true_inliers: int = 0
    rotation_deg: list[float] = field(default_factory=list)

    def add(self, pair: Pair, verified: Verification, seconds: float, is_meant: bool) -> None:
        """Enter a pair. is_meant: whether its true matches say more than chance."""
        self.seconds.append(seconds)
        inliers = set(map(tuple, verified.geometry.inlier_matches.tolist()))
        agree = np.array([tuple(match) in inliers for match in pair.matches.tolist()], bool)
        is_kept = bool(inliers) and (pair.is_beyond_chance(len(inliers)))
        self.kept += is_kept
        if pair.true is None:
            return
        true = np.count_nonzero(agree & pair.true)
        if is_kept and true >= len(inliers) / 2:
            self.right += is_meant
            self.true_inliers += true
        if is_meant:
            self.rotation_deg.append(rotation_error_deg(pair, verified.geometry, agree))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--databases", type=Path)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--different", type=int, default=26, help="pairs of different places")
    add_update(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.databases or Path(scratch)
        pictures = {name: list(read(arguments.data / name, folder / f"{name}.db")) for name in arguments.sets}
    print("  ".join(HEADER))
    rows = []
    for name, of_set in pictures.items():
        rows += measured(
            name, [matched(*both, is_one_place=True) for both in itertools.combinations(of_set, 2)], arguments
        )
    across = [both for sets in itertools.combinations(pictures.values(), 2) for both in itertools.product(*sets)]
    if across:
        chosen = np.random.default_rng(0).choice(len(across), min(arguments.different, len(across)), replace=False)
        rows += measured("different", [matched(*across[i], is_one_place=False) for i in sorted(chosen)], arguments)
    print(aligned([HEADER, *rows]))
    update(arguments.update, [HEADER, *rows])


def read(folder: Path, database: Path) -> Iterator[Picture]:
    """The photographs of a set, whose features are made where the database is not there."""
    truth = pycolmap.Reconstruction(folder / "ground_truth")
    if not database.exists():
        edge, is_known = SETS[folder.name]
        cameras = known_camera(truth) if is_known else CameraOptions()
        extract_to_database(database, folder / "images", options=ExtractionOptions(max_edge=edge), cameras=cameras)
    images = {image.name: image for image in truth.images.values()}
    with FeatureStore(database) as features:
        factors = features.resize_factors()
    with MatchStore(database) as store:
        for image_id, name in store.image_names().items():
            yield Picture(
                name=name,
                view=View(store.camera(image_id), store.keypoints(image_id)),
                descriptors=store.descriptors(image_id).astype(np.float32),
                factor=factors[image_id],
                camera=truth.cameras[images[name].camera_id],
                pose=images[name].cam_from_world(),
            )


def matched(a: Picture, b: Picture, *, is_one_place: bool) -> Pair:
    """Match two pictures."""
    started = time.process_time()
    matches = mutual_nearest_neighbours(a.descriptors, b.descriptors)
    seconds = time.process_time() - started
    of_a, of_b = matches.T
    max_error_px = VerificationOptions.max_error * max(a.factor, b.factor)
    xy = a.view.keypoints[of_a], b.view.keypoints[of_b]
    pose = b.pose * a.pose.inverse()
    return Pair(
        a=a,
        b=b,
        matches=matches,
        similarities=np.einsum("md,md->m", a.descriptors[of_a], b.descriptors[of_b]),
        max_error_px=max_error_px,
        matching_s=seconds,
        true=epipolar_errors_px(a.camera, xy[0], b.camera, xy[1], pose) <= max_error_px if is_one_place else None,
    )


def measured(name: str, pairs: list[Pair], arguments: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    """The rows of some pairs."""
    meant = [pair.true is not None and pair.is_beyond_chance(np.count_nonzero(pair.true)) for pair in pairs]
    matching_ms = f"{1e3 * np.mean([pair.matching_s for pair in pairs]):.0f}"
    for seed in arguments.seeds:
        tallies = {way: Tally() for way in WAYS}
        for pair, is_meant in zip(pairs, meant, strict=True):
            for way, tally in tallies.items():
                verified, seconds = timed(lambda pair=pair, way=way, seed=seed: verify_as(way, pair, seed))
                tally.add(pair, verified, seconds, is_meant)
        for way, tally in tallies.items():
            ms = 1e3 * np.array(tally.seconds)
            numbers = tally.kept, tally.right, sum(meant), tally.true_inliers
            rotation = f"{np.median(tally.rotation_deg):.2f}" if tally.rotation_deg else "-"
            row = (
                name,
                way,
                str(seed),
                f"{ms.mean():.1f}",
                f"{ms.max():.0f}",
                matching_ms,
                *map(str, numbers),
                rotation,
            )
            print("  ".join(row), flush=True)
            yield row


def verify_as(way: str, pair: Pair, seed: int) -> Verification:
    """Verify a pair one of the ways."""
    return verify(
        pair.a.view,
        pair.b.view,
        pair.matches,
        VerificationOptions(seed=seed),
        similarities=pair.similarities if way == "with" else None,
        max_error_px=pair.max_error_px,
        names=(pair.a.name, pair.b.name),
    )


def timed(work: Callable[[], Verification]) -> tuple[Verification, float]:
    """What it gives, and its seconds of CPU."""
    started = time.process_time()
    return work(), time.process_time() - started


def rotation_error_deg(pair: Pair, geometry: pycolmap.TwoViewGeometry, agree: np.ndarray) -> float:
    """Of the relative rotation that the geometry and the true cameras give; 180 where they give none."""
    if not agree.any():
        return 180.0
    fundamental = geometry.F
    if geometry.E is not None and geometry.E.any():
        of_a, of_b = (np.linalg.inv(picture.view.camera.calibration_matrix()) for picture in (pair.a, pair.b))
        fundamental = of_b.T @ geometry.E @ of_a
    if fundamental is None or not fundamental.any():
        return 180.0
    matrices = [picture.camera.calibration_matrix() for picture in (pair.a, pair.b)]
    xy = (pair.a.view.keypoints[pair.matches[agree, 0]], pair.b.view.keypoints[pair.matches[agree, 1]])
    rays = [
        cv2.undistortPoints(of.astype(float)[:, None], matrix, None) for of, matrix in zip(xy, matrices, strict=True)
    ]
    try:
        _, rotation, *_ = cv2.recoverPose(matrices[1].T @ fundamental @ matrices[0], *rays, np.eye(3))
    except cv2.error:  # fewer points than it asks for
        return 180.0
    true = (pair.b.pose * pair.a.pose.inverse()).rotation
    return float(np.degrees((pycolmap.Rotation3d(rotation) * true.inverse()).angle()))


if __name__ == "__main__":
    main()
