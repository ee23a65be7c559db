import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial import cKDTree
from support.helpers import gaussian_blobs, save_plain_weights, textured_picture

from d2sfm.features.extractor import Extractor
from d2sfm.features.pyramid import level_sizes
from d2sfm.network.strips import TrunkStrips, memory_bytes
from d2sfm.options import Convention, DescriptorDtype, ExtractionOptions, Precision, Preprocessing

VARIANTS = [
    ("landscape_480x320", "singlescale", {}),
    ("landscape_480x320", "multiscale", {"scales": (0.5, 1.0, 2.0)}),
    ("landscape_480x320", "singlescale_norelu", {"relu": False}),
    ("landscape_480x320", "singlescale_torch", {"preprocessing": Preprocessing.TORCH}),
    ("portrait_351x479", "singlescale", {}),
    ("portrait_351x479", "multiscale", {"scales": (0.5, 1.0, 2.0)}),
]


@pytest.fixture(scope="module")
def textured():
    return textured_picture(5, (120, 88))


@pytest.fixture(scope="module")
def extractor():
    return Extractor()


def compare(shared_data, picture, variant, options, tolerance_px):
    """(golden rows, found rows, share without a partner, share extra, partners) at a distance in x, y, scale."""
    golden_folder = shared_data.parent / "golden"
    golden = np.load(golden_folder / f"{picture}.{variant}.npz")
    image = np.asarray(Image.open(golden_folder / f"{picture}.png").convert("RGB"))
    features = Extractor(ExtractionOptions(convention=Convention.REFERENCE, **options)).extract(image)
    found, wanted = features.keypoints[:, :3], golden["keypoints"]
    distance, partner = cKDTree(found).query(wanted)
    extra_distance, _ = cKDTree(wanted).query(found)
    matched = distance < tolerance_px
    missing, extra = np.mean(~matched), np.mean(extra_distance >= tolerance_px)
    return golden, features, matched, partner, missing, extra


@pytest.mark.photographs
@pytest.mark.parametrize(("picture", "variant", "options"), VARIANTS)
def test_parity_with_the_published_code(shared_data, picture, variant, options):
    weights = str(shared_data.parent / "weights" / "d2_ots.pth")
    golden, features, matched, partner, missing, extra = compare(
        shared_data, picture, variant, {"weights": weights, **options}, 0.001
    )
    assert missing <= 0.001
    assert extra <= 0.001
    partner = partner[matched]
    np.testing.assert_allclose(features.scores[partner], golden["scores"][matched], rtol=1e-4)
    np.testing.assert_allclose(features.descriptors[partner], golden["descriptors"][matched], atol=1e-4)


@pytest.mark.photographs
@pytest.mark.parametrize(("picture", "variant", "options"), VARIANTS)
def test_bundled_weights_stay_within_a_tenth_of_a_pixel(shared_data, picture, variant, options):
    *_, missing, extra = compare(shared_data, picture, variant, options, 0.1)
    # Rounded weights flip a few of the tests that decide whether a cell is a keypoint at all.
    assert missing <= 0.01
    assert extra <= 0.01


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


def assert_equal_to_rounding(found, expected):
    assert len(found) == len(expected) > 10
    np.testing.assert_allclose(found.keypoints, expected.keypoints, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.descriptors, expected.descriptors, atol=1e-5)


@pytest.mark.parametrize("size", [(120, 88), (121, 91), (67, 150)])
@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 2.0)])
@pytest.mark.parametrize("limit", [{"tile_size": 8}, {"tile_size": 50}, {"memory_limit": "of 20 rows"}])
def test_a_tiled_run_gives_the_untiled_runs_features(size, scales, limit):
    if "memory_limit" in limit:
        limit = {"memory_limit": memory_bytes([level for _, level in level_sizes(size, scales)], 20, 4) / 1e9}
    picture = textured_picture(5, size)
    untiled = Extractor(ExtractionOptions(scales=scales, tile_size=1000)).extract(picture)
    tiled = Extractor(ExtractionOptions(scales=scales, **limit))
    assert tiled._strip_px([level for _, level in level_sizes(size, scales)], 1) < 64
    assert_equal_to_rounding(tiled.extract(picture), untiled)


def test_a_memory_limit_that_is_too_low_is_named(textured):
    extractor = Extractor(ExtractionOptions(memory_limit=0.0001))
    with pytest.raises(ValueError, match=r"of 120 px width need a memory limit of 0\.00\d+ GB or more, found 0.0001"):
        extractor.extract(textured)
    with pytest.raises(ValueError, match="of 1600 px width"):
        extractor.check_size((3200, 2400))


def test_a_batch_gives_what_each_picture_gives_alone(extractor):
    pictures = [textured_picture(seed, (96, 72)) for seed in range(3)]
    together = extractor.extract_batch([extractor.prepare(picture) for picture in pictures])
    for picture, found in zip(pictures, together, strict=True):
        assert_equal_to_rounding(found, extractor.extract(picture))


def test_pictures_of_a_batch_have_one_size(extractor, textured):
    with pytest.raises(ValueError, match="2 different sizes"):
        extractor.extract_batch([extractor.prepare(textured), extractor.prepare(textured[1:])])


def test_descriptors_of_half_the_memory(extractor, textured):
    half, full = extractor.extract(textured, DescriptorDtype.FLOAT16), extractor.extract(textured)
    assert half.descriptors.dtype == np.float16
    assert np.array_equal(half.descriptors, full.descriptors.astype(np.float16))
    assert np.array_equal(half.keypoints, full.keypoints)


def test_where_gpu_memory_runs_out_smaller_batches_and_strips_are_tried(monkeypatch, caplog):
    """Memory that holds 20 rows of one picture, and no more."""
    extractor = Extractor()
    pictures = [extractor.prepare(textured_picture(seed, (96, 72))) for seed in range(3)]
    expected = extractor.extract_batch(pictures)
    push = TrunkStrips.push

    def with_little_memory(self, rows, *, last):
        if rows.shape[0] * rows.shape[2] > 20:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return push(self, rows, last=last)

    monkeypatch.setattr(TrunkStrips, "push", with_little_memory)
    for found, features in zip(extractor.extract_batch(pictures), expected, strict=True):
        assert_equal_to_rounding(found, features)
    assert "with 3 pictures at a time: going on with 1" in caplog.text
    assert "with 64 rows at a time: going on with 32" in caplog.text
    assert "with 32 rows at a time: going on with 16" in caplog.text
    caplog.clear()
    extractor.extract_batch(pictures)
    assert not caplog.text  # what was learned is kept


def test_where_no_strip_fits_the_error_stays(monkeypatch, textured):
    def without_memory(self, rows, *, last):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(TrunkStrips, "push", without_memory)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        Extractor().extract(textured)


def test_bfloat16_finds_most_of_the_keypoints(extractor, textured):
    full = extractor.extract(textured)
    half = Extractor(ExtractionOptions(precision=Precision.BFLOAT16)).extract(textured)
    distance, _ = cKDTree(half.keypoints[:, :2]).query(full.keypoints[:, :2])
    assert np.mean(distance < 1) > 0.8
    assert json.loads(Extractor(ExtractionOptions(precision=Precision.AUTO)).fingerprint)["precision"] != "auto"


def test_conventions_differ_by_their_offsets(extractor, textured):
    colmap = extractor.extract(textured)
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
    ("scales", "sigma_px", "max_edge"),
    [
        pytest.param((1.0,), 10, 1600, id="as it is"),
        pytest.param((1.0,), 14, 613, id="resized"),
        pytest.param((0.75,), 10, 1600, id="a coarser scale"),
        pytest.param((1.5,), 8, 1600, id="a finer scale"),
        pytest.param((0.5, 1.0), 14, 1600, id="scales 0.5 and 1, coarse blobs"),
        pytest.param((0.5, 1.0, 2.0), 14, 700, id="three scales of a resized picture"),
    ],
)
def test_a_blobs_keypoint_is_at_its_centre(tmp_path, scales, sigma_px, max_edge):
    """In COLMAP's frame, to 0.1 px over the picture and 0.3 px in each third of it, at every scale."""
    picture, centres = gaussian_blobs((961, 723), spacing_px=120, sigma_px=sigma_px)
    weights = save_plain_weights(tmp_path / "plain.pth", gain=1)
    features = Extractor(ExtractionOptions(weights=weights, scales=scales, max_edge=max_edge)).extract(picture)
    coarsest = features.keypoints[:, 2] == features.keypoints[:, 2].max()
    distance, nearest = cKDTree(features.keypoints[coarsest, :2]).query(centres)
    found = distance < 4
    assert found.mean() > 0.85
    error = (features.keypoints[coarsest, :2][nearest] - centres)[found]
    assert np.abs(error.mean(axis=0)).max() < 0.1
    for axis, edge in enumerate((961, 723)):
        third = (3 * centres[found, axis] // edge).astype(int)
        assert all(abs(np.median(error[third == k, axis])) < 0.3 for k in range(3))


PHOTOGRAPHS = ["sacre_coeur/images/02928139_3448003521.jpg", "sacre_coeur/images/03903474_1471484089.jpg"]
PHOTOGRAPHS += ["brighton_beach/images/DJI_0020.JPG", "lund/images/01.jpg", "lund/images/20.jpg"]


@pytest.mark.photographs
@pytest.mark.slow
@pytest.mark.parametrize("scales", [(0.75,), (0.5, 1.0)])
def test_two_scales_of_a_photograph_agree(shared_data, scales):
    """The finest level's keypoints lie where those of the plain scale do: to 0.1 px, and 0.3 px in each third."""
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
    base = json.loads(Extractor().fingerprint)
    assert json.loads(Extractor(ExtractionOptions(device="cpu")).fingerprint) == base
    changes = [{"scales": (0.5,)}, {"max_edge": 1024}, {"relu": False}, {"convention": Convention.REFERENCE}]
    for change in [*changes, {"precision": Precision.BFLOAT16}]:
        assert json.loads(Extractor(ExtractionOptions(**change)).fingerprint) != base


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_cpus_keypoints(extractor, textured):
    cpu, gpu = extractor.extract(textured), Extractor(ExtractionOptions(device="cuda")).extract(textured)
    distance, _ = cKDTree(gpu.keypoints[:, :2]).query(cpu.keypoints[:, :2])
    assert np.mean(distance > 0.01) < 0.02


@pytest.fixture(scope="module")
def mask():
    """A checkerboard of squares of 9 px over ``textured``."""
    rows, columns = np.indices((88, 120)) // 9
    return (rows + columns) % 2 == 0


@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 2.0)])
@pytest.mark.parametrize(("border", "is_masked"), [(0, True), (13, False), (13, True)])
def test_of_all_keypoints_those_on_pixels_that_are_in_are_left(textured, mask, scales, border, is_masked):
    plain = Extractor(ExtractionOptions(scales=scales, max_edge=100)).extract(textured)
    column, row = np.floor(plain.keypoints[:, :2]).astype(int).T
    expected = (column >= border) & (column < 120 - border) & (row >= border) & (row < 88 - border)
    expected &= mask[row, column] | (not is_masked)
    assert 5 < expected.sum() < len(plain)
    options = ExtractionOptions(scales=scales, max_edge=100, border=border)
    found = Extractor(options).extract(textured, mask=mask if is_masked else None)
    assert np.array_equal(found.keypoints, plain.keypoints[expected])
    assert np.array_equal(found.descriptors, plain.descriptors[expected])
    options = ExtractionOptions(scales=scales, max_edge=100, border=border, max_keypoints=5)
    best = Extractor(options).extract(textured, mask=mask if is_masked else None)
    assert np.array_equal(best.keypoints, found.keypoints[:5])  # counted after masking


def test_each_picture_of_a_batch_has_its_own_mask(extractor, textured, mask):
    masks = [mask, None, ~mask, np.zeros_like(mask)]
    found = extractor.extract_batch([extractor.prepare(textured, each) for each in masks])
    for each, features in zip(masks, found, strict=True):
        alone = extractor.extract(textured, mask=each)
        np.testing.assert_allclose(features.keypoints, alone.keypoints, atol=1e-4)
    assert len(found[0]) + len(found[2]) == len(found[1])
    assert len(found[3]) == 0


@pytest.mark.parametrize("wrong", [np.ones((88, 119), bool), np.ones((88, 120), np.uint8)])
def test_masks_of_another_shape_or_type_are_refused(extractor, textured, wrong):
    with pytest.raises(ValueError, match=r"mask is .*, expected bool \(88, 120\)"):
        extractor.prepare(textured, wrong)


def test_a_border_is_another_setting_and_none_is_what_it_was():
    plain, border = (json.loads(Extractor(ExtractionOptions(border=px)).fingerprint) for px in (0, 7))
    assert border == plain | {"border": 7}
