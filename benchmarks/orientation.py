"""How many photographs ``--orientation auto`` turns rightly, and at what cost.

    python benchmarks/orientation.py DIR...

The folders hold photographs that stand upright, or, aerial ones, lie all the same way. Each is tried as it is and with
every photograph turned by a random number of quarters, in --draws draws; --strips also turns every second strip of a
flight by 180 degrees (strips by EXIF's GPS, photographs in order of their names). Prints how many photographs were
turned rightly, of the draws in the worst: to the common turn that leaves most as they are; unsure ones don't count. CPU
seconds are those of one photograph, reading left out; the share is that of extraction by ``--precision auto``, of some
photographs.
"""

import argparse
import pickle
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pages import add_update, update
from PIL import Image

from d2sfm.features.extractor import Extractor
from d2sfm.options import ExtractionOptions, Precision
from d2sfm.orientation.find import turns_of_features
from d2sfm.orientation.turned_features import EDGE_PX, TURNS, features_in_turns, small_extractor
from d2sfm.photographs.reading import list_photographs, load_photograph
from d2sfm.text import aligned

HEADER = ("set", "tries", "photographs", "right", "unsure", "CPU s each", "of extraction")
GPS = 0x8825  # EXIF's directory of positions


def main() -> None:
    """Extract once, then turn, solve and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="folder of photographs")
    parser.add_argument("--edge", type=int, default=EDGE_PX, metavar="PX", help="longest edge of the small pictures")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--strips", action="store_true", help="also every second strip of the flight turned")
    parser.add_argument("--compared", type=int, default=1, metavar="N", help="photographs that are extracted in full")
    parser.add_argument("--features", type=Path, metavar="DIR", help="keep features here for a further run")
    add_update(parser)
    arguments = parser.parse_args()
    rows = [HEADER]
    for folder in arguments.folders:
        rows += rows_of_set(folder, arguments)
    print(aligned(rows))
    update(arguments.update, rows)


def rows_of_set(folder: Path, arguments: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    """Of the set as it is, and of the worst of its draws; prints each draw as it comes."""
    names, features, seconds, in_full = extracted(folder, arguments.edge, arguments.compared, arguments.features)
    found: dict[str, list[tuple[int, int, float]]] = {}
    for label, quarters in draws(folder, names, arguments.draws, arguments.strips):
        started = time.process_time()
        right, unsure = solved(names, features, quarters)
        each = seconds + (time.process_time() - started) / len(names)
        print(folder, label, len(names), right, unsure, f"{each:.2f}", f"{each / in_full:.3f}", flush=True)
        found.setdefault("draws" if label.isdecimal() else label, []).append((right, unsure, each))
    for label, tries in found.items():
        right, unsure, each = min(tries, key=lambda one: one[0])
        shown = f"{len(tries)} {label}" if label == "draws" else label
        of_set = (folder.parent.name if folder.name == "images" else folder.name, shown, str(len(names)))
        yield (*of_set, str(right), str(unsure), f"{each:.2f}", f"{each / in_full:.2f}")


def extracted(folder: Path, edge: int, compared: int, kept: Path | None) -> tuple:
    """Names, features of each photograph in four turns, CPU seconds for one, and for one at full size."""
    file = kept / f"{folder.resolve().parent.name}_{folder.name}_{edge}.pickle" if kept else None
    if file and file.exists():
        return pickle.loads(file.read_bytes())
    options = ExtractionOptions(precision=Precision.AUTO)
    names = list_photographs(folder)
    pictures = [load_photograph(folder / name) for name in names]
    extractor, started = small_extractor(options, edge), time.process_time()
    features = [features_in_turns(extractor, picture) for picture in pictures]
    seconds = (time.process_time() - started) / len(names)
    extractor, started = Extractor(options), time.process_time()
    chosen = pictures[:: -(-len(pictures) // compared)]
    for picture in chosen:
        extractor.extract(picture)
    found = names, features, seconds, (time.process_time() - started) / len(chosen)
    if file:
        kept.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pickle.dumps(found))
    return found


def draws(folder: Path, names: list[str], count: int, strips: bool) -> Iterator[tuple[str, np.ndarray]]:
    """What each try is called, and by how many quarters clockwise it turns each photograph, [N]."""
    yield "as it is", np.zeros(len(names), int)
    if strips:
        of_strips = strips_of(positions([folder / name for name in names]))
        yield f"every second of {of_strips.max() + 1} strips", of_strips % 2 * 2
    for draw in range(count):
        yield str(draw), np.random.default_rng(draw).integers(len(TURNS), size=len(names))


def positions(paths: list[Path]) -> np.ndarray:
    """East and north of photographs by their EXIF data, [N, 2], in degrees of latitude."""
    found = []
    for path in paths:
        with Image.open(path) as picture:
            gps = picture.getexif().get_ifd(GPS)
        degrees = [np.dot(np.array(gps[tag], float), (1, 1 / 60, 1 / 3600)) for tag in (2, 4)]
        north, east = (value * (-1 if gps[tag] in "SW" else 1) for value, tag in zip(degrees, (1, 3), strict=True))
        found.append((east * np.cos(np.radians(north)), north))
    return np.array(found)


def strips_of(xy: np.ndarray) -> np.ndarray:
    """Number of the strip of each photograph, [N]: a step that goes like neither of its neighbours begins a new one."""
    steps = np.diff(xy, axis=0)
    steps /= np.linalg.norm(steps, axis=1, keepdims=True)
    alike = np.einsum("nd,nd->n", steps[1:], steps[:-1]) > np.cos(np.radians(45))
    within = np.append(False, alike) | np.append(alike, False)
    return np.append(0, np.cumsum(~within))


def solved(names: list[str], features: list, quarters: np.ndarray) -> tuple[int, int]:
    """How many photographs are turned rightly, and how many are unsure, when they were turned by so many quarters."""
    turned = [of_one[quarter:] + of_one[:quarter] for of_one, quarter in zip(features, quarters, strict=True)]
    found = turns_of_features(names, turned)
    sure = np.array([name not in found.unsure for name in names])
    after = (quarters + [TURNS.index(found.orientation[name]) for name in names]) % len(TURNS)
    as_they_are = np.bincount(quarters, minlength=len(TURNS))
    allowed = np.flatnonzero(as_they_are == as_they_are.max())
    return max(int((sure & (after == common)).sum()) for common in allowed), int((~sure).sum())


if __name__ == "__main__":
    main()
