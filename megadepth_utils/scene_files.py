"""Where the files of a scene are: of one of MegaDepth's, or of an undistorted COLMAP dense workspace."""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from d2sfm.training.scene_lists import is_folder_name
from megadepth_utils.undistortion import DENSE, UNDISTORTED


@dataclass(frozen=True, kw_only=True)
class SceneFiles:
    """Where a scene's files are. ``images`` and ``depths`` are folders relative to ``root``, as training sees it.

    Raises ValueError if the scene's id is no folder name.
    """

    scene_id: str
    root: Path
    model: Path
    images: PurePosixPath
    depths: PurePosixPath
    of_megadepth: bool

    def __post_init__(self):
        if not is_folder_name(self.scene_id):
            raise ValueError(f"a scene id must be the name of a folder, found {self.scene_id!r}")

    def image_path(self, name: str) -> str:
        """Path of an image, relative to the root, from its name in the model."""
        return str(self.images / name)

    def depth_path(self, name: str) -> str:
        """Path of an image's depth map, relative to the root. MegaDepth keeps no subfolders of depth maps."""
        if self.of_megadepth:
            return str(self.depths / f"{PurePosixPath(name).stem}.h5")
        return str(self.depths / f"{name}.geometric.bin")


def megadepth_files(base_path: Path, scene_id: str) -> SceneFiles:
    """The files of a MegaDepth scene whose photographs are undistorted."""
    return SceneFiles(
        scene_id=scene_id,
        root=Path(base_path),
        model=Path(base_path) / UNDISTORTED / scene_id / "sparse",
        images=PurePosixPath(UNDISTORTED, scene_id, "images"),
        depths=PurePosixPath(DENSE, scene_id, "dense0/depths"),
        of_megadepth=True,
    )


def workspace_files(workspace: Path, base_path: Path | None = None, scene_id: str | None = None) -> SceneFiles:
    """The files of an undistorted COLMAP dense workspace, relative to ``base_path`` or else to the workspace itself.

    scene_id: None for the name of the workspace's folder. Raises ValueError also where the workspace does not lie below
    the base path.
    """
    workspace = Path(os.path.abspath(workspace))
    root = workspace if base_path is None else Path(os.path.abspath(base_path))
    if not workspace.is_relative_to(root):
        raise ValueError(f"the workspace {workspace} must lie below the base path {root}")
    folder = PurePosixPath(workspace.relative_to(root))
    return SceneFiles(
        scene_id=workspace.name if scene_id is None else scene_id,
        root=root,
        model=workspace / "sparse",
        images=folder / "images",
        depths=folder / "stereo/depth_maps",
        of_megadepth=False,
    )
