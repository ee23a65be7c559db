"""A folder of small photographs to extract, and what a database holds of it afterwards."""

from pathlib import Path

import cv2
from support.helpers import textured_picture

from d2sfm.database import FeatureStore
from d2sfm.features.record import Features
from d2sfm.options import ExtractionOptions

SMALL = ExtractionOptions(max_edge=96)
TINY = ExtractionOptions(max_edge=32)


def write_photograph_folder(folder: Path) -> Path:
    """Write three photographs, one of them in a subfolder, and files beside them that are none; returns the folder."""
    for index, name in enumerate(["a.jpg", "b c.png", "sub/a.jpg"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), textured_picture(index, (96 + 16 * index, 80)))
    (folder / "notes.txt").write_text("no picture")
    (folder / "a.jpg.d2-net").write_bytes(b"features of an earlier run")
    return folder


def write_overlapping(folder: Path) -> Path:
    """Write three overlapping cut-outs of one picture: they match, but no reconstruction comes of them; the folder."""
    folder.mkdir()
    whole = textured_picture(3, (140, 96))
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), whole[:, 20 * index : 20 * index + 96])
    return folder


def read_all(database: Path) -> dict[str, Features]:
    """All features of a database by name."""
    with FeatureStore(database) as store:
        return {name: store.read(name) for name in store.extracted()}


def cut(path: Path) -> None:
    """Cut a file short."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
