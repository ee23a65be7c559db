"""Memory, rate and bytes of all processes that match a large set in shards.

    python benchmarks/shards.py --images 10000 --features 1000 --shares 3 [--folder shards] [--descriptors]

Fills a folder of shards with features of synthetic images, those of ``large_matching.py``: images along a way, in any
order of names, of which neighbours share points, and a list of each one's pairs with the 20 next. Then ``d2sfm pairs``,
``match --shard``, one share after the other or several at once, and ``assemble`` run in processes of their own. A row
for each has seconds of the clock and of the processor; resident memory in MB, the most in each fifth of its time and
altogether (from Linux); its rate in the first and the last third of the work, a second of processor time (of
``assemble`` in MB that it writes of features, and then of pairs); and GB read and written by its calls, with those that
are reckoned: descriptors of 1 KB and keypoints of 16 bytes a feature, of ``match`` once for each block of pairs that
has the image, and 10 kB a pair of matches and geometry. What ``match`` writes to its scratch database on the local disk
and reads of it counts, and is not reckoned. A folder that is there is used again: what is done of it is passed over,
and not measured.
"""

import argparse
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from child import Run, d2sfm
from large_matching import FOCAL_PX, SIZE_PX, features_of, new_points, pairs_of, points_between
from PIL import Image

from d2sfm.database import MatchStore
from d2sfm.features.record import Features
from d2sfm.formats.npz_mat import write_features
from d2sfm.options import CameraMode, CameraOptions, DescriptorDtype, ExtractionOptions, PhotographOptions
from d2sfm.pairs.arrays import in_tiles
from d2sfm.pairs.pair_files import read_pairs, write_pairs
from d2sfm.photographs.blank_copies import write_blank_copy
from d2sfm.shards.feature_block import BlockFile, names_in_block, write_block
from d2sfm.shards.folder import Photographs, ShardFolder
from d2sfm.skipped import Skipped
from d2sfm.text import aligned

FEATURE_BYTES, PAIR_BYTES = 1024 + 16, 10_000
FINGERPRINT = '{"extractor": "benchmark"}'
PARTS = 5  # of a process's time, for its memory
OF_PARTS = [f"MB {part + 1}/{PARTS}" for part in range(PARTS)]
MOVED = ("GB read", "(reckoned)", "written", "(reckoned)")
HEADER = ("process", "s", "CPU s", *OF_PARTS, "most MB", "first - last third", *MOVED)


class Sample(NamedTuple):
    """A process at one moment. reads: which kind of block it has open, the first word of the file's name."""

    time: float
    cpu_s: float
    resident_bytes: int
    read_bytes: int
    written_bytes: int
    reads: str


class Process(NamedTuple):
    """One that has ended, with what is reckoned that it reads and writes, in bytes, and its rates in words."""

    name: str
    run: Run
    samples: list[Sample]
    reckoned: tuple[float, float]
    rates: str = "-"

    def cells(self) -> tuple[str, ...]:
        """The row below HEADER."""
        last = self.samples[-1]
        memory = np.array_split([each.resident_bytes for each in self.samples], PARTS)
        moved = zip((last.read_bytes, last.written_bytes), self.reckoned, strict=True)
        return (
            self.name,
            f"{self.run.seconds:.0f}",
            f"{self.run.cpu_seconds:.0f}",
            *(f"{part.max(initial=0) / 1e6:.0f}" for part in memory),
            f"{self.run.peak_bytes / 1e6:.0f}",
            self.rates,
            *(f"{number / 1e9:.3f}" for pair in moved for number in pair),
        )


def main() -> None:
    """Write the features, run the processes, print."""
    arguments = parse()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes
    with tempfile.TemporaryDirectory() as scratch:
        path = arguments.folder or Path(scratch) / "shards"
        folder = write_shards(path, arguments.images, arguments.features)
        names = dict(enumerate(folder.photographs.names, 1))
        listed, database = path / "list.txt", path / "assembled.db"
        write_pairs(listed, in_tiles(pairs_of(arguments.images)), names)
        found = [measured("pairs", (0, 0), "pairs", path, "--pairs", listed)]
        ids = {name: number for number, name in names.items()}
        blocks = [read_pairs(folder.pairs(number), ids) for number in range(folder.pair_blocks)]
        pairs, read = [len(block) for block in blocks], [len(np.unique(block)) for block in blocks]
        image_bytes, number = arguments.features * FEATURE_BYTES, sum(pairs)
        print(
            f"{arguments.images} images of {arguments.features} features, {number} pairs in {len(pairs)} blocks, each "
            f"image read {sum(read) / arguments.images:.1f} times",
            flush=True,
        )
        with ThreadPoolExecutor(arguments.at_once) as pool:
            matching = partial(matched, folder, arguments.shares, pairs, read, image_bytes)
            found += pool.map(matching, range(arguments.shares))
        total = arguments.images * image_bytes + number * PAIR_BYTES
        keypoints = total if arguments.descriptors else total - arguments.images * arguments.features * 1024
        options = ["--descriptors"] if arguments.descriptors else []
        assembly = measured("assemble", (total, keypoints), "assemble", path, "--database", database, *options)
        found.append(assembly._replace(rates=assembly_rates(assembly.samples)))
        print(aligned([HEADER, *(process.cells() for process in found)]))
        with MatchStore(database) as store:
            counts = store.pair_counts()
        verified = int((counts["inliers"] > 0).sum())
        print(f"{len(counts)} pairs in the database of {database.stat().st_size / 1e9:.3f} GB, {verified} verified")


def write_shards(path: Path, images: int, features: int) -> ShardFolder:
    """Blocks of features of images along a way, in any order."""
    photographs = Photographs(
        images=path / "photographs",
        names=tuple(f"{number:06}.png" for number in range(1, images + 1)),
        fingerprint=FINGERPRINT,
        extraction=ExtractionOptions(),
        descriptor_dtype=DescriptorDtype.FLOAT16,
        cameras=CameraOptions(
            camera_mode=CameraMode.SINGLE,
            camera_model="PINHOLE",
            camera_params=f"{FOCAL_PX},{FOCAL_PX},{SIZE_PX[0] / 2},{SIZE_PX[1] / 2}",
        ),
        limits=PhotographOptions(),
    )
    folder = ShardFolder.begin(path, photographs)
    places = np.argsort(np.random.default_rng(0).permutation(images))  # as of ``pairs_of``
    with tempfile.TemporaryDirectory() as scratch:
        picture, blank, of_features = (Path(scratch) / name for name in ("picture.png", "blank.png", "features.npz"))
        Image.new("1", SIZE_PX).save(picture)
        write_blank_copy(picture, blank)
        for number in range(photographs.blocks):
            block, parts = BlockFile(folder.features(number), photographs.block(number), FINGERPRINT), []
            if names_in_block(block) is not None:
                continue
            for name in block.names:
                part = of_features.with_name(f"{name}.npz")
                seen = features_at(int(places[int(name[:6]) - 1]), features)
                write_features(part, seen, descriptor_dtype=DescriptorDtype.FLOAT16, fingerprint=FINGERPRINT)
                parts.append((name, part, blank))
            write_block(block, parts, Skipped())
            for _, part, _ in parts:
                part.unlink()
    return folder


def features_at(place: int, count: int) -> Features:
    """Features of the image at a place of the way, whatever was asked for before: points have seeds of their own."""
    stride = points_between(count)
    chunks = range(place, place - (-count // stride))
    points = [new_points(stride, torch.Generator().manual_seed(chunk)) for chunk in chunks]
    seen = [torch.cat(each)[:count] for each in zip(*points, strict=True)]
    return features_of(seen, torch.Generator().manual_seed(-1 - place))


def matched(
    folder: ShardFolder, shares: int, pairs: list[int], images: list[int], image_bytes: int, share: int
) -> Process:
    """Match one of the shares, from 0 on; pairs, images: how many each block of pairs has."""
    blocks = range(share, len(pairs), shares)
    reckoned = sum(images[block] for block in blocks) * image_bytes, sum(pairs[block] for block in blocks) * PAIR_BYTES
    name = f"{share + 1}/{shares}"
    found = measured(f"match {name}", reckoned, "match", "--shard", name, folder.path)
    done = [folder.matches(block).stat().st_mtime for block in blocks]
    if done and done[0] < found.samples[0].time:  # by an earlier run
        return found
    cpu_s = np.interp(done, [each.time for each in found.samples], [each.cpu_s for each in found.samples])
    return found._replace(rates=f"{rates(cpu_s, np.cumsum([pairs[block] for block in blocks]))} pairs")


def assembly_rates(samples: list[Sample]) -> str:
    """MB a second that were written of features, and then of pairs."""
    found = []
    for kind in ("features", "matches"):
        of_kind = [each for each in samples if each.reads == kind]
        written = np.array([each.written_bytes / 1e6 for each in of_kind])
        found.append(rates(np.array([each.cpu_s for each in of_kind]), written))
    return f"{', '.join(found)} MB"


def rates(cpu_s: np.ndarray, done: np.ndarray) -> str:
    """What was done a second in the first third of the time and in the last."""
    if len(cpu_s) < 3 or cpu_s[-1] == cpu_s[0]:
        return "-"
    third = (cpu_s[-1] - cpu_s[0]) / 3
    at = np.interp(cpu_s[0] + third * np.arange(4), cpu_s, done)
    return f"{(at[1] - at[0]) / third:.1f} - {(at[3] - at[2]) / third:.1f}"


def measured(name: str, reckoned: tuple[float, float], *arguments: object) -> Process:
    """Run a command of d2sfm, and look at its process meanwhile."""
    samples: list[Sample] = []
    run = d2sfm(*arguments, look=lambda pid: samples.append(sample(pid)))
    return Process(name, run, samples, reckoned)


def sample(pid: int) -> Sample:
    """What Linux tells of a process, also of one that has ended and has no memory and no files any more."""
    place, reads = Path(f"/proc/{pid}"), ""
    moved = dict(line.split(": ") for line in (place / "io").read_text().splitlines())
    user, system = (place / "stat").read_text().rpartition(")")[2].split()[11:13]
    memory = [line.split()[1] for line in (place / "status").read_text().splitlines() if line.startswith("VmRSS")]
    with suppress(FileNotFoundError, PermissionError):  # it closes files while they are listed
        opened = [Path(os.readlink(file)).name for file in (place / "fd").iterdir()]
        reads = next((kind for kind in ("matches", "features") if any(f"{kind}-" in each for each in opened)), "")
    cpu_s = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    resident = 1024 * int(memory[0]) if memory else 0
    return Sample(time.time(), cpu_s, resident, int(moved["rchar"]), int(moved["wchar"]), reads)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10000)
    parser.add_argument("--features", type=int, default=1000, help="of each image")
    parser.add_argument("--shares", type=int, default=3, help="of matching")
    parser.add_argument("--at-once", type=int, default=1, help="shares that are matched at one time")
    parser.add_argument("--descriptors", action="store_true", help="in the assembled database, too")
    parser.add_argument("--folder", type=Path, help="of the shards, which stays (default: one that goes)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
