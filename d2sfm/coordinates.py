"""Every change of pixel frame.

Frames at inference:

- *grid*: (row, column) on a feature map, cell centres at integers;
- *input*: (x, y) in the picture that enters the network, pixel centres at integers;
- *image*: (x, y) in the photograph on disk, COLMAP's rule: the centre of the top-left pixel is (0.5, 0.5).

A cell of the inference trunk is 4 px wide. Two poolings 2x2 put the centre of cell i at 4i + 1.5; the average
pooling 2x2 with stride 1 between cells i and i + 1 moves it by half a cell to 4i + 3.5. The published code leaves
that half cell and the half pixel of resizing out; ``Convention.REFERENCE`` repeats its numbers.

Training cuts crops out of photographs at their own size. Its frame is

- *crop*: (row, column) in pixels of the crop, pixel centres at integers,

and the centre of cell i of the training trunk, pooled 2x2 three times, is crop pixel 8i + 3.5.

A photograph may be stored turned or mirrored, with an EXIF orientation, 1 to 8, that tells how to view it. *stored* is
COLMAP's frame of the pixels in the file, *upright* the same rule for the picture as people see it. The network and
everything that reads pixels work in *upright*; cameras, and keypoints in databases and files, are in *stored*.
"""

import numpy as np

from d2sfm.options import Convention

CELL_PX = 4
CELL_CENTRE_PX = {Convention.COLMAP: 3.5, Convention.REFERENCE: 1.5}

TRAINING_CELL_PX = 8
TRAINING_CELL_CENTRE_PX = 3.5

Size = tuple[int, int]  # (width, height) in pixels

ORIENTATIONS = range(1, 9)  # EXIF's; 1 is upright as it is stored
# From upright to stored, x and y are exchanged first, then each counts from the other end (EXIF 2.3, tag 0x0112).
_EXCHANGED, _FROM_RIGHT, _FROM_BOTTOM = {5, 6, 7, 8}, {2, 3, 7, 8}, {3, 4, 6, 7}


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


def input_from_image(xy_in_image: np.ndarray, input_size: Size, image_size: Size) -> np.ndarray:
    """Pixels of the network input, centres at integers, from pixels of the photograph in COLMAP's frame.

    The inverse of ``image_from_input``. xy_in_image: [N, 2]. Returns [N, 2] float64.
    """
    return np.asarray(xy_in_image, np.float64) * (np.divide(input_size, image_size, dtype=np.float64)) - 0.5


def input_from_published_input(xy_in_published: np.ndarray, level_size: Size, input_size: Size) -> np.ndarray:
    """True positions of cells that the published code puts at these pixels of the network input, at one level.

    It uses 4i + 1.5 for the centre of cell i and W / W_level for the factor from the level to the input. Both have
    pixel centres at integers. xy_in_published: [N, 2]. Returns [N, 2] float64.
    """
    level, full = np.asarray(level_size, np.float64), np.asarray(input_size, np.float64)
    missing = CELL_CENTRE_PX[Convention.COLMAP] - CELL_CENTRE_PX[Convention.REFERENCE]
    in_level = np.asarray(xy_in_published, np.float64) * (level / full) + missing
    return input_from_level(in_level, level_size, input_size, Convention.COLMAP)


def image_from_hloc(xy_in_hloc: np.ndarray) -> np.ndarray:
    """Pixels of the photograph in COLMAP's frame from hloc's, where the centre of the top-left pixel is (0, 0).

    xy_in_hloc: [N, 2]. Returns [N, 2] float64.
    """
    return np.asarray(xy_in_hloc, np.float64) + 0.5


def hloc_from_image(xy_in_image: np.ndarray) -> np.ndarray:
    """The inverse of ``image_from_hloc``, [N, 2] float64."""
    return np.asarray(xy_in_image, np.float64) - 0.5


def upright_size(stored_size: Size, orientation: int) -> Size:
    """(width, height) of the upright picture of a stored one; also the reverse. orientation: EXIF's, 1 to 8."""
    width, height = stored_size
    return (height, width) if orientation in _EXCHANGED else (width, height)


def is_upright(size: Size, stored_size: Size, orientation: int) -> bool:
    """Whether a picture of that size is the upright one of a stored one; False if both are as large."""
    return stored_size != size and upright_size(stored_size, orientation) == size


def stored_from_upright(xy_in_upright: np.ndarray, stored_size: Size, orientation: int) -> np.ndarray:
    """Pixels of a stored photograph from those of its upright picture, both in COLMAP's frame.

    xy_in_upright: [N, 2]; stored_size: (width, height) in pixels; orientation: EXIF's, 1 to 8. Returns [N, 2] float64.
    """
    exchanged = slice(None, None, -1) if orientation in _EXCHANGED else slice(None)
    xy = np.array(np.asarray(xy_in_upright)[:, exchanged], np.float64)
    for axis, from_end in enumerate((_FROM_RIGHT, _FROM_BOTTOM)):
        if orientation in from_end:
            xy[:, axis] = stored_size[axis] - xy[:, axis]
    return xy


def upright_from_stored(xy_in_stored: np.ndarray, stored_size: Size, orientation: int) -> np.ndarray:
    """The inverse of ``stored_from_upright``, [N, 2] float64."""
    xy = np.array(xy_in_stored, np.float64)
    for axis, from_end in enumerate((_FROM_RIGHT, _FROM_BOTTOM)):
        if orientation in from_end:
            xy[:, axis] = stored_size[axis] - xy[:, axis]
    return np.ascontiguousarray(xy[:, ::-1]) if orientation in _EXCHANGED else xy


def upright_array(stored: np.ndarray, orientation: int) -> np.ndarray:
    """The upright picture of a stored one: [H, W, ...] to [H, W, ...] or [W, H, ...], contiguous; itself for 1.

    Raises ValueError if orientation is not 1 to 8.
    """
    if orientation not in ORIENTATIONS:
        raise ValueError(f"orientation is {orientation}, expected 1 to 8 as in EXIF")
    rows = slice(None, None, -1 if orientation in _FROM_BOTTOM else 1)
    columns = slice(None, None, -1 if orientation in _FROM_RIGHT else 1)
    turned = stored[rows, columns]
    return np.ascontiguousarray(turned.swapaxes(0, 1) if orientation in _EXCHANGED else turned)


def stored_array(upright: np.ndarray, orientation: int) -> np.ndarray:
    """The inverse of ``upright_array``."""
    # Only quarter turns differ from their inverse, and their inverses are each other.
    return upright_array(upright, {6: 8, 8: 6}.get(orientation, orientation))


def joined_orientation(orientation: int, further: int) -> int:
    """The orientation that makes upright at once what ``orientation`` and then ``further`` make upright one by one."""
    probe = np.arange(6).reshape(2, 3)
    turned = upright_array(upright_array(probe, orientation), further)
    return next(one for one in ORIENTATIONS if np.array_equal(upright_array(probe, one), turned))


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


def crop_from_training_grid(cells: np.ndarray) -> np.ndarray:
    """Crop pixels (row, column) of the centres of training cells (row, column), of any shape; float64."""
    return np.asarray(cells, np.float64) * TRAINING_CELL_PX + TRAINING_CELL_CENTRE_PX


def nearest_training_cell(positions_in_crop: np.ndarray) -> np.ndarray:
    """The training cell (row, column) nearest to crop pixels (row, column), halves to the even one; int64."""
    return np.rint((positions_in_crop - TRAINING_CELL_CENTRE_PX) / TRAINING_CELL_PX).astype(np.int64)


def image_from_crop(positions_in_crop: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Pixels (x, y) of the photograph in COLMAP's frame from crop pixels (row, column), [N, 2] float64.

    corner: (row, column) of the photograph's pixel that is the crop's first.
    """
    return (positions_in_crop + corner + 0.5)[:, ::-1]


def crop_from_image(xy_in_image: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Crop pixels (row, column) from pixels (x, y) of the photograph in COLMAP's frame, [N, 2] float64."""
    return xy_in_image[:, ::-1] - 0.5 - corner
