"""Tune the network on one's own photographs: ``python examples/train_on_your_own.py dense trained --epochs 10``.

``dense`` is a workspace of COLMAP's dense reconstruction: ``images/``, ``sparse/``, and ``stereo/depth_maps/``, which
``d2sfm undistort`` and ``colmap patch_match_stereo`` make. The folder ``trained`` gets the scene info, the losses, and
``last.pth``, for ``d2sfm extract --weights trained/last.pth``.
"""

import argparse
from pathlib import Path

from d2sfm import PairOptions, TrainingOptions, train
from d2sfm.training.scene_info_file import write_scene_info
from megadepth_utils.preprocess_scene import preprocess_scene
from megadepth_utils.scene_files import workspace_files


def main() -> None:
    """Find out which photographs see the same, draw pairs of these, train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("output", type=Path, help="folder to write")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=100, help="of each epoch")
    arguments = parser.parse_args()
    files = workspace_files(arguments.workspace, scene_id="own")
    scene_info = arguments.output / "scene_info"
    write_scene_info(scene_info / "own.npz", preprocess_scene(files))
    pairs = PairOptions(pairs_per_scene=arguments.pairs)
    options = TrainingOptions(num_epochs=arguments.epochs)
    print(train(files.root, scene_info, arguments.output, train_scenes=["own"], pairs=pairs, options=options))


if __name__ == "__main__":
    main()
