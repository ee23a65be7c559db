"""Features of the real network: those of the published code, and the same at every scale.

With D2SFM_ALL_TESTS of all photographs.
"""

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import cKDTree
from support.all_tests import ALL_TESTS

from d2sfm.features.extractor import Extractor
from d2sfm.options import Convention, ExtractionOptions, Preprocessing

# Only keypoints of a corner of the picture, which is cut out with what the network sees around them.
CORNER = ("landscape_480x320", "singlescale", {}, (256, 192))
SEEN_PX = 64
WHOLE = [
    pytest.param(*variant, (None, None), marks=pytest.mark.slow)
    for variant in (
        ("landscape_480x320", "singlescale", {}),
        ("landscape_480x320", "multiscale", {"scales": (0.5, 1.0, 2.0)}),
        ("landscape_480x320", "singlescale_norelu", {"relu": False}),
        ("landscape_480x320", "singlescale_torch", {"preprocessing": Preprocessing.TORCH}),
        ("portrait_351x479", "singlescale", {}),
        *([("portrait_351x479", "multiscale", {"scales": (0.5, 1.0, 2.0)})] if ALL_TESTS else []),
    )
]


def compare(shared_data, picture, variant, options, corner, tolerance_px):
    """(golden rows, found rows, share without a partner, share extra, partners) at a distance in x, y, scale."""
    golden_folder = shared_data.parent / "golden"
    golden = np.load(golden_folder / f"{picture}.{variant}.npz")
    width, height = corner
    image = np.asarray(Image.open(golden_folder / f"{picture}.png").convert("RGB"))[:height, :width]
    features = Extractor(ExtractionOptions(convention=Convention.REFERENCE, **options)).extract(image)
    found, wanted = features.keypoints[:, :3], golden["keypoints"]
    distance, partner = cKDTree(found).query(wanted)
    extra_distance, _ = cKDTree(wanted).query(found)
    far = np.array(corner if width else (np.inf, np.inf)) - SEEN_PX
    of_wanted, of_found = ((rows[:, :2] < far).all(axis=1) for rows in (wanted, found))
    assert of_wanted.sum() > 100
    matched = of_wanted & (distance < tolerance_px)
    missing = 1 - matched.sum() / of_wanted.sum()
    extra = np.mean(extra_distance[of_found] >= tolerance_px)
    return golden, features, matched, partner, missing, extra


@pytest.mark.photographs
@pytest.mark.parametrize(("picture", "variant", "options", "corner"), [CORNER, *WHOLE])
def test_parity_with_the_published_code(shared_data, picture, variant, options, corner):
    weights = str(shared_data.parent / "weights" / "d2_ots.pth")
    golden, features, matched, partner, missing, extra = compare(
        shared_data, picture, variant, {"weights": weights, **options}, corner, 0.001
    )
    assert missing <= 0.001
    assert extra <= 0.001
    partner = partner[matched]
    np.testing.assert_allclose(features.scores[partner], golden["scores"][matched], rtol=1e-4)
    np.testing.assert_allclose(features.descriptors[partner], golden["descriptors"][matched], atol=1e-4)


@pytest.mark.photographs
@pytest.mark.parametrize(("picture", "variant", "options", "corner"), [CORNER, *WHOLE])
def test_bundled_weights_stay_within_a_tenth_of_a_pixel(shared_data, picture, variant, options, corner):
    *_, missing, extra = compare(shared_data, picture, variant, options, corner, 0.1)
    # Rounded weights flip a few of the tests that decide whether a cell is a keypoint at all.
    assert missing <= 0.01
    assert extra <= 0.01


PHOTOGRAPHS = ["sacre_coeur/images/02928139_3448003521.jpg", "sacre_coeur/images/03903474_1471484089.jpg"]
PHOTOGRAPHS += ["brighton_beach/images/DJI_0020.JPG", "lund/images/01.jpg", "lund/images/20.jpg"]


@pytest.mark.photographs
@pytest.mark.slow
@pytest.mark.skipif(not ALL_TESTS, reason="large photographs at several scales: with D2SFM_ALL_TESTS")
@pytest.mark.parametrize("scales", [(0.75,), (0.5, 1.0)])
def test_two_scales_of_a_photograph_agree(shared_data, scales):
    """The finest level's keypoints lie where those of the plain scale do: to 0.1 px, and 0.3 px in each third.

    With D2SFM_ALL_TESTS alone: blobs, whose places are known, show it in any case.
    """
    moved, places = [], []
    for name in PHOTOGRAPHS:
        plain = Extractor().extract(shared_data / name)
        other = Extractor(ExtractionOptions(scales=scales)).extract(shared_data / name)
        finest = other.keypoints[:, 2] == other.keypoints[:, 2].min()
        xy, descriptors = other.keypoints[finest, :2], other.descriptors[finest]
        distance, nearest = cKDTree(xy).query(plain.keypoints[:, :2])
        same = (distance < 4) & ((plain.descriptors * descriptors[nearest]).sum(axis=1) > 0.8)
        moved.append((xy[nearest] - plain.keypoints[:, :2])[same])
        places.append(plain.keypoints[same, :2] / plain.image_size)
    moved, places = np.concatenate(moved), np.concatenate(places)
    assert len(moved) > 2000
    assert np.abs(moved.mean(axis=0)).max() < 0.1
    for axis in range(2):
        third = (3 * places[:, axis]).astype(int)
        assert all(abs(np.median(moved[third == k, axis])) < 0.3 for k in range(3))
