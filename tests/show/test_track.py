import numpy as np
import pytest
from support.shown_scene import keypoints

from d2sfm.colmap import read_model
from d2sfm.database import FeatureStore, RefinementStore
from d2sfm.show.photographs import Photographs
from d2sfm.show.track import _keypoints, _observation, show_track


@pytest.mark.slow
def test_refinement_adds_a_row_of_patches(shown_scene):
    first = show_track(1)
    assert first.title == "point 1: seen by 3 images, 1.00 px off (mean)"
    before = first.pixels()
    shifted = {image_id: keypoints(image_id - 1) for image_id in (1, 2, 3)}
    with RefinementStore("db.db") as store:
        store.replace(shifted, {"rounds": 1})
    assert show_track(1).pixels().shape[0] > before.shape[0] + 100  # a second row


def test_originals_are_those_of_the_database(shown_scene):
    model = read_model(shown_scene / "sparse/0")
    with FeatureStore("db.db") as store:
        original = {name: store.read(name).keypoints[:, :2] for name in store.extracted()}
    assert all(each.original is None for each in _keypoints(model, 3, shown_scene / "db.db"))
    with RefinementStore("db.db") as store:
        store.replace({1: keypoints(0)}, {"rounds": 1})
    seen = _keypoints(model, 3, shown_scene / "db.db")
    assert [each.image.name for each in seen] == ["a.png", "b c.png", "sub/a.png"]
    np.testing.assert_array_equal(seen[0].original, original["a.png"][2])
    assert seen[1].original is None
    assert [each.factor for each in seen] == [2.0] * 3  # the input has half of the photograph's size


def test_the_default_is_a_point_that_most_images_see_of_the_smallest_error(shown_scene):
    number = int(show_track().title.partition(":")[0].split()[1])
    assert 2 <= number <= 11


def test_another_databases_model_is_refused(shown_scene):
    with RefinementStore("db.db") as store:
        store.replace({2: keypoints(1) + 1}, {"rounds": 1})
    with pytest.raises(ValueError, match=r"keypoint 3 of b c.png has another position in db.db than in the model"):
        show_track(4)
    with pytest.raises(ValueError, match="sparse/0 has no point 99: d2sfm show image"):
        show_track(99)


def test_the_ring_is_where_the_model_sees_the_point(shown_scene):
    """In the patch of an image whose keypoint is one pixel off; a patch of 40 px has 190 pixels."""
    model = read_model(shown_scene / "sparse/0")
    [first, *_] = _keypoints(model, 1, shown_scene / "db.db")
    [patch] = _observation(first, model.points3D[1], Photographs(shown_scene / "photographs"), 40, False).patches
    np.testing.assert_allclose(patch.point, (0.6, -0.8), atol=1e-4)
