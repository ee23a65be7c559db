import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial import cKDTree
from support.helpers import gaussian_blobs, save_plain_weights

from d2sfm.features.extractor import Extractor
from d2sfm.features.pyramid import level_sizes
from d2sfm.options import Convention, DescriptorDtype, ExtractionOptions, Precision

pytestmark = pytest.mark.usefixtures("narrow_network")


def test_features_are_ordered_bounded_and_of_unit_length(extractor, textured):
    features = extractor.extract(textured)
    assert len(features) > 10
    assert features.keypoints.dtype == features.descriptors.dtype == np.float32
    assert (np.diff(features.scores) <= 0).all()
    assert (features.keypoints[:, :2] > 0).all()
    assert (features.keypoints[:, :2] < [120, 88]).all()
    np.testing.assert_allclose(np.linalg.norm(features.descriptors, axis=1), 1, atol=1e-5)
    assert features.image_size == features.input_size == (120, 88)


def test_the_same_picture_gives_the_same_features(extractor, textured):
    first, second = extractor.extract(textured), Extractor().extract(textured.copy())
    assert np.array_equal(first.keypoints, second.keypoints)
    assert np.array_equal(first.descriptors, second.descriptors)


def test_max_keypoints_keeps_the_best(extractor, textured):
    everything = extractor.extract(textured)
    best = Extractor(ExtractionOptions(max_keypoints=5)).extract(textured)
    assert np.array_equal(best.keypoints, everything.keypoints[:5])
    assert np.array_equal(best.descriptors, everything.descriptors[:5])


def test_pictures_of_a_batch_have_one_size(extractor, textured):
    with pytest.raises(ValueError, match="2 different sizes"):
        extractor.extract_batch([extractor.prepare(textured), extractor.prepare(textured[1:])])


def test_descriptors_of_half_the_memory(extractor, textured):
    half, full = Extractor(descriptor_dtype=DescriptorDtype.FLOAT16).extract(textured), extractor.extract(textured)
    assert half.descriptors.dtype == np.float16
    assert np.array_equal(half.descriptors, full.descriptors.astype(np.float16))
    assert np.array_equal(half.keypoints, full.keypoints)


def test_bfloat16_finds_most_of_the_keypoints(extractor, textured):
    full = extractor.extract(textured)
    half = Extractor(ExtractionOptions(precision=Precision.BFLOAT16)).extract(textured)
    distance, _ = cKDTree(half.keypoints[:, :2]).query(full.keypoints[:, :2])
    assert np.mean(distance < 1) > 0.8
    assert json.loads(Extractor(ExtractionOptions(precision=Precision.AUTO)).fingerprint)["precision"] != "auto"


def test_conventions_differ_by_their_offsets(textured):
    colmap = Extractor(ExtractionOptions(precision=Precision.FLOAT32)).extract(textured)
    reference = Extractor(ExtractionOptions(convention=Convention.REFERENCE)).extract(textured)
    # Half a cell of the average pooling, and half a pixel of COLMAP's origin.
    np.testing.assert_allclose(colmap.keypoints[:, :2] - reference.keypoints[:, :2], 2.5, atol=1e-4)


def test_a_resized_picture_keeps_its_frame_and_scales_its_keypoints(textured):
    double = np.asarray(Image.fromarray(textured).resize((240, 176), Image.Resampling.NEAREST))
    small = Extractor(ExtractionOptions(max_edge=120)).extract(double)
    assert small.image_size == (240, 176)
    assert small.input_size == (120, 88)
    # The antialiasing filter of a halving blurs a little: compare with the features of the picture it made.
    halved = np.asarray(Image.fromarray(double).resize((120, 88), Image.Resampling.BILINEAR))
    same = Extractor().extract(halved)
    np.testing.assert_allclose(small.keypoints[:, :3], 2 * same.keypoints[:, :3], rtol=1e-6)


@pytest.mark.parametrize(
    ("size", "scales", "sigma_px", "max_edge"),
    [
        pytest.param((601, 483), (1.0,), 14, 384, id="small, resized"),
        pytest.param((601, 483), (0.75,), 10, 1600, id="small, a coarser scale"),
        *(
            pytest.param((961, 723), *case, id=name, marks=pytest.mark.slow)
            for name, case in {
                "as it is": ((1.0,), 10, 1600),
                "resized": ((1.0,), 14, 613),
                "a coarser scale": ((0.75,), 10, 1600),
                "a finer scale": ((1.5,), 8, 1600),
                "scales 0.5 and 1, coarse blobs": ((0.5, 1.0), 14, 1600),
                "three scales of a resized picture": ((0.5, 1.0, 2.0), 14, 700),
            }.items()
        ),
    ],
)
def test_a_blobs_keypoint_is_at_its_centre(tmp_path, size, scales, sigma_px, max_edge):
    """In COLMAP's frame, to 0.1 px over the picture and 0.3 px in each third of it, at every scale."""
    picture, centres = gaussian_blobs(size, spacing_px=120, sigma_px=sigma_px)
    weights = save_plain_weights(tmp_path / "plain.pth", gain=1)
    features = Extractor(ExtractionOptions(weights=weights, scales=scales, max_edge=max_edge)).extract(picture)
    coarsest = features.keypoints[:, 2] == features.keypoints[:, 2].max()
    distance, nearest = cKDTree(features.keypoints[coarsest, :2]).query(centres)
    found = distance < 4
    assert found.mean() > 0.85
    error = (features.keypoints[coarsest, :2][nearest] - centres)[found]
    assert np.abs(error.mean(axis=0)).max() < 0.1
    for axis, edge in enumerate(size):
        third = (3 * centres[found, axis] // edge).astype(int)
        assert all(abs(np.median(error[third == k, axis])) < 0.3 for k in range(3))


def test_several_scales_add_coarser_keypoints(textured):
    features = Extractor(ExtractionOptions(scales=(2.0, 0.5, 1.0))).extract(textured)
    assert set(features.keypoints[:, 2]) == {0.5, 1.0, 2.0}
    assert features.scales == (0.5, 1.0, 2.0)


def test_no_keypoint_is_a_shape(textured, tmp_path):
    features = Extractor(ExtractionOptions(weights=save_plain_weights(tmp_path / "zero.pth", gain=0))).extract(textured)
    assert features.keypoints.shape == (0, 4)
    assert features.descriptors.shape == (0, 512)


def test_levels_below_the_networks_smallest_edge_are_left_out(textured):
    small = textured[:12, :20]
    assert level_sizes((20, 12), (0.5, 1.0, 2.0)) == [(1.0, (20, 12)), (2.0, (40, 24))]
    features = Extractor(ExtractionOptions(scales=(0.5, 1.0, 2.0))).extract(small)
    assert set(features.keypoints[:, 2]) <= {0.5, 1.0}


def test_a_picture_that_is_too_small_is_named(extractor):
    with pytest.raises(ValueError, match="7 x 40 px"):
        extractor.extract(np.zeros((40, 7, 3), np.uint8))


@pytest.mark.parametrize(
    "image", [np.zeros((40, 40), np.uint8), np.zeros((40, 40, 3)), np.zeros((40, 40, 4), np.uint8)]
)
def test_other_arrays_are_refused(extractor, image):
    with pytest.raises(ValueError, match="expected uint8"):
        extractor.extract(image)


def test_fingerprints_tell_settings_apart_but_not_devices():
    plain = {"precision": Precision.FLOAT32}
    base = json.loads(Extractor(ExtractionOptions(**plain)).fingerprint)
    assert json.loads(Extractor(ExtractionOptions(device="cpu", **plain)).fingerprint) == base
    changes = [{"scales": (0.5,)}, {"max_edge": 1024}, {"relu": False}, {"convention": Convention.REFERENCE}]
    for change in [*changes, {"precision": Precision.BFLOAT16}]:
        assert json.loads(Extractor(ExtractionOptions(**plain | change)).fingerprint) != base


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_cpus_keypoints(extractor, textured):
    cpu, gpu = extractor.extract(textured), Extractor(ExtractionOptions(device="cuda")).extract(textured)
    distance, _ = cKDTree(gpu.keypoints[:, :2]).query(cpu.keypoints[:, :2])
    assert np.mean(distance > 0.01) < 0.02


def test_a_border_is_another_setting_and_none_is_what_it_was():
    plain, border = (json.loads(Extractor(ExtractionOptions(border=px)).fingerprint) for px in (0, 7))
    assert border == plain | {"border": 7}
