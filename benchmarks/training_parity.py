"""Training against the published code's numbers.

    python benchmarks/training_parity.py GOLDEN MEGADEPTH --weights d2_ots.pth

GOLDEN holds the scene info and four training pairs as the published code made them (``mini_megadepth_*.npz``), of the
scene 0000 in MEGADEPTH. Prints the largest differences of the scene info, and a row for each pair.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from d2sfm.network.weights.load import load_weights
from d2sfm.options import ExtractionOptions, PairOptions, Preprocessing, TrainingOptions
from d2sfm.text import aligned
from d2sfm.training.dataset import PairDataset, collate
from d2sfm.training.distributed import Processes
from d2sfm.training.draws import Draw
from d2sfm.training.scenes import load_scene
from d2sfm.training.trainer import Trainer
from megadepth_utils.preprocess_scene import preprocess_scene
from megadepth_utils.scene_files import megadepth_files

MATRICES = ("intrinsics", "poses", "overlap_matrix", "scale_ratio_matrix", "angles", "points2D_xy", "normalised_depths")
HEADER = ("pair", "cells", "same cells", "position px", "score", "loss", "gradient norm", "bias gradient")


def scene_rows(golden: Path, dataset: Path) -> list[tuple[str, str]]:
    """Largest difference of each array of the scene info, made again from the dataset."""
    found = preprocess_scene(megadepth_files(dataset, "0000"))
    with np.load(golden / "mini_megadepth_scene_info.npz") as expected:
        return [(name, f"{np.abs(getattr(found, name) - expected[name]).max():.1e}") for name in MATRICES]


def pair_row(index: int, golden, dataset: PairDataset, trainer: Trainer) -> tuple[str, ...]:
    """Cut out one pair, run the network and the loss, and compare."""
    expected = {key.split("/")[1]: golden[key] for key in golden.files if key.startswith(f"{index}/")}
    paths = dataset.scenes[0].image_paths.tolist()
    images = [paths.index(str(expected[f"image_path{side}"])) for side in (1, 2)]
    row1, column1, row2, column2 = expected["central_match"].tolist()
    item = dataset[Draw(0, *images, (column1, row1), (column2, row2))]
    batch, cells = collate([item]), item.correspondences
    scores, layer = trainer.scores(batch).numpy(), trainer.trunk.conv4_3
    trainer.trunk.zero_grad()
    loss = trainer.losses(batch)[0]
    loss.backward()
    same = np.array_equal(cells.cells1, expected["ids"])
    moved = max(
        np.abs(positions - expected[name].T).max()
        for positions, name in ((cells.in_crop1, "pos1"), (cells.in_crop2, "pos2"))
    )
    bias = layer.bias.grad.numpy() - expected["grad_bias"]
    return (
        str(index),
        str(len(cells.cells1)),
        "yes" if same else "no",
        f"{moved:.1e}" if same else "-",
        f"{max(np.abs(scores[side] - expected[f'scores{side + 1}']).max() for side in (0, 1)):.1e}",
        f"{abs(loss.item() - expected['loss']):.1e}",
        f"{abs(layer.weight.grad.norm().item() / expected['grad_norm_weight'] - 1):.1e}",
        f"{np.linalg.norm(bias) / np.linalg.norm(expected['grad_bias']):.1e}",
    )


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("golden", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--weights", default=ExtractionOptions.weights)
    arguments = parser.parse_args()
    print(aligned([("scene info", "largest difference"), *scene_rows(arguments.golden, arguments.dataset)]))
    pairs = PairOptions()
    scene = load_scene(arguments.golden / "mini_megadepth_scene_info.npz", pairs)
    dataset = PairDataset(arguments.dataset, [scene], pairs)
    weights = load_weights(arguments.weights)
    trainer = Trainer(weights, Preprocessing.CAFFE, TrainingOptions(), torch.device("cpu"), Processes())
    with np.load(arguments.golden / "mini_megadepth_training.npz") as golden:
        indices = sorted({int(key.split("/")[0]) for key in golden.files})
        print(aligned([HEADER, *(pair_row(index, golden, dataset, trainer) for index in indices)]))


if __name__ == "__main__":
    main()
