"""One picture to Features, at one scale or several (paper, section 4.2; the published pyramid).

extractor = Extractor()
features = extractor.extract(image)          # uint8 [H, W, 3] RGB, or the path of a photograph
"""

import json
from collections.abc import Callable
from os import PathLike
from pathlib import Path

import numpy as np
import torch

from d2sfm.coordinates import (
    Size,
    image_from_input,
    input_from_level,
    level_from_grid,
    resize_factor,
    stored_from_upright,
    upright_array,
    upright_size,
)
from d2sfm.features.budget import Budget
from d2sfm.features.pyramid import Level, LevelPictures, StripKeypoints, descriptors_in_order, level_sizes, table_of
from d2sfm.features.record import Features
from d2sfm.network.device import resolve_device, resolve_precision
from d2sfm.network.early_maps import FeatureMaps, MapRecorder
from d2sfm.network.input import Prepared, input_size, resize
from d2sfm.network.trunk import MIN_EDGE_PX, Trunk
from d2sfm.network.weights.load import digest, load_weights
from d2sfm.options import Convention, DescriptorDtype, ExtractionOptions, GreyRange, Orientation, Stretch
from d2sfm.photographs.greys import own_range
from d2sfm.photographs.headers import read_header
from d2sfm.photographs.masks import joined, visible
from d2sfm.photographs.reading import load_with_alpha


class Extractor:
    """The network with its options, loaded once and used for any number of pictures.

    descriptor_dtype: type of the descriptors of all features; float16 takes half the memory.
    Raises ValueError or FileNotFoundError for weights or a device that are not available.
    """

    def __init__(
        self, options: ExtractionOptions | None = None, descriptor_dtype: DescriptorDtype = DescriptorDtype.FLOAT32
    ):
        self.options = options or ExtractionOptions()
        self.device = resolve_device(self.options.device)
        self.precision = resolve_precision(self.options.precision, self.device)
        weights = load_weights(self.options.weights, self.options.preprocessing, self.options.mirror)
        self.weights_digest = digest(weights)
        self.trunk = Trunk(weights, relu=self.options.relu).to(self.device, self.precision)
        self._descriptor_dtype = getattr(torch, descriptor_dtype)
        self._budget = Budget(self.options, self.device, self.precision.itemsize)

    @property
    def fingerprint(self) -> str:
        """The settings that decide the features, as a JSON object; equal fingerprints mean comparable features."""
        options = self.options
        settings = {
            "extractor": "d2sfm",
            "weights": self.weights_digest,
            "scales": sorted(options.scales),
            "max_edge": options.max_edge,
            "max_sum_edges": options.max_sum_edges,
            "max_keypoints": options.max_keypoints,
            "preprocessing": options.preprocessing,
            "relu": options.relu,
            "precision": str(self.precision).removeprefix("torch."),
            "convention": options.convention,
        }
        # Left out if there is none, as earlier versions did.
        return json.dumps(settings | ({"border": options.border} if options.border else {}))

    def input_size(self, image_size: Size) -> Size:
        """Size of the network input for a photograph of this size, both (width, height) in pixels."""
        return input_size(image_size, self.options.max_edge, self.options.max_sum_edges)

    def extract(
        self,
        image: np.ndarray | str | PathLike,
        mask: np.ndarray | None = None,
        grey_range: GreyRange | None = None,
        orientation: int | None = None,
    ) -> Features:
        """Features of a picture, highest score first; equal scores in order of (row, column).

        image: uint8 [H, W, 3] RGB, or the path of a photograph, read on COLMAP's pixel grid and turned by its EXIF
        orientation for the network, unless options.orientation is none; keypoints are those of the stored picture.
        mask: bool [H, W]; no keypoint (x, y) lies on a pixel (floor(x), floor(y)) of the picture where it is false, nor
        where the alpha of a photograph is 0.
        grey_range: the range from which a 16-bit photograph is stretched (default: its own if it uses little of 16
        bits, unless options.stretch is none). orientation: of a photograph, in place of EXIF's.
        Raises ValueError for another shape or dtype, a file that is damaged or not a photograph, or a picture below 8
        px on an edge at all scales; FileNotFoundError if the file is missing.
        """
        if isinstance(image, np.ndarray):
            return self.extract_batch([self.prepare(image, mask)])[0]
        if grey_range is None and self.options.stretch is not Stretch.NONE:
            grey_range = own_range(Path(image))
        return self.extract_batch([self.read(Path(image), mask, grey_range, orientation)[0]])[0]

    def read(
        self,
        path: Path,
        mask: np.ndarray | None = None,
        grey_range: GreyRange | None = None,
        orientation: int | None = None,
    ) -> tuple[Prepared, np.ndarray]:
        """A photograph for ``extract_batch``, and its pixels, uint8 [H, W, 3] RGB as they are stored.

        grey_range: from what it is stretched (default: nothing is). mask, orientation, errors: see ``extract``.
        """
        if orientation is None:
            orientation = 1 if self.options.orientation is Orientation.NONE else read_header(path)[1]
        pixels, seen = load_with_alpha(path, None, grey_range)
        return self.prepare(pixels, joined(seen, mask), orientation, grey_range), pixels

    def prepare(
        self, image: np.ndarray, mask: np.ndarray | None = None, orientation: int = 1, greys: GreyRange | None = None
    ) -> Prepared:
        """A picture, uint8 [H, W, 3] RGB as it is stored, upright at the size of the network's input.

        mask: see ``extract``; orientation: EXIF's, by which the picture is turned; greys: the range that it was
        stretched from. Safe to call from several threads.
        Raises ValueError for another shape or dtype, or a picture below 8 px on an edge at all scales.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"image is {image.dtype} {image.shape}, expected uint8 (H, W, 3)")
        if mask is not None and (mask.shape != image.shape[:2] or mask.dtype != bool):
            raise ValueError(f"mask is {mask.dtype} {mask.shape}, expected bool {image.shape[:2]}")
        image_size = (image.shape[1], image.shape[0])
        self.check_size(upright_size(image_size, orientation))
        upright = upright_array(image, orientation)  # first: antialiasing works along rows, then along columns
        size = self.input_size(upright_size(image_size, orientation))
        return Prepared(resize(upright, size), image_size, mask, orientation, greys)

    def check_size(self, image_size: Size) -> None:
        """Raise ValueError if a photograph of this size is too small at all scales, or too wide for memory_limit."""
        size = self.input_size(image_size)
        sizes = [size for _, size in level_sizes(size, self.options.scales)]
        if not sizes:
            raise ValueError(
                f"picture of {image_size[0]} x {image_size[1]} px is {size[0]} x {size[1]} px at the network's input, "
                f"which needs {MIN_EDGE_PX} px on both edges"
            )
        self._budget.check(sizes)

    @torch.inference_mode()
    def extract_batch(
        self, pictures: list[Prepared], on_maps: Callable[[Prepared, FeatureMaps], None] | None = None
    ) -> list[Features]:
        """Features of prepared pictures of one size, which pass through the network together; see ``extract``.

        on_maps: given the early layers' maps of each picture, for refinement, where a level has the input's own size.
        Raises ValueError if their sizes differ.
        """
        sizes = {picture.size for picture in pictures}
        if len(sizes) != 1:
            raise ValueError(f"pictures have {len(sizes)} different sizes, expected one")
        [size] = sizes
        levels = level_sizes(size, self.options.scales)

        def extract(batch: list[Prepared]) -> list[Features]:
            recorder = MapRecorder(size, len(batch), self.device) if on_maps else None
            strips = self._keypoints([picture.pixels for picture in batch], levels, recorder)
            found = [
                self._features(of_one, levels, size, picture) for picture, *of_one in zip(batch, *strips, strict=True)
            ]
            if recorder and size in (level_size for _, level_size in levels):
                for picture, maps in zip(batch, recorder.maps(), strict=True):
                    on_maps(picture, maps)
            return found

        return self._budget.in_batches(pictures, [level_size for _, level_size in levels], extract)

    def batch_size(self, image_size: Size) -> int:
        """Photographs of a size, (width, height), that pass through the network together within the memory limit.

        1 on a CPU, where larger batches are no faster.
        """
        return self._budget.batch_size(
            [size for _, size in level_sizes(self.input_size(image_size), self.options.scales)]
        )

    def _keypoints(
        self, pictures: list[np.ndarray], levels: list[tuple[float, Size]], recorder: MapRecorder | None
    ) -> list[list[list[StripKeypoints]]]:
        """Keypoints by level, picture and strip, of pictures that have the size of the network's input.

        recorder: collects the maps of the level that has this size, too.
        """
        input_size = pictures[0].shape[1], pictures[0].shape[0]
        rows = self._budget.strip_px([size for _, size in levels], len(pictures))
        pyramid = []
        for _, size in levels:
            level = Level(
                LevelPictures(pictures, size, self.options.preprocessing, self.device),
                self.trunk,
                pyramid[-1] if pyramid else None,
                convention=self.options.convention,
                strip_px=rows,
                descriptor_dtype=self._descriptor_dtype,
                **({"on_rows": recorder.on_rows} if recorder and size == input_size else {}),
            )
            pyramid.append(level)
        pyramid[-1].finish()  # pulls on the coarser levels; what it did not look at is left
        for level in pyramid:
            level.finish()
        return [level.keypoints for level in pyramid]

    def _features(
        self, strips: list[list[StripKeypoints]], levels: list[tuple[float, Size]], size: Size, picture: Prepared
    ) -> Features:
        """The record of one picture, from the strips of each of its levels, which are freed one by one."""
        convention, image_size, orientation = self.options.convention, picture.image_size, picture.orientation
        upright = upright_size(image_size, orientation)
        cells, keypoints = [], []
        for index, (of_level, (scale, level_size)) in enumerate(zip(strips, levels, strict=True)):
            table = table_of(of_level)
            xy = level_from_grid(table.cells + table.steps, convention)
            xy = image_from_input(input_from_level(xy, level_size, size, convention), size, upright, convention)
            xy = stored_from_upright(xy, image_size, orientation)
            factor = resize_factor(size, upright) if convention is Convention.COLMAP else 1.0
            # A coarser level weighs more: its response holds fewer summed maps (published pyramid).
            score = table.responses / (index + 1)
            keypoints.append(np.column_stack([xy, np.full(len(xy), factor / scale), score]))
            cells.append(table.cells)
        cells, keypoints = np.concatenate(cells), np.concatenate(keypoints)
        order = np.lexsort((cells[:, 1], cells[:, 0], -keypoints[:, 3]))
        keypoints = keypoints.astype(np.float32)  # what is out is decided by the position that is stored
        if self.options.border or picture.mask is not None:
            order = order[visible(keypoints[order], image_size, self.options.border, picture.mask)]
        order = order[: self.options.max_keypoints]
        return Features(
            keypoints=keypoints[order],
            descriptors=descriptors_in_order(strips, order),
            image_size=image_size,
            input_size=upright_size(size, orientation),
            convention=convention,
            scales=tuple(sorted(self.options.scales)),
            orientation=orientation,
            grey_range=picture.grey_range,
        )
