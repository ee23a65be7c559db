from pathlib import Path

import cv2
import numpy as np
import pytest
from support.shown_scene import OTHERS, POINTS, RESIDUAL, keypoints

from d2sfm.colmap import read_model
from d2sfm.database import create_database
from d2sfm.show.image import show_image, sight
from d2sfm.show.track import show_track


def test_residuals_go_from_keypoints_to_where_points_are_projected(shown_scene):
    model = read_model(shown_scene / "sparse/0")
    seen = sight(model, model.images[1])
    assert seen.points == list(range(1, POINTS + 1))
    np.testing.assert_allclose(seen.xy, keypoints(0)[:POINTS], atol=1e-5)
    np.testing.assert_allclose(seen.residuals[0], RESIDUAL, atol=1e-4)
    np.testing.assert_allclose(seen.residuals[1:], 0, atol=1e-4)
    assert len(seen.others) == OTHERS


@pytest.mark.slow
def test_the_worst_are_told_first(shown_scene):
    found = show_image("a.png")
    assert found.title == "a.png: points seen by 12 of 15 keypoints, 0.00 px off (median)"
    assert found.facts["largest residual"] == "1.00 px"
    x, y = keypoints(0)[0]
    assert found.table[1] == ("1", "1.00", f"{x:.1f}", f"{y:.1f}", "3")


@pytest.mark.slow
def test_images_are_named_as_people_name_them(shown_scene):
    assert show_image("photographs/b c.png").title.startswith("b c.png: ")
    with pytest.raises(ValueError, match=r"sparse/0 has no image b_c.png: did you mean b c.png?"):
        show_image("b_c.png")


@pytest.mark.slow
def test_photographs_of_another_size_and_missing_ones_are_named(shown_scene):
    cv2.imwrite("photographs/sub/a.png", np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(ValueError, match=r"sub/a.png is 30 x 20 px"):
        show_image("sub/a.png")
    (shown_scene / "photographs/b c.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"no photograph .*b c.png \(--images tells where they are\)"):
        show_image("b c.png")
    (shown_scene / "db.db").unlink()
    with pytest.raises(FileNotFoundError, match=r"no db.db to find the photographs by: give --images"):
        show_image("a.png")
    assert show_image("a.png", images=shown_scene / "photographs").pixels().ndim == 3


@pytest.mark.slow
def test_photographs_are_those_of_the_models_database_not_of_one_in_the_current_folder(shown_scene, monkeypatch):
    (shown_scene / "elsewhere").mkdir()
    monkeypatch.chdir(shown_scene / "elsewhere")
    create_database(Path("db.db"))
    assert show_image("a.png", shown_scene / "sparse/0").pixels().ndim == 3
    assert show_track(3, shown_scene / "sparse/0").pixels().ndim == 3


@pytest.mark.slow
def test_an_image_that_sees_nothing(shown_scene):
    model = read_model(shown_scene / "sparse/0")
    for point in list(model.points3D):
        model.delete_point3D(point)
    model.write_binary(shown_scene / "sparse/0")
    found = show_image("a.png")
    assert found.title == "a.png: points seen by 0 of 15 keypoints"
    assert not found.table
    assert found.pixels().shape[1] == 1600
