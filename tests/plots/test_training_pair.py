import cv2
import numpy as np
import pytest

from d2sfm.plots.training_pair import GAP, NUMBERED, STRIP, draw_training_pair

NONE = np.zeros((0, 2))


def crops(edge: int = 256) -> np.ndarray:
    """Two grey crops with some texture, [2, S, S, 3] uint8."""
    grey = np.random.default_rng(0).integers(60, 200, (2, edge, edge, 1), dtype=np.uint8)
    return np.repeat(grey, 3, axis=3)


def flat(edge: int = 256) -> np.ndarray:
    """Equal scores for all cells of two crops."""
    return np.full((2, edge // 8, edge // 8), (8 / edge) ** 2)


def panels(picture: np.ndarray, edge: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """The two drawn crops and the two drawn score maps, [2, p, p, 3] each, as int."""
    size = (picture.shape[1] - 3 * GAP) // 2
    assert size % edge == 0
    rows, columns = (STRIP, 2 * STRIP + size), (GAP, 2 * GAP + size)
    parts = [[picture[row : row + size, column : column + size] for column in columns] for row in rows]
    return tuple(np.array(parts, int))


def coloured(panel: np.ndarray) -> np.ndarray:
    """Which pixels are neither grey nor white."""
    return np.ptp(panel, axis=-1) > 70


def middle(mask: np.ndarray) -> np.ndarray:
    """Centre of mass (row, column) in pixels, whose centres are at halves."""
    return np.argwhere(mask).mean(axis=0) + 0.5


@pytest.mark.parametrize("edge", [96, 256, 512])
def test_a_correspondence_is_drawn_where_it_is(edge):
    """In both crops, at every zoom: pixel (0, 0) of the crop has its centre half a crop pixel inside."""
    position1, position2 = np.array([[0.2, 0.7]]) * edge, np.array([[0.81, 0.15]]) * edge
    picture = draw_training_pair(*crops(edge), position1, position2, *flat(edge))
    drawn, _ = panels(picture, edge)
    zoom = drawn.shape[1] / edge
    assert 400 < drawn.shape[1] < 600
    for panel, position in zip(drawn, (position1, position2), strict=True):
        assert middle(coloured(panel)) == pytest.approx((position[0] + 0.5) * zoom, abs=0.6)


def test_a_correspondence_has_one_colour_and_others_have_others():
    cells = np.stack(np.meshgrid([20.0, 90, 160, 230], [20.0, 90, 160, 230], indexing="ij"), axis=-1).reshape(-1, 2)
    (left, right), _ = panels(draw_training_pair(*crops(), cells, cells[::-1], *flat()))
    centres = np.rint(2 * (cells + 0.5) - 0.5).astype(int)
    inks = left[tuple(centres.T)]
    np.testing.assert_array_equal(right[tuple(centres[::-1].T)], inks)
    distances = np.abs(inks[:, None] - inks[None]).max(axis=2)
    assert distances[~np.eye(len(cells), dtype=bool)].min() > 20


@pytest.mark.parametrize("count", [1, NUMBERED, 36])
def test_a_dozen_at_most_are_numbered_and_they_lie_apart(count):
    """A number has a ring, and nothing else in the picture is white."""
    cells = np.stack(np.meshgrid(np.arange(28, 255, 40), np.arange(28, 255, 40)), axis=-1).reshape(-1, 2)
    positions = np.random.default_rng(1).permutation(cells)[:count].astype(float)
    drawn, _ = panels(draw_training_pair(*crops(), positions, positions, *flat()))
    for panel in drawn:
        found, _, sizes, centres = cv2.connectedComponentsWithStats(np.uint8((panel > 235).all(axis=2)))
        assert found - 1 == min(count, NUMBERED)
        assert sizes[1:, cv2.CC_STAT_WIDTH].max() < 24
        if count == 36:
            assert np.ptp(centres[1:], axis=0).min() == pytest.approx(400, abs=8)  # from end to end of the grid


def test_scores_are_squares_over_their_cells_on_one_scale():
    scores = flat()
    scores[0, 3, 20] = 0.004
    scores[1, 30, 2] = 0.002
    _, (left, right) = panels(draw_training_pair(*crops(), NONE, NONE, *scores))
    for panel, (row, column) in ((left, (3, 20)), (right, (30, 2))):
        marked = (panel != panel[200, 200]).any(axis=2)
        assert marked.sum() == 16 * 16
        assert marked[16 * row : 16 * (row + 1), 16 * column : 16 * (column + 1)].all()
    np.testing.assert_array_equal(left[200, 200], right[200, 200])
    assert left[16 * 3, 16 * 20].sum() > right[16 * 30, 16 * 2].sum() + 100


def test_no_correspondences_equal_scores_and_positions_at_the_border():
    empty = draw_training_pair(*crops(), NONE, NONE, *flat())
    drawn, maps = panels(empty)
    assert not coloured(drawn).any()
    assert (maps == maps[0, 0, 0]).all()
    corners = np.array([[0, 0], [0, 255], [255, 0], [255, 255.0]])
    assert coloured(panels(draw_training_pair(*crops(), corners, corners, *flat()))[0]).any()


def test_the_input_of_a_pair_is_left_as_it_is():
    images, scores, positions = crops(), flat(), np.full((3, 2), 100.0)
    before = [array.copy() for array in (images, scores, positions)]
    draw_training_pair(*images, positions, positions, *scores)
    for array, old in zip((images, scores, positions), before, strict=True):
        np.testing.assert_array_equal(array, old)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image2": np.zeros((256, 248, 3), np.uint8)}, r"expected crops \[256, 256, 3\].*found \(256, 248, 3\)"),
        ({"image1": np.zeros((256, 256, 3))}, "float64"),
        ({"scores2": np.zeros((256, 256))}, r"scores \[32, 32\].*\(256, 256\)"),
        ({"positions2": np.zeros((4, 2))}, r"shape \(5, 2\), found \(4, 2\)"),
        ({"positions1": np.zeros((2, 5))}, r"shape \(2, 2\), found \(2, 5\)"),
    ],
)
def test_a_pair_whose_parts_do_not_fit_is_refused(change, message):
    images, scores, positions = crops(), flat(), np.full((5, 2), 100.0)
    parts = {"image1": images[0], "image2": images[1], "positions1": positions, "positions2": positions}
    with pytest.raises(ValueError, match=message):
        draw_training_pair(**{**parts, "scores1": scores[0], "scores2": scores[1], **change})


@pytest.mark.photographs
def test_a_real_pair(shared_data):
    """The reference's correspondences of two photographs: nearly all of the left crop's dots can be seen."""
    with np.load(shared_data.parent / "golden" / "mini_megadepth_training.npz") as golden:
        pair = {key[2:]: golden[key] for key in golden.files if key.startswith("2/")}
    images = []
    for side in "12":
        photograph = cv2.imread(str(shared_data / "mini_megadepth" / str(pair[f"image_path{side}"])))[..., ::-1]
        row, column = pair[f"bbox{side}"].astype(int)
        images.append(photograph[row : row + 256, column : column + 256])
    positions1, positions2 = pair["pos1"].T, pair["pos2"].T
    drawn, _ = panels(draw_training_pair(*images, positions1, positions2, pair["scores1"], pair["scores2"]))
    centres = np.rint(2 * (positions1 + 0.5) - 0.5).astype(int)
    assert (drawn[0][tuple(centres.T)].max(axis=1) > 240).mean() > 0.9
