"""Photographs as pictures show them: upright, and of about one size."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from d2sfm.coordinates import Size, upright_array, upright_from_stored
from d2sfm.database import FeatureStore
from d2sfm.options import GreyRange
from d2sfm.photographs.headers import read_header
from d2sfm.photographs.reading import load_photograph
from d2sfm.plots.canvas import limited


class View(NamedTuple):
    """A photograph as it is drawn.

    pixels: [H, W, 3] uint8 RGB, upright. factors: pixels of the picture for one of the upright photograph, [2].
    """

    pixels: np.ndarray
    factors: np.ndarray
    size: Size  # of the photograph as it is stored
    orientation: int

    def place(self, xy: np.ndarray) -> np.ndarray:
        """Positions in the picture from those in the stored photograph, [N, 2], both in COLMAP's frame."""
        xy = np.asarray(xy, np.float64).reshape(-1, 2)
        return upright_from_stored(xy, self.size, self.orientation) * self.factors


@dataclass(frozen=True)
class Photographs:
    """A folder of photographs.

    orientations, grey_ranges: by name, as extraction saw them; others are turned by EXIF.
    """

    folder: Path
    orientations: Mapping[str, int] = field(default_factory=dict)
    grey_ranges: Mapping[str, GreyRange] = field(default_factory=dict)

    @classmethod
    def of_database(cls, database: Path, images: Path | None) -> "Photographs":
        """images: the folder (default: the one that extract recorded). Raises FileNotFoundError if it is missing."""
        with FeatureStore(database) as store:
            folder = store.notes.find_images_folder(images)
            return cls(folder, store.orientations(), store.grey_ranges())

    def upright(self, name: str, size: Size | None = None) -> tuple[np.ndarray, int]:
        """[H, W, 3] uint8 RGB, and the EXIF orientation by which it was turned.

        size: its expected (width, height) as stored. Raises FileNotFoundError, or ValueError with the name if it can't
        be read.
        """
        path = self.folder / name
        if not path.exists():
            raise FileNotFoundError(f"no photograph {path} (--images tells where they are)")
        try:
            (_, orientation), pixels = read_header(path, size), load_photograph(path, size, self.grey_ranges.get(name))
        except ValueError as error:
            raise ValueError(f"{path} {error}") from error
        orientation = self.orientations.get(name, orientation)
        return upright_array(pixels, orientation), orientation

    def view(self, name: str, longest: int, size: Size | None = None) -> View:
        """The photograph with a longer edge of ``longest`` pixels. Raises as ``upright``."""
        upright, orientation = self.upright(name, size)
        pixels, factors = limited(upright, longest)
        height, width = upright.shape[:2]
        return View(pixels, factors, (height, width) if orientation > 4 else (width, height), orientation)
