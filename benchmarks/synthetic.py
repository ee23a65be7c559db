"""A large synthetic database to map, with its true model beside it.

    python benchmarks/synthetic.py town.db --images 1000 --scene town [--estimated] [--seed 0]

Writes ``town.db``, a COLMAP database of verified pairs without descriptors, and the folder ``town_truth``, a model of
the true poses. Photographs of a street are taken one after the other, those of a town anywhere and in any direction.
Each is paired with the 20 nearest to it by place and direction, and a point is seen by 3 to 10 of these. Keypoints have
noise; of the matches of a pair and of those that verification kept some are wrong, and some pairs are wrong altogether.
With --estimated each photograph has a camera of its own, whose focal length is a guess. All of it is drawn from the
seed; work and memory grow with the number of images.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pycolmap
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from d2sfm.database.connection import open_pycolmap
from d2sfm.models import write_model

WIDTH, HEIGHT, FOCAL_PX = 1600, 1200, 1400.0
GUESS = 1.2  # focal length that COLMAP takes where a photograph tells none, times the longer edge
NEIGHBOURS, TRACK = 20, (3, 10)  # of each image; images that see a point, least and most
DEPTH_M = 8.0, 25.0
RADIAN_M = 12.0  # metres apart that make as bad a neighbour as a radian between the directions
CLUTTER = 0.3  # keypoints of nothing, as a share of the others
WRONG_MATCHES, WRONG_INLIERS = 0.5, 0.03  # as a share of a pair's right matches
WRONG_PAIRS, CHANCE_MATCHES, CHANCE_INLIERS = 0.05, 200, 18  # as a share of the right pairs; their matches and inliers
MIN_INLIERS = 15  # of a pair that verification keeps
TURN_DEG, ASIDE_DEG = 0.5, 2.0  # errors of relative rotations and of the directions of relative translations
SCENES = ("street", "town")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is written. points: for each image, which then sees about six times as many."""

    images: int
    scene: str = "town"
    is_estimated: bool = False
    points: int = 100
    noise_px: float = 1.0
    seed: int = 0

    def __post_init__(self):
        if self.images <= NEIGHBOURS:
            raise ValueError(f"images must be more than {NEIGHBOURS}, found {self.images}")


@dataclass(frozen=True, kw_only=True)
class World:
    """N images and what they see.

    rotations: [N, 3, 3] from the world into the camera, centres: [N, 3] metres, focals: [N] pixels.
    neighbours: [N, NEIGHBOURS] images. image, point, pixels: of K observations, [K], [K] and [K, 2], by image and
    then by point.
    """

    rotations: np.ndarray
    centres: np.ndarray
    focals: np.ndarray
    neighbours: np.ndarray
    image: np.ndarray
    point: np.ndarray
    pixels: np.ndarray

    def pairs(self) -> np.ndarray:
        """The neighbours, [P, 2] images, the smaller first."""
        first = np.repeat(np.arange(len(self.neighbours)), NEIGHBOURS)
        return np.unique(np.sort(np.stack([first, self.neighbours.ravel()], 1), 1), axis=0)


def make_world(settings: Settings, random: np.random.Generator) -> World:
    """Draw poses, points, and who sees them."""
    number = settings.images
    heading, places = street(number, random) if settings.scene == "street" else town(number, random)
    angles = np.stack([heading, *random.normal(0, 0.04, (2, number))], 1)
    # Of a camera that looks along x with z up, turned about z, then y, then x.
    level = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]])
    rotations = level @ Rotation.from_euler("ZYX", angles).as_matrix().transpose(0, 2, 1)
    centres = np.concatenate([places, random.normal(1.7, 0.2, (number, 1))], 1)
    focals = FOCAL_PX * (random.uniform(0.8, 1.25, number) if settings.is_estimated else np.ones(number))
    key = np.concatenate([places, RADIAN_M * np.stack([np.cos(heading), np.sin(heading)], 1)], 1)
    neighbours = cKDTree(key).query(key, NEIGHBOURS + 1)[1][:, 1:]
    poses, parts = (rotations, centres, focals, neighbours), np.array_split(np.arange(number), range(500, number, 500))
    seen = [observations(anchors, poses, settings, random) for anchors in parts]
    image, point, pixels = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    order = np.lexsort((point, image))
    return World(
        rotations=rotations,
        centres=centres,
        focals=focals,
        neighbours=neighbours,
        image=image[order],
        point=point[order],
        pixels=pixels[order] + random.normal(0, settings.noise_px, (len(order), 2)),
    )


def street(number: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Headings [N] radians and places [N, 2] metres: a metre apart along a bent street, to one side of it."""
    along = 0.6 * np.sin(np.arange(number) / 70)
    places = np.cumsum(np.stack([np.cos(along), np.sin(along)], 1), axis=0) + random.normal(0, 0.2, (number, 2))
    return along + 1.1 + random.normal(0, 0.1, number), places


def town(number: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Headings [N] radians and places [N, 2] metres: anywhere in a square, in any direction."""
    return random.uniform(0, 2 * np.pi, number), random.uniform(0, 1.5 * np.sqrt(number), (number, 2))


def observations(
    anchors: np.ndarray, poses: tuple[np.ndarray, ...], settings: Settings, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, point and pixels of points before the anchors, seen by these and some of their neighbours.

    poses: rotations, centres, focals and neighbours, as in ``World``.
    """
    rotations, centres, focals, neighbours = poses
    shape = len(anchors), settings.points
    size = np.array([WIDTH, HEIGHT])
    ray = np.concatenate([random.uniform(-0.5, 0.5, (*shape, 2)) * size, np.ones((*shape, 1))], 2)
    ray[..., :2] /= focals[anchors, None, None]
    world = np.einsum("aji,apj->api", rotations[anchors], ray * random.uniform(*DEPTH_M, (*shape, 1)))
    world += centres[anchors, None]
    candidates = np.concatenate([anchors[:, None], neighbours[anchors]], 1)
    inside = np.einsum("acij,acpj->acpi", rotations[candidates], world[:, None] - centres[candidates][:, :, None])
    depth = np.maximum(inside[..., 2], 1e-9)
    pixels = focals[candidates][..., None, None] * inside[..., :2] / depth[..., None] + size / 2
    is_seen = (inside[..., 2] > 1) & (pixels > 0).all(-1) & (pixels < size).all(-1)
    # Of those that see a point, as many as its track is to have, the anchor always.
    chosen = np.where(is_seen, random.uniform(0, 1, is_seen.shape), 2)
    chosen[:, 0] = -1
    rank = chosen.argsort(1).argsort(1)
    length = random.integers(TRACK[0], TRACK[1] + 1, shape)
    kept = is_seen & (rank < length[:, None])
    kept &= kept.sum(1, keepdims=True) >= TRACK[0]
    anchor, candidate, point = kept.nonzero()
    return candidates[anchor, candidate], anchors[anchor] * settings.points + point, pixels[kept]


def write_synthetic(path: Path, settings: Settings) -> pycolmap.Reconstruction:
    """Write the database. Returns the true model: cameras and poses, no points."""
    random = np.random.default_rng(settings.seed)
    world, truth = make_world(settings, random), pycolmap.Reconstruction()
    bounds = np.searchsorted(world.image, np.arange(settings.images + 1))
    seen = [slice(*ends) for ends in pairwise(bounds)]
    sizes = 10 + ((1 + CLUTTER) * np.diff(bounds)).astype(int)
    with open_pycolmap(path) as colmap, pycolmap.DatabaseTransaction(colmap):
        ids = list(write_images(colmap, settings, world, truth))
        for image_id, rows, size in zip(ids, seen, sizes, strict=True):
            clutter = random.uniform(0, (WIDTH, HEIGHT), (size - (rows.stop - rows.start), 2))
            colmap.write_keypoints(image_id, np.concatenate([world.pixels[rows], clutter]).astype(np.float32))
        pairs = world.pairs()
        for a, b in pairs:
            _, *right = np.intersect1d(world.point[seen[a]], world.point[seen[b]], True, return_indices=True)
            if len(right[0]) >= MIN_INLIERS:
                right, extra = np.stack(right, 1), int(WRONG_INLIERS * len(right[0]))
                inliers = np.concatenate([right, random.integers(sizes[[a, b]], size=(extra, 2))])
                others = random.integers(sizes[[a, b]], size=(int(WRONG_MATCHES * len(right)), 2))
                write_pair(colmap, ids[a], ids[b], inliers, others, truth, random)
        wrong = np.unique(np.sort(random.integers(settings.images, size=(int(WRONG_PAIRS * len(pairs)), 2)), 1), axis=0)
        number = settings.images
        for a, b in wrong[~np.isin(wrong @ (number, 1), pairs @ (number, 1)) & (wrong[:, 0] < wrong[:, 1])]:
            matches = random.integers(sizes[[a, b]], size=(CHANCE_MATCHES, 2))
            write_pair(colmap, ids[a], ids[b], *np.split(matches, [CHANCE_INLIERS]), truth, random, is_wrong=True)
    return truth


def write_images(
    colmap: pycolmap.Database, settings: Settings, world: World, truth: pycolmap.Reconstruction
) -> Iterator[int]:
    """Write images and cameras, also to the true model. Yields the ids of the images."""
    camera_id = None
    for number, (rotation, centre) in enumerate(zip(world.rotations, world.centres, strict=True)):
        if camera_id is None or settings.is_estimated:
            camera = pycolmap.Camera(model="SIMPLE_RADIAL", width=WIDTH, height=HEIGHT)
            camera.has_prior_focal_length = not settings.is_estimated
            camera.params = [GUESS * WIDTH if settings.is_estimated else FOCAL_PX, WIDTH / 2, HEIGHT / 2, 0]
            camera.camera_id = camera_id = colmap.write_camera(camera)
            camera.focal_length = float(world.focals[number])
            truth.add_camera_with_trivial_rig(camera)
        image = pycolmap.Image(name=f"{number:06}.jpg", camera_id=camera_id)
        image.image_id = colmap.write_image(image)
        truth.add_image_with_trivial_frame(image, pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), -rotation @ centre))
        yield image.image_id


def write_pair(
    colmap: pycolmap.Database,
    id_a: int,
    id_b: int,
    inliers: np.ndarray,
    others: np.ndarray,
    truth: pycolmap.Reconstruction,
    random: np.random.Generator,
    is_wrong: bool = False,
) -> None:
    """Write the matches of a pair, and its geometry: the true one with errors, or just any."""
    a, b = truth.images[id_a], truth.images[id_b]
    pose = b.cam_from_world() * a.cam_from_world().inverse()
    turn = Rotation.from_rotvec(np.radians(TURN_DEG) * random.normal(size=3) / np.sqrt(3)).as_matrix()
    aside = np.radians(ASIDE_DEG) * random.normal(size=3) * np.linalg.norm(pose.translation) / np.sqrt(2)
    if is_wrong:
        turn, aside = Rotation.random(rng=random).as_matrix(), random.normal(size=3) * 1e3
    translation = pose.translation + aside
    rotation = pycolmap.Rotation3d(turn @ pose.rotation.matrix())
    pose = pycolmap.Rigid3d(rotation, translation / np.linalg.norm(translation))
    geometry = pycolmap.TwoViewGeometry()
    geometry.inlier_matches = inliers.astype(np.uint32)
    geometry.E = pycolmap.essential_matrix_from_pose(pose)
    inverse_a, inverse_b = (np.linalg.inv(image.camera.calibration_matrix()) for image in (a, b))
    geometry.F = inverse_b.T @ geometry.E @ inverse_a
    if a.camera.has_prior_focal_length:
        geometry.config, geometry.cam2_from_cam1 = int(pycolmap.TwoViewGeometryConfiguration.CALIBRATED), pose
    else:
        geometry.config = int(pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED)
    colmap.write_matches(id_a, id_b, np.concatenate([inliers, others]).astype(np.uint32))
    colmap.write_two_view_geometry(id_a, id_b, geometry)


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", type=Path, help="file to write, which must not be there")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--scene", choices=SCENES, default="town")
    parser.add_argument("--estimated", dest="is_estimated", action="store_true", help="focal lengths are guesses")
    parser.add_argument("--points", type=int, default=Settings.points, help="for each image")
    parser.add_argument("--noise", dest="noise_px", type=float, default=Settings.noise_px, metavar="PX")
    parser.add_argument("--seed", type=int, default=0)
    given = vars(parser.parse_args())
    database = given.pop("database")
    if database.exists():
        raise SystemExit(f"{database} is there already")
    truth = write_synthetic(database, Settings(**given))
    folder = database.with_name(f"{database.stem}_truth")
    folder.mkdir()
    write_model(truth, folder)
    print(f"{database}: {len(truth.images)} images; {folder}: their true poses")


if __name__ == "__main__":
    main()
