"""Keypoints of another extractor joined by what D2's matches around them say."""

import numpy as np
import pytest

from d2sfm.bridge.transfer import ALIKE, MEAN_DISTANCE_PX, WITHIN_PX, transferred

AFFINE = np.array([[1.1, 0.15, -20.0], [-0.1, 0.9, 30.0]])


def apply(affine, xy):
    return xy @ affine[:, :2].T + affine[:, 2]


def world(seed, count=400, size=(300, 200), noise_px=0.6, clutter=200, affine=AFFINE):
    """Matches of an exact affine map; keypoints of both images, the first ``count`` of each the same places, in the
    second disturbed; descriptors like SIFT's, of the same places alike. Keypoints crowd, so that they compete."""
    random = np.random.default_rng(seed)
    xy_a = random.uniform((0, 0), size, (120, 2))
    places = random.uniform((0, 0), size, (count + clutter, 2))
    others = np.concatenate([places[:count], random.uniform((0, 0), size, (clutter, 2))])
    keypoints_b = apply(affine, others) + random.normal(0, noise_px, others.shape)
    descriptors_a = random.gamma(0.7, 40, (len(places), 32))
    descriptors_b = random.gamma(0.7, 40, (len(places), 32))
    descriptors_b[:count] = descriptors_a[:count] + 0.7 * descriptors_b[:count]
    both = [(each / 2).clip(0, 255).astype(np.uint8) for each in (descriptors_a, descriptors_b)]
    return xy_a, apply(affine, xy_a), places, keypoints_b, *both


def carried(place, xy_a, xy_b):
    """Where a place lies in the other image; None if that is not sure."""
    near = sorted(range(len(xy_a)), key=lambda match: np.linalg.norm(xy_a[match] - place))[:12]
    of_a, of_b = xy_a[near], xy_b[near]
    distances = np.linalg.norm(of_a - place, axis=1)
    by_distance = np.exp(-0.5 * (distances / distances[-1]) ** 2)
    weights = by_distance
    for _ in range(4):
        share = weights / weights.sum()
        middle_a, middle_b = share @ of_a, share @ of_b
        square, cross = 4 * np.eye(2), 4 * np.eye(2)  # two pixels that keep the map what it is across a line
        for weight, x, y in zip(weights, of_a - middle_a, of_b - middle_b, strict=True):
            square, cross = square + weight * np.outer(x, x), cross + weight * np.outer(y, x)
        matrix = cross @ np.linalg.inv(square)
        off = np.linalg.norm(of_b - middle_b - (of_a - middle_a) @ matrix.T, axis=1)
        weights = by_distance / (1 + (off / 1.5) ** 2)
    is_flat = np.linalg.svd(of_a - of_a.mean(axis=0), compute_uv=False)[1] / np.sqrt(12) < 2
    if is_flat or np.sqrt(share @ off**2) >= 2 or distances[-1] >= 120 or not 0.2 < np.linalg.det(matrix) < 5:
        return None
    return middle_b + matrix @ (place - middle_a)


def plain(xy_a, xy_b, keypoints_a, keypoints_b, descriptors_a=None, descriptors_b=None):
    """The same, keypoint by keypoint."""
    there, back = [carried(xy, xy_a, xy_b) for xy in keypoints_a], [carried(xy, xy_b, xy_a) for xy in keypoints_b]
    mean = None if descriptors_a is None else np.vstack([descriptors_a, descriptors_b]).astype(float).mean(axis=0)
    pairs = []
    for a in (a for a in range(len(there)) if there[a] is not None):
        for b in (b for b in range(len(back)) if back[b] is not None):
            off = [np.linalg.norm(there[a] - keypoints_b[b]), np.linalg.norm(back[b] - keypoints_a[a])]
            if max(off) <= WITHIN_PX:
                u, v = (0, 1) if mean is None else (descriptors_a[a] - mean, descriptors_b[b] - mean)
                cosine = np.dot(u, v) / np.linalg.norm(u) / np.linalg.norm(v) if mean is not None else -1
                pairs.append((a, b, cosine, np.mean(off)))
    alike = best([(a, b, -cosine) for a, b, cosine, _ in pairs if cosine > ALIKE])
    taken = [{pair[side] for pair in alike} for side in (0, 1)]
    left = [(a, b, off) for a, b, _, off in pairs if a not in taken[0] and b not in taken[1]]
    return sorted(alike + best([pair for pair in left if pair[2] <= MEAN_DISTANCE_PX]))


def best(pairs):
    """Those that are each other's cheapest."""
    return [(a, b) for a, b, cost in pairs if all(cost <= other for c, d, other in pairs if c == a or d == b)]


@pytest.mark.parametrize("has_descriptors", [True, False])
def test_as_keypoint_by_keypoint(has_descriptors):
    given = world(0, count=30, clutter=15, size=(48, 32))
    given[1][::5] += np.random.default_rng(0).normal(0, 3, given[1][::5].shape)
    given = given if has_descriptors else given[:4]
    found = transferred(*given)
    assert found.dtype == np.int64
    assert list(map(tuple, found.tolist())) == plain(*given)
    assert len(found) > 12


def test_the_same_places_are_joined_and_others_are_not():
    found = transferred(*world(0))
    right = found[:, 0] == found[:, 1]
    assert right.sum() > 0.85 * 400
    assert (~right).sum() < 0.05 * right.sum()
    assert all(len(np.unique(side)) == len(found) for side in found.T)


def test_the_order_of_matches_and_keypoints_and_the_direction_do_not_matter():
    xy_a, xy_b, *of_keypoints = world(1)
    expected = transferred(xy_a, xy_b, *of_keypoints)
    random = np.random.default_rng(7)
    order, order_a, order_b = (random.permutation(len(each)) for each in (xy_a, *of_keypoints[:2]))
    mixed = [each[order] for each, order in zip(of_keypoints, [order_a, order_b] * 2, strict=True)]
    found = transferred(xy_a[order], xy_b[order], *mixed)
    assert sorted(zip(order_a[found[:, 0]], order_b[found[:, 1]], strict=True)) == list(map(tuple, expected.tolist()))
    a, b, of_a, of_b = of_keypoints
    back = transferred(xy_b, xy_a, b, a, of_b, of_a)
    assert sorted(map(tuple, back[:, ::-1].tolist())) == list(map(tuple, expected.tolist()))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float16, np.float64])
def test_descriptors_of_any_numbers_and_size(dtype):
    *places, descriptors_a, descriptors_b = world(2)
    expected = transferred(*places, descriptors_a, descriptors_b)
    assert np.array_equal(transferred(*places, descriptors_a.astype(dtype), descriptors_b.astype(dtype)), expected)
    assert not np.array_equal(transferred(*places), expected)


def test_the_alike_one_is_taken_before_the_nearest_and_where_none_is_alike_the_nearest():
    xy_a, xy_b, *_ = world(3)
    place = np.array([[150.0, 100]])
    far = np.array([[400.0, -300]]) + 10 * np.arange(20)[:, None]  # for the mean of descriptors
    beside = apply(AFFINE, place + np.array([[0.2, 0], [1.2, 0]]))
    keypoints_a, keypoints_b = np.vstack([place, far]), np.vstack([beside, far])
    descriptors = np.random.default_rng(3).normal(size=(22, 16)) + 1
    of_b = descriptors.copy()
    of_b[1] = descriptors[0]
    of_b[0] = -descriptors[0]
    both = descriptors[[0, *range(2, 22)]], of_b
    assert transferred(xy_a, xy_b, keypoints_a, keypoints_b, *both).tolist() == [[0, 1]]
    of_b[1] = -descriptors[0]
    assert transferred(xy_a, xy_b, keypoints_a, keypoints_b, *both).tolist() == [[0, 0]]
    assert transferred(xy_a, xy_b, keypoints_a[:1], keypoints_b[1:2]).tolist() == []  # without, 1 px is the limit


def test_each_surface_has_its_own_map():
    """Two planes, one behind the other to the right."""
    other = np.array([[0.8, 0, 60.0], [0, 1.2, -25.0]])
    left, right = world(4, affine=AFFINE), world(5, affine=other)
    shift = np.array([500.0, 0])
    places = [np.vstack([x, y + shift]) for x, y in zip(left[:4], right[:4], strict=True)]
    found = transferred(*places, *(np.vstack(pair) for pair in zip(left[4:], right[4:], strict=True)))
    right = found[:, 0] == found[:, 1]
    assert right.mean() > 0.95
    assert min((found[right, 0] < 600).sum(), (found[right, 0] >= 600).sum()) > 0.8 * 400


def test_nothing_without_matches_that_agree_on_a_map():
    xy_a, xy_b, *of_keypoints = world(6)
    none = np.zeros((0, 2))
    on_line = np.column_stack([xy_a[:, 0], np.full(len(xy_a), 100.0)])
    mixed = np.random.default_rng(0).permutation(xy_b)
    for of_a, of_b in ((none, none), (xy_a[:11], xy_b[:11]), (xy_a, mixed), (on_line, apply(AFFINE, on_line))):
        assert transferred(of_a, of_b, *of_keypoints).shape == (0, 2)
    assert transferred(xy_a + 1000, xy_b, *of_keypoints).shape == (0, 2)  # far from all
    for without in (0, 1):
        keypoints = [none if side == without else each for side, each in enumerate(of_keypoints[:2])]
        assert transferred(xy_a, xy_b, *keypoints).shape == (0, 2)
