"""Every change of pixel frame.

Three frames:

- *grid*: (row, column) on a feature map, cell centres at integers;
- *input*: (x, y) in the picture that enters the network, pixel centres at integers;
- *image*: (x, y) in the photograph on disk, COLMAP's rule: the centre of the top-left pixel is (0.5, 0.5).

A cell of the inference trunk is 4 px wide. Two poolings 2x2 put the centre of cell i at 4i + 1.5; the average
pooling 2x2 with stride 1 between cells i and i + 1 moves it by half a cell to 4i + 3.5. The published code leaves
that half cell and the half pixel of resizing out; ``Convention.REFERENCE`` repeats its numbers.
"""

import numpy as np

from d2sfm.options import Convention

CELL_PX = 4
CELL_CENTRE_PX = {Convention.COLMAP: 3.5, Convention.REFERENCE: 1.5}

Size = tuple[int, int]  # (width, height) in pixels


def level_from_grid(cells: np.ndarray, convention: Convention) -> np.ndarray:
    """Pixels (x, y) of a pyramid level, centres at integers, from grid positions (row, column).

    cells: [N, 2] float. Returns [N, 2] float64.
    """
    return np.asarray(cells, np.float64)[:, ::-1] * CELL_PX + CELL_CENTRE_PX[convention]


def input_from_level(xy_in_level: np.ndarray, level_size: Size, input_size: Size, convention: Convention) -> np.ndarray:
    """Pixels of the network input from pixels of a pyramid level; both have pixel centres at integers.

    Levels are resized corner to corner (align_corners=True), so the exact factor is (W - 1) / (W_level - 1);
    the published code takes W / W_level. xy_in_level: [N, 2]. Returns [N, 2] float64.
    """
    level, full = np.asarray(level_size, np.float64), np.asarray(input_size, np.float64)
    if convention is Convention.REFERENCE:
        return xy_in_level * (full / level)
    return xy_in_level * ((full - 1) / (level - 1))


def image_from_input(xy_in_input: np.ndarray, input_size: Size, image_size: Size, convention: Convention) -> np.ndarray:
    """Pixels of the photograph from pixels of the network input, each axis with its own factor.

    Resizing is by area, so pixel edges map to pixel edges: x_image = (x_input + 0.5) W / w in COLMAP's frame.
    The reference convention is x_input W / w. xy_in_input: [N, 2]. Returns [N, 2] float64.
    """
    factor = np.asarray(image_size, np.float64) / np.asarray(input_size, np.float64)
    origin = 0.5 if convention is Convention.COLMAP else 0.0
    return (xy_in_input + origin) * factor


def resize_factor(input_size: Size, image_size: Size) -> float:
    """Pixels of the photograph for one pixel of the network input: the larger of the two axes' factors, at least 1."""
    return max(image_size[0] / input_size[0], image_size[1] / input_size[1])


def coarse_from_fine_grid(fine: np.ndarray, fine_edge: int, coarse_edge: int) -> np.ndarray:
    """Position on a coarser level's grid of positions on a finer level's grid, along one axis (true centres).

    fine: float positions; fine_edge, coarse_edge: length in pixels of that axis at both levels (W_f, W_c):
    c = ((4f + 3.5)(W_c - 1)/(W_f - 1) - 3.5) / 4.
    """
    centre = CELL_CENTRE_PX[Convention.COLMAP]
    return ((CELL_PX * fine + centre) * ((coarse_edge - 1) / (fine_edge - 1)) - centre) / CELL_PX
