"""Pictures and scenes whose geometry is known exactly, for the tests of every module."""

from pathlib import Path

import cv2
import h5py
import numpy as np
import torch

from d2sfm.demo.scene import Camera, Quad, Scene
from d2sfm.network import trunk
from d2sfm.network.weights.load import D2NET_PREFIX, LAYER_INDEX
from d2sfm.training.scene_info import SceneInfo
from d2sfm.training.scene_info_file import write_scene_info


def textured_picture(seed: int, size: tuple[int, int]) -> np.ndarray:
    """Noise of many grain sizes, [H, W, 3] uint8; size (width, height). A small picture with keypoints everywhere."""
    generator, (width, height) = np.random.default_rng(seed), size
    picture = np.full((height, width, 3), 128.0)
    for grain in (4, 8, 16, 32):
        noise = generator.uniform(-60, 60, (height // grain + 2, width // grain + 2, 3))
        picture += cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
    return np.clip(picture, 0, 255).astype(np.uint8)


def random_weights() -> dict[str, torch.Tensor]:
    """Random weights of VGG16's shapes, scaled so that responses neither vanish nor grow."""
    generator = torch.Generator().manual_seed(0)
    return {
        f"{name}.{kind}": torch.randn(shape, generator=generator) * (2 / (9 * channels_in)) ** 0.5
        for name, channels_in, channels_out in trunk.CONVOLUTIONS
        for kind, shape in (("weight", (channels_out, channels_in, 3, 3)), ("bias", (channels_out,)))
    }


def save_plain_weights(path: Path, gain: float) -> str:
    """A checkpoint whose network only passes brightness on, through the centre tap of one channel; returns the path.

    It is symmetric in every direction, so a symmetric feature has its keypoint at its very centre. A gain of 0 gives
    a network that answers 0 everywhere and has no keypoint in any picture.
    """
    model = {}
    for name, channels_in, channels_out in trunk.CONVOLUTIONS:
        weight, bias = torch.zeros(channels_out, channels_in, 3, 3), torch.zeros(channels_out)
        weight[0, : 3 if channels_in == 3 else 1, 1, 1] = gain / 3 if channels_in == 3 else gain
        if channels_in == 3:
            bias[0] = 124 * gain  # caffe preprocessing takes the mean off: without it the ReLU would cut
        layer = f"{D2NET_PREFIX}{LAYER_INDEX[name]}"
        model |= {f"{layer}.weight": weight, f"{layer}.bias": bias}
    torch.save({"model": model}, path)
    return str(path)


def gaussian_blobs(size: tuple[int, int], spacing_px: int, sigma_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Bright Gaussian blobs on a dark ground, [H, W, 3] uint8, and their centres, [N, 2] in COLMAP's frame.

    size: (width, height). The centres are at all phases of a pixel and of a cell, near a lattice of the spacing.
    """
    width, height = size
    generator = np.random.default_rng(1)
    columns, rows = (np.arange(spacing_px, edge - spacing_px + 1, spacing_px) for edge in size)
    centres = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    centres = centres + generator.uniform(-8, 8, centres.shape)
    x, y = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    grey = np.full((height, width), 40.0)
    for centre_x, centre_y in centres:
        grey += 180 * np.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) / (2 * sigma_px**2))
    return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2), centres


def centroid(image: np.ndarray, near_xy: np.ndarray, radius_px: float) -> np.ndarray:
    """Centre of mass, [2] in COLMAP's frame, of what is brighter than the darkest pixel within the radius."""
    height, width = image.shape[:2]
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    inside = np.hypot(x - near_xy[0], y - near_xy[1]) <= radius_px
    weight = image.mean(axis=2)[inside]
    weight = weight - weight.min()
    return np.array([x[inside] @ weight, y[inside] @ weight]) / weight.sum()


def simple_camera(**changes) -> Camera:
    """A camera at the world's origin that looks along y, 120 x 80 px, f = 100 px; ``changes`` replace its fields."""
    upright = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    fields = {"name": "view", "width": 120, "height": 80, "fx": 100.0, "fy": 100.0, "cx": 60.0, "cy": 40.0}
    return Camera(**{**fields, "rotation": upright, "translation": np.zeros(3), **changes})


def scene_of(*quads: Quad) -> Scene:
    """The quads under a grey sky."""
    return Scene(list(quads), sky=np.full((2, 3), 128.0), centre=np.array([0, 5.0, 0]), extent_m=5.0)


def wall(distance_m: float, texture: np.ndarray, size_m: tuple[float, float] = (40.0, 40.0)) -> Quad:
    """A wall that faces ``simple_camera``, its middle straight ahead."""
    width, height = size_m
    return Quad((-width / 2, distance_m, height / 2), (width, 0, 0), (0, 0, -height), texture)


def write_plane_scene(
    root: Path, scene_id: str = "0000", views: int = 3, size: tuple[int, int] = (176, 144)
) -> SceneInfo:
    """A training scene of exact geometry below ``root``: cameras side by side that look straight at a textured wall.

    Writes ``photographs/<scene>_<k>.png``, ``depth/<scene>_<k>.h5`` and ``info/<scene>.npz``. View k sees the wall 6 k
    pixels further to the right, all of it at a depth of 5; points are on a lattice, at whole pixels of every view.
    """
    (width, height), focal, depth, step_px = size, 100.0, 5.0, 6
    wall_picture = textured_picture(int(scene_id), (width + step_px * views, height))
    x, y = np.meshgrid(np.arange(8, width + step_px * views - 8, 8), np.arange(8, height - 8, 8))
    on_wall = np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float64)
    names = [f"{scene_id}_{k}.png" for k in range(views)]
    poses, ids, positions = np.tile(np.eye(4), (views, 1, 1)), [], []
    for folder in ("photographs", "depth", "info"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(names):
        crop = wall_picture[:, k * step_px : k * step_px + width]
        cv2.imwrite(str(root / "photographs" / name), np.ascontiguousarray(crop[..., ::-1]))
        with h5py.File(root / "depth" / f"{scene_id}_{k}.h5", "w") as file:
            file["depth"] = np.full((height, width), depth, np.float32)
        poses[k, 0, 3] = -k * step_px * depth / focal
        in_view = on_wall - (k * step_px, 0)
        seen = ((in_view >= 8) & (in_view <= (width - 8, height - 8))).all(axis=1)
        ids.append(np.flatnonzero(seen))
        positions.append(in_view[seen])
    lengths = [len(part) for part in ids]
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    off_diagonal = np.ones((views, views)) - 2 * np.eye(views)
    info = SceneInfo(
        image_names=np.array(names),
        image_paths=np.array([f"photographs/{name}" for name in names]),
        depth_paths=np.array([f"depth/{scene_id}_{k}.h5" for k in range(views)]),
        intrinsics=np.tile(intrinsics, (views, 1, 1)),
        poses=poses,
        overlap_matrix=off_diagonal,
        scale_ratio_matrix=off_diagonal,
        angles=np.zeros((views, views)),
        n_points3D=np.array(lengths, np.int64),
        points3D_ids=np.concatenate(ids).astype(np.int64),
        points2D_xy=np.concatenate(positions),
        normalised_depths=np.full(sum(lengths), depth / focal),
        image_ptr=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )
    write_scene_info(root / "info" / f"{scene_id}.npz", info)
    return info


def share_of(image: np.ndarray, colour: tuple[int, int, int], tolerance: int = 40) -> float:
    """Share of the pixels that have about this colour."""
    return (np.abs(image.astype(int) - colour).max(axis=2) <= tolerance).mean()
