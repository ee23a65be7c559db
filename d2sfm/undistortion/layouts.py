"""What programs need beside the pictures: the model, and files of their own."""

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np
import pycolmap

from d2sfm.files import replacing
from d2sfm.models import PLY_NAME, write_model
from d2sfm.options import Layout
from d2sfm.undistortion.pictures import mask_path, write_mask

# nerfstudio's world: z is up where COLMAP's y is down. Rows are its axes in COLMAP's.
NERFSTUDIO_FROM_COLMAP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
# Its cameras, like OpenGL's, look along -z, and y is up.
_OPENGL_CAMERA = np.diag([1.0, -1, -1, 1])

SOURCE_IMAGES = 20  # of each photograph, for COLMAP's stereo: as many as its own undistorter asks for
_MAPS = ("depth_maps", "normal_maps", "consistency_graphs")


def write_layout(layout: Layout, model: pycolmap.Reconstruction, folder: Path, called: Path) -> None:
    """Write the model of the pictures in ``folder``/images, and the other files of the layout.

    called: what messages name. Raises RuntimeError if the disk is full.
    """
    _WRITERS[layout](model, folder, called)


def _write_colmap(model: pycolmap.Reconstruction, folder: Path, called: Path) -> None:
    """COLMAP's dense workspace."""
    (folder / "sparse").mkdir(exist_ok=True)
    write_model(model, folder / "sparse", called=called)
    names = sorted(image.name for image in model.images.values())
    for kind in _MAPS:
        for parent in {Path(name).parent for name in names}:
            (folder / "stereo" / kind / parent).mkdir(parents=True, exist_ok=True)
    _write_lines(folder / "stereo/fusion.cfg", names)
    _write_lines(
        folder / "stereo/patch-match.cfg", [line for name in names for line in (name, f"__auto__, {SOURCE_IMAGES}")]
    )


def _write_gaussians(model: pycolmap.Reconstruction, folder: Path, called: Path) -> None:
    (folder / "sparse/0").mkdir(parents=True, exist_ok=True)
    write_model(model, folder / "sparse/0", called=called, ply=True)


def _write_nerfstudio(model: pycolmap.Reconstruction, folder: Path, called: Path) -> None:
    images = sorted(model.images.values(), key=lambda image: image.name)
    has_masks = (folder / "masks").exists()
    if has_masks:  # of all, or of none
        for image in images:
            if not (path := mask_path(folder, image.name)).exists():
                write_mask(path, np.ones((image.camera.height, image.camera.width), bool))
    model.transform(pycolmap.Sim3d(1.0, pycolmap.Rotation3d(NERFSTUDIO_FROM_COLMAP), np.zeros(3)))
    write_model(model, folder, called=called, binary=False, ply=True)
    transforms = {
        "camera_model": "PINHOLE",
        "applied_transform": np.column_stack([NERFSTUDIO_FROM_COLMAP, np.zeros(3)]).tolist(),
        "ply_file_path": PLY_NAME,
        "frames": [_frame(image, has_masks) for image in images],
    }
    _write_lines(folder / "transforms.json", [json.dumps(transforms, indent=1, ensure_ascii=False)])


def _frame(image: pycolmap.Image, has_mask: bool) -> Mapping:
    """The entry of an image for nerfstudio, of a model in its world."""
    camera = image.camera
    fx, fy, cx, cy = camera.params
    world_from_cam = np.vstack([image.cam_from_world().inverse().matrix(), [0, 0, 0, 1]]) @ _OPENGL_CAMERA
    frame = {
        "file_path": f"images/{image.name}",
        "w": camera.width,
        "h": camera.height,
        "fl_x": float(fx),
        "fl_y": float(fy),
        "cx": float(cx),
        "cy": float(cy),
        "transform_matrix": world_from_cam.tolist(),
        "colmap_im_id": image.image_id,
    }
    return frame | ({"mask_path": f"masks/{image.name}.png"} if has_mask else {})


def _write_lines(path: Path, lines: Collection[str]) -> None:
    with replacing(path) as stream:
        stream.write("".join(f"{line}\n" for line in lines).encode())


_Writer = Callable[[pycolmap.Reconstruction, Path, Path], None]
_WRITERS: Mapping[Layout, _Writer] = {
    Layout.COLMAP: _write_colmap,
    Layout.GAUSSIANS: _write_gaussians,
    Layout.NERFSTUDIO: _write_nerfstudio,
}
