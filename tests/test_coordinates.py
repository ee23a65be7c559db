import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps

from d2sfm.coordinates import (
    coarse_from_fine_grid,
    crop_from_image,
    crop_from_training_grid,
    hloc_from_image,
    image_from_crop,
    image_from_hloc,
    image_from_input,
    input_from_image,
    input_from_level,
    input_from_published_input,
    joined_orientation,
    level_from_grid,
    nearest_training_cell,
    resize_factor,
    stored_array,
    stored_from_upright,
    upright_array,
    upright_from_stored,
    upright_size,
)
from d2sfm.options import Convention

COLMAP, REFERENCE = Convention.COLMAP, Convention.REFERENCE
EDGE = st.integers(8, 5000)


def test_cells_lie_where_the_poolings_put_them():
    # Cell 0 sees, through two 2x2 poolings and the 2x2 average, pixels 0 to 7: their centre is 3.5.
    assert level_from_grid(np.array([[0, 0], [2, 5]]), COLMAP).tolist() == [[3.5, 3.5], [23.5, 11.5]]
    assert level_from_grid(np.array([[0, 0], [2, 5]]), REFERENCE).tolist() == [[1.5, 1.5], [21.5, 9.5]]


def test_no_positions_keep_their_shape():
    empty = np.empty((0, 2))
    assert level_from_grid(empty, COLMAP).shape == (0, 2)
    assert image_from_input(empty, (8, 8), (8, 8), COLMAP).shape == (0, 2)


@given(EDGE, EDGE, EDGE, EDGE)
def test_colmap_levels_map_corner_to_corner(w, h, w_level, h_level):
    corners = np.array([[0, 0], [w_level - 1, h_level - 1]], float)
    mapped = input_from_level(corners, (w_level, h_level), (w, h), COLMAP)
    np.testing.assert_allclose(mapped, [[0, 0], [w - 1, h - 1]], rtol=1e-12)


@given(EDGE, EDGE, EDGE, EDGE)
def test_colmap_images_map_edge_to_edge(w, h, w_image, h_image):
    edges = np.array([[-0.5, -0.5], [w - 0.5, h - 0.5]])
    mapped = image_from_input(edges, (w, h), (w_image, h_image), COLMAP)
    np.testing.assert_allclose(mapped, [[0, 0], [w_image, h_image]], rtol=1e-12)


def test_the_reference_convention_only_multiplies():
    assert image_from_input(np.array([[10.0, 20.0]]), (100, 50), (200, 150), REFERENCE).tolist() == [[20, 60]]
    assert input_from_level(np.array([[10.0, 20.0]]), (50, 50), (100, 25), REFERENCE).tolist() == [[20, 10]]


def test_an_unresized_photograph_differs_by_the_origin_alone():
    xy = np.array([[0.0, 0.0], [7.25, 3.5]])
    assert np.array_equal(image_from_input(xy, (80, 60), (80, 60), COLMAP), xy + 0.5)


@given(st.floats(0, 500), EDGE, EDGE)
def test_coarse_and_fine_cells_that_correspond_are_one_pixel(fine, fine_edge, coarse_edge):
    coarse = coarse_from_fine_grid(fine, fine_edge, coarse_edge)
    pixel = level_from_grid(np.array([[coarse, coarse]]), COLMAP)
    through = input_from_level(pixel, (coarse_edge, coarse_edge), (fine_edge, fine_edge), COLMAP)
    np.testing.assert_allclose(through, level_from_grid(np.array([[fine, fine]]), COLMAP), atol=1e-6)


def test_the_resize_factor_is_that_of_the_worse_axis():
    assert resize_factor((100, 50), (200, 150)) == 3
    assert resize_factor((80, 60), (80, 60)) == pytest.approx(1)


def test_training_cells_lie_where_the_poolings_put_them():
    # Three 2x2 poolings: cell 0 sees pixels 0 to 7.
    positions = crop_from_training_grid(np.array([[0, 0], [2, 5]]))
    assert positions.tolist() == [[3.5, 3.5], [19.5, 43.5]]
    assert positions.dtype == np.float64


@given(st.integers(0, 1000), st.integers(0, 1000), st.floats(-3.999, 3.999), st.floats(-3.999, 3.999))
def test_a_training_cell_is_the_nearest_of_all_positions_in_it(row, column, down, right):
    cell = np.array([[row, column]])
    nearest = nearest_training_cell(crop_from_training_grid(cell) + np.array([down, right]))
    assert nearest.tolist() == cell.tolist()
    assert nearest.dtype == np.int64


def test_between_two_training_cells_the_even_one_is_nearest():
    between = np.array([[7.5, 15.5], [23.5, 31.5], [-0.5, 7.5]])
    assert nearest_training_cell(between).tolist() == [[0, 2], [2, 4], [0, 0]]


def test_positions_in_a_crop_by_hand():
    """The crop's first pixel is in row 10, column 20 of the photograph, where its centre is (20.5, 10.5)."""
    corner = (10, 20)
    xy = image_from_crop(np.array([[0.0, 0.0], [3.5, 11.5]]), corner)
    assert xy.tolist() == [[20.5, 10.5], [32, 14]]
    assert crop_from_image(xy, corner).tolist() == [[0, 0], [3.5, 11.5]]


@given(st.floats(-1e3, 1e4), st.floats(-1e3, 1e4), st.integers(0, 5000), st.integers(0, 5000))
def test_from_the_crop_to_the_photograph_and_back(row, column, top, left):
    position = np.array([[row, column]])
    back = crop_from_image(image_from_crop(position, (top, left)), np.array([top, left]))
    np.testing.assert_allclose(back, position, rtol=0, atol=1e-9)


def test_no_training_positions_keep_their_shape():
    empty = np.empty((0, 2))
    for mapped in (image_from_crop(empty, (3, 4)), crop_from_image(empty, (3, 4)), crop_from_training_grid(empty)):
        assert mapped.shape == (0, 2)
    assert nearest_training_cell(empty).shape == (0, 2)
    assert nearest_training_cell(empty).dtype == np.int64


@given(EDGE, EDGE, EDGE, EDGE, st.floats(-10, 5000), st.floats(-10, 5000))
def test_from_the_photograph_to_the_networks_input_and_back(w, h, w_image, h_image, x, y):
    xy, sizes = np.array([[x, y]]), ((w, h), (w_image, h_image))
    in_input = input_from_image(xy, *sizes)
    np.testing.assert_allclose(image_from_input(in_input, *sizes, COLMAP), xy, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(
        input_from_image(image_from_input(xy, *sizes, COLMAP), *sizes), xy, rtol=1e-12, atol=1e-9
    )


def test_the_photographs_edges_are_those_of_the_input_and_float32_is_widened():
    edges = np.array([[0, 0], [200, 150], [0.5, 0.5]], np.float32)
    in_input = input_from_image(edges, (100, 50), (200, 150))
    np.testing.assert_allclose(in_input, [[-0.5, -0.5], [99.5, 49.5], [-0.25, -1 / 3]], rtol=1e-12)
    assert in_input.dtype == np.float64
    assert input_from_image(np.empty((0, 2)), (8, 8), (8, 8)).shape == (0, 2)


@given(EDGE, EDGE, EDGE, EDGE, st.floats(0, 1), st.floats(0, 1))
def test_the_published_codes_keypoints_are_brought_to_their_cells(w, h, w_level, h_level, row, column):
    cells, level, full = np.array([[row * h_level / 4, column * w_level / 4]]), (w_level, h_level), (w, h)
    published = input_from_level(level_from_grid(cells, REFERENCE), level, full, REFERENCE)
    true = input_from_level(level_from_grid(cells, COLMAP), level, full, COLMAP)
    np.testing.assert_allclose(input_from_published_input(published, level, full), true, rtol=1e-9, atol=1e-6)


def test_at_one_scale_the_published_codes_keypoints_are_two_pixels_aside():
    moved = input_from_published_input(np.array([[1.5, 9.5]]), (640, 480), (640, 480))
    assert moved.tolist() == [[3.5, 11.5]]


def test_hlocs_first_pixel_has_its_centre_at_zero():
    assert image_from_hloc(np.array([[0, 0], [2.25, 7]])).tolist() == [[0.5, 0.5], [2.75, 7.5]]
    assert hloc_from_image(np.array([[0.5, 0.5], [2.75, 7.5]])).tolist() == [[0, 0], [2.25, 7]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_is_what_pillow_makes_of_an_exif_orientation(orientation):
    stored = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)
    picture = Image.fromarray(stored)
    picture.getexif()[ExifTags.Base.Orientation] = orientation
    upright = upright_array(stored, orientation)
    np.testing.assert_array_equal(upright, np.asarray(ImageOps.exif_transpose(picture)))
    np.testing.assert_array_equal(stored_array(upright, orientation), stored)
    assert upright_size((7, 5), orientation) == (upright.shape[1], upright.shape[0])
    assert upright.flags.c_contiguous


@given(st.integers(1, 8), st.integers(1, 9), st.integers(1, 9), st.data())
def test_positions_turn_with_their_pixels(orientation, width, height, data):
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    stored = np.zeros((height, width), bool)
    stored[y, x] = True
    [[row, column]] = np.argwhere(upright_array(stored, orientation))
    in_upright = np.array([[column + 0.5, row + 0.5]])
    np.testing.assert_array_equal(stored_from_upright(in_upright, (width, height), orientation), [[x + 0.5, y + 0.5]])
    np.testing.assert_array_equal(upright_from_stored([[x + 0.5, y + 0.5]], (width, height), orientation), in_upright)


def test_turned_positions_by_hand():
    # A picture of 40 x 30 px stored; EXIF 6 is looked at turned clockwise: its top right comes from the top left.
    assert stored_from_upright([[0, 0], [30, 0]], (40, 30), 6).tolist() == [[0, 30], [0, 0]]
    assert stored_from_upright([[0, 0], [30, 0]], (40, 30), 8).tolist() == [[40, 0], [40, 30]]
    assert stored_from_upright([[1, 2]], (40, 30), 3).tolist() == [[39, 28]]
    assert stored_from_upright(np.empty((0, 2)), (40, 30), 6).shape == (0, 2)


@given(st.integers(1, 8), st.integers(1, 8))
def test_two_orientations_join(orientation, further):
    probe = np.arange(12).reshape(3, 4)
    one_by_one = upright_array(upright_array(probe, orientation), further)
    np.testing.assert_array_equal(upright_array(probe, joined_orientation(orientation, further)), one_by_one)


def test_an_orientation_that_exif_has_not():
    with pytest.raises(ValueError, match="orientation is 0, expected 1 to 8"):
        upright_array(np.zeros((2, 2)), 0)
