"""Steps per second of training, and what bounds them.

    python benchmarks/training.py --dataset-path MEGADEPTH --scene-info-path SCENE_INFO --scenes 0000

Prints milliseconds a pair of the loader alone, the trunk's forward pass with the scores, the loss alone (with scores,
forward and backward, on features that stay), the trainer's step alone (on batches already read), and the loader and the
step together, a row for each precision; on a GPU also the share of that time in which it computes.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from pages import add_update, update

from d2sfm.features.detection import soft_scores
from d2sfm.network.device import resolve_device
from d2sfm.network.weights.load import load_weights
from d2sfm.options import PairOptions, Preprocessing, TrainingOptions, TrainingPrecision
from d2sfm.text import aligned
from d2sfm.training.dataset import Batch, PairDataset
from d2sfm.training.distributed import Processes
from d2sfm.training.draws import draw_epoch
from d2sfm.training.loader import load, steps_of
from d2sfm.training.loss import pair_loss
from d2sfm.training.scenes import load_scenes
from d2sfm.training.trainer import Trainer

HEADER = ("ms a pair", "loader", "trunk and scores", "loss", "step", "loader and step")


def main() -> None:
    """Measure and print."""
    arguments = parse()
    rows = [HEADER, *((precision, *measured(precision, arguments)) for precision in arguments.precision)]
    print(aligned(rows))
    update(arguments.update, rows)


def measured(precision: TrainingPrecision, arguments: argparse.Namespace) -> tuple[str, ...]:
    """The columns of one precision."""
    pairs = PairOptions(min_overlap=arguments.min_overlap)
    scenes = load_scenes(arguments.scene_info_path, arguments.scenes, arguments.dataset_path, pairs).usable
    options = TrainingOptions(batch_size=arguments.batch_size, precision=precision)
    device = resolve_device(arguments.device)
    trainer = Trainer(load_weights(options.weights), Preprocessing.CAFFE, options, device, Processes())
    dataset = PairDataset(arguments.dataset_path, scenes, pairs)
    count = arguments.steps * options.batch_size
    draws = draw_epoch(scenes, -(-count // len(scenes)), pairs.max_scale_ratio, seed=0, epoch=1)[:count]
    steps = steps_of(draws, options.batch_size, 1, Processes())

    def read() -> list[tuple[Batch, ...]]:
        return list(load(dataset, steps, arguments.num_workers, device.type == "cuda"))

    def both() -> None:
        for step in load(dataset, steps, arguments.num_workers, device.type == "cuda"):
            trainer.step(step)

    batches = [step for step in read() if step[0].names]  # also fills the disk cache for what is timed
    trainer.step(batches[0])
    kept = sum(len(step[0].names) for step in batches)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    print(f"{name}; {precision}; batches of {options.batch_size}; {arguments.num_workers} workers", flush=True)
    found = (
        seconds(device, read) / count,
        seconds(device, lambda: [trainer.scores(step[0]) for step in batches]) / kept,
        seconds(device, loss_alone(trainer, batches)) / kept,
        seconds(device, lambda: [trainer.step(step) for step in batches]) / kept,
        seconds(device, both) / kept,
    )
    if device.type == "cuda":
        print(f"GPU busy {busy_share(device, both):.0%} of loader and step")
        print(f"GPU memory, largest: {torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB")
    return tuple(f"{1000 * each:.1f}" for each in found)


def loss_alone(trainer: Trainer, batches: list[tuple[Batch, ...]]) -> Callable[[], None]:
    """Scores, loss and their gradient on the features of the first batch, as often as there are batches."""
    batch = batches[0][0]
    size = batch.crops.shape[1] // 8
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(len(batch.crops), 512, size, size, generator=generator).to(trainer.device).requires_grad_()
    cells, pairs = [each.to(trainer.device) for each in batch.cells], len(batch.cells)

    def run() -> None:
        for _ in batches:
            scores = soft_scores(features)
            losses = [
                pair_loss(features[k], features[pairs + k], scores[k], scores[pairs + k], cells[k])
                for k in range(pairs)
            ]
            torch.stack(losses).sum().backward()
            features.grad = None

    return run


def seconds(device: torch.device, work: Callable) -> float:
    """Wall time until the device has done the work."""
    begun = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun


def busy_share(device: torch.device, work: Callable) -> float:
    """Share of the wall time in which anything runs on the GPU."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        wall = seconds(device, work)
    on_gpu = (event for event in profiler.events() if event.device_type == torch.autograd.DeviceType.CUDA)
    busy_us, end = 0.0, 0.0
    for span in sorted((event.time_range for event in on_gpu), key=lambda span: span.start):
        busy_us += max(0.0, span.end - max(span.start, end))  # streams overlap
        end = max(end, span.end)
    return busy_us / 1e6 / wall


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset-path", type=Path, required=True)
    parser.add_argument("--scene-info-path", type=Path, required=True)
    parser.add_argument("--scenes", nargs="+", required=True, help="names of scenes")
    parser.add_argument("--min-overlap", type=float, default=0.5)
    parser.add_argument("--steps", type=int, default=30, help="steps that are timed")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--num-workers", type=int, default=2)
    parser.add_argument("--precision", type=TrainingPrecision, nargs="+", default=[TrainingPrecision.FLOAT32])
    parser.add_argument("--device", default="auto")
    add_update(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
