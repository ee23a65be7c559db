import numpy as np
import pytest
import torch
from support.plane_views import plane_views, textured_places

from d2sfm import refine_matches
from d2sfm.coordinates import stored_array, stored_from_upright, upright_from_stored
from d2sfm.features.record import Features
from d2sfm.options import Convention


def features_at(picture, xy, convention=Convention.COLMAP, **fields):
    size = picture.shape[1], picture.shape[0]
    keypoints = np.column_stack([xy, np.ones(len(xy)), np.ones(len(xy))]).astype(np.float32)
    descriptors = np.zeros((len(xy), 512), np.float32)
    return Features(
        keypoints=keypoints,
        descriptors=descriptors,
        image_size=size,
        input_size=size,
        convention=convention,
        scales=(1.0,),
        **fields,
    )


@pytest.fixture(scope="module")
def pair():
    """Two views of a plane, positions in the first and their disturbed partners, all in COLMAP's frame."""
    views, random = plane_views(0, scale=1.0, count=2, size=(224, 168)), np.random.default_rng(0)
    in_a = textured_places(views, 60)
    in_b = views.transfer(in_a, 0, 1)
    disturbed = in_b + random.uniform(-4, 4, in_b.shape)
    return views, in_a + 0.5, in_b + 0.5, disturbed + 0.5


@pytest.mark.slow
def test_partners_of_keypoints_that_stay_are_found(pair):
    views, in_a, in_b, disturbed = pair
    a, b = (features_at(picture, xy) for picture, xy in zip(views.pictures[:2], (in_a, disturbed), strict=True))
    matches = np.column_stack([np.arange(len(in_a))] * 2)
    torch.set_num_threads(1)
    found = refine_matches(views.pictures[0], a, views.pictures[1], b, matches)
    before, after = (np.linalg.norm(xy - in_b, axis=1) for xy in (disturbed, found))
    assert np.median(before) > 2
    assert np.median(after) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("orientation", [6, pytest.param(3, marks=pytest.mark.slow)])
def test_pictures_that_are_stored_turned_are_looked_at_upright(pair, orientation):
    """Positions come back in the stored picture, and are those of the upright one."""
    views, in_a, _, disturbed = (each[:20] if isinstance(each, np.ndarray) else each for each in pair)
    picture_a, picture_b = views.pictures[:2]
    matches, a = np.column_stack([np.arange(20)] * 2), features_at(picture_a, in_a)
    torch.set_num_threads(1)
    upright = refine_matches(picture_a, a, picture_b, features_at(picture_b, disturbed), matches)
    stored = stored_array(picture_b, orientation)
    size = stored.shape[1], stored.shape[0]
    turned = stored_from_upright(disturbed, size, orientation)
    found = refine_matches(picture_a, a, stored, features_at(stored, turned, orientation=orientation), matches)
    np.testing.assert_allclose(upright_from_stored(found, size, orientation), upright, atol=1e-3)


def test_no_match_is_a_shape(pair):
    views, in_a, _, _ = pair
    a, b = (features_at(picture, in_a) for picture in views.pictures[:2])
    for dtype in (int, float):
        found = refine_matches(views.pictures[0], a, views.pictures[1], b, np.zeros((0, 2), dtype))
        assert found.shape == (0, 2)


def test_what_does_not_fit_is_refused(pair):
    views, in_a, _, _ = pair
    a, b = (features_at(picture, in_a) for picture in views.pictures[:2])
    matches = np.zeros((1, 2), int)
    with pytest.raises(ValueError, match="shape"):
        refine_matches(views.pictures[0], a, views.pictures[1], b, matches[:, :1])
    for number in (-1, len(in_a)):
        with pytest.raises(ValueError, match=f"keypoints {number} to {number}, but there are {len(in_a)}"):
            refine_matches(views.pictures[0], a, views.pictures[1], b, np.array([[0, number]]))
    with pytest.raises(ValueError, match="its features are of"):
        refine_matches(views.pictures[0][1:], a, views.pictures[1], b, matches)
    published = features_at(views.pictures[1], in_a, Convention.REFERENCE)
    with pytest.raises(ValueError, match="reference"):
        refine_matches(views.pictures[0], a, views.pictures[1], published, matches)
