"""python -m megadepth_utils.preprocess_scene: what training needs to know of a scene, in one ``<scene>.npz``.

The scene is one of MegaDepth's (--base-path, --scene-id), or an undistorted COLMAP dense workspace (--workspace).
"""

import argparse
import logging
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from d2sfm.console import EXIT_DONE, report, show
from d2sfm.parser import Parser
from d2sfm.text import counted, first_of
from d2sfm.training.scene_info import SceneInfo
from d2sfm.training.scene_info_file import write_scene_info
from megadepth_utils.covisibility import overlap_and_scale_ratio, view_angles_deg
from megadepth_utils.scene_files import SceneFiles, megadepth_files, workspace_files
from megadepth_utils.undistorted_model import UndistortedModel, read_undistorted_model

MIN_DEPTH_BYTES = 100 * 1024  # MegaDepth's smaller files hold an ordinal mask, which is no depth
MIN_OVERLAP = 0.5  # of the pairs that the paper trains on; only counted here

logger = logging.getLogger("megadepth_utils")


def preprocess_scene(files: SceneFiles) -> SceneInfo:
    """The record of a scene, from its model and from which of its images and depth maps are there.

    Observations of points behind their camera are left out. Raises FileNotFoundError if the model is missing,
    RuntimeError if it is broken, or no image has usable depth.
    """
    model = read_undistorted_model(files.model)
    image_paths = np.array([files.image_path(name) for name in model.names])
    depth_paths = np.array([files.depth_path(name) for name in model.names])
    has_depth = _has_depth(files, model, image_paths, depth_paths)
    model, depths = _points_in_front(model, has_depth)
    poses = np.where(has_depth[:, None, None], model.poses, np.nan)
    overlap, scale_ratio = overlap_and_scale_ratio(model.points, depths, model.image_ptr, has_depth)
    return SceneInfo(
        image_names=np.array(model.names),
        image_paths=np.where(has_depth, image_paths, ""),
        depth_paths=np.where(has_depth, depth_paths, ""),
        intrinsics=np.where(has_depth[:, None, None], model.intrinsics, np.nan),
        poses=poses,
        overlap_matrix=overlap,
        scale_ratio_matrix=scale_ratio,
        angles=view_angles_deg(poses),
        n_points3D=np.diff(model.image_ptr),
        points3D_ids=model.points3D_ids[model.points],
        points2D_xy=model.points2D_xy,
        normalised_depths=depths,
        image_ptr=model.image_ptr,
    )


def _has_depth(
    files: SceneFiles, model: UndistortedModel, image_paths: np.ndarray, depth_paths: np.ndarray
) -> np.ndarray:
    """[n] bool: both the image, of its camera's size, and a depth map of it are there. RuntimeError if for none."""
    min_bytes = MIN_DEPTH_BYTES if files.of_megadepth else 1
    sizes = np.array([_size_bytes(files.root / path) for path in depth_paths])
    has_depth = sizes >= min_bytes
    faults = {
        index: fault
        for index in np.flatnonzero(has_depth).tolist()
        if (fault := _fault(files.root / image_paths[index], tuple(model.sizes[index].tolist())))
    }
    has_depth[list(faults)] = False
    found = (
        f"usable depth of {np.sum(has_depth)} of {counted(sizes.size, 'image')}: "
        f"{counted(np.sum(sizes < 0), 'depth map')} missing, "
        f"{np.sum((sizes >= 0) & (sizes < min_bytes))} smaller than {min_bytes} bytes"
    )
    if faults:
        found += f", {counted(len(faults), 'unusable picture')}, as {next(iter(faults.values()))}"
    if not has_depth.any():
        raise RuntimeError(f"{found} (depth maps are looked for in {files.root / files.depths})")
    logger.log(logging.WARNING if faults else logging.INFO, "%s", found)
    return has_depth


def _fault(path: Path, camera_size: tuple[int, int]) -> str | None:
    """What is wrong with a picture, from its header: intrinsics and depth belong to pixels of one size only."""
    try:
        with Image.open(path) as picture:
            size = picture.size
    except FileNotFoundError:
        return f"{path}: missing"
    except (OSError, Image.DecompressionBombError):
        return f"{path}: no picture, or of too many pixels"
    if size != camera_size:
        return f"{path}: {size[0]} x {size[1]}, its camera {camera_size[0]} x {camera_size[1]}"
    return None


def _size_bytes(path: Path) -> int:
    """Size of a file, -1 if it is missing."""
    return path.stat().st_size if path.is_file() else -1


def _points_in_front(model: UndistortedModel, has_depth: np.ndarray) -> tuple[UndistortedModel, np.ndarray]:
    """The model, and its depths over the mean focal length, [m] float64, NaN in images without depth; in the others
    observations that can't be, of points behind their camera, are left out."""
    depths = np.where(has_depth[model.image_of], model.depths(), np.nan)
    kept = ~(depths <= 0)
    if not kept.all():
        in_images = np.unique(model.image_of[~kept])
        logger.warning(
            "left out: %d of %s, of points behind their camera, in %s",
            np.count_nonzero(~kept),
            counted(kept.size, "observation"),
            first_of([model.names[index] for index in in_images], "image"),
        )
        model, depths = model.select(kept), depths[kept]
    return model, depths / model.mean_focals_px[model.image_of]


def main(argv: list[str] | None = None) -> int:
    """Run the command line ``argv`` (default: the process's) and return its exit code."""
    arguments = _make_parser().parse_args(argv)
    logger.setLevel(logging.INFO)
    return report(logger, "preprocess_scene", lambda: _run(arguments), on_interrupt="nothing was written")


def _make_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m megadepth_utils.preprocess_scene", description="Write the scene info that training reads."
    )
    parser.add_argument("--base-path", type=Path, metavar="DIR", help="root of the dataset; paths are relative to it")
    parser.add_argument("--scene-id", metavar="ID", help="MegaDepth scene, or name of the workspace's scene")
    parser.add_argument("--workspace", type=Path, metavar="DIR", help="undistorted COLMAP dense workspace")
    parser.add_argument("--output-path", type=Path, required=True, metavar="DIR", help="folder of the file <ID>.npz")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    if arguments.workspace is not None:
        files = workspace_files(arguments.workspace, arguments.base_path, arguments.scene_id)
    elif arguments.base_path is None or arguments.scene_id is None:
        raise ValueError("--base-path and --scene-id are needed, or --workspace")
    else:
        files = megadepth_files(arguments.base_path, arguments.scene_id)
    info = preprocess_scene(files)
    path = arguments.output_path / f"{files.scene_id}.npz"
    write_scene_info(path, info)
    pairs = int(np.sum(info.overlap_matrix >= MIN_OVERLAP))
    show(
        f"{path}: {counted(info.has_depth.size, 'image')}, {info.has_depth.sum()} with depth, "
        f"{counted(pairs, 'ordered pair')} with overlap >= {MIN_OVERLAP}"
    )
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
