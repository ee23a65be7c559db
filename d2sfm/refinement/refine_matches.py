"""Matches of one pair of pictures made exact, as for the localization of a query in a model."""

from dataclasses import dataclass

import numpy as np

from d2sfm.coordinates import upright_array, upright_size
from d2sfm.features.record import Features
from d2sfm.matching.verification import require_matches
from d2sfm.network.device import resolve_device, resolve_precision
from d2sfm.network.early_maps import FeatureMaps, feature_maps
from d2sfm.network.input import resize
from d2sfm.network.trunk import Trunk
from d2sfm.network.weights.load import load_weights
from d2sfm.options import Convention, RefinementOptions
from d2sfm.refinement.adjustment import Adjustment
from d2sfm.refinement.collection import Collection, ImageKeypoints
from d2sfm.refinement.grey import GreyAdjustment, photograph_warps
from d2sfm.refinement.grey_levels import GreyLevels
from d2sfm.refinement.schedule import Schedule, schedule
from d2sfm.refinement.tracks import Edges, Tracks
from d2sfm.refinement.warps import local_warps


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Features of a picture, its early maps, and itself, uint8 [H, W, 3] RGB upright."""

    features: Features
    maps: FeatureMaps
    picture: np.ndarray


def refine_matches(
    image_a: np.ndarray,
    features_a: Features,
    image_b: np.ndarray,
    features_b: Features,
    matches: np.ndarray,
    options: RefinementOptions | None = None,
) -> np.ndarray:
    """Where the keypoints of a picture lie in another one: x, y in pixels of picture b (COLMAP's frame), [M, 2].

    image_a, image_b: uint8 [H, W, 3] RGB, the pictures of the features as they are stored; those of 16 bits stretched
    from the features' ``grey_range``, as ``load_photograph`` does. matches: [M, 2], indices of keypoints of a and b,
    those that agree with a two-view geometry or a pose. Keypoints of a do not move, so that
    points of a model which they see stay theirs. Matches that would move more than 12 px of the input on an axis keep
    b's keypoint.

    Raises ValueError if shapes, or pictures and features, do not fit each other, matches name keypoints that are not
    there, or features are in the published code's frame.
    """
    options, both = options or RefinementOptions(), (features_a, features_b)
    _checked(matches, *both)  # before the network runs
    pictures = [_upright(*each) for each in zip((image_a, image_b), both, strict=True)]
    device = resolve_device(options.device)
    trunk = Trunk(load_weights(options.weights, options.preprocessing, options.mirror))
    trunk.to(device, resolve_precision(options.precision, device))
    seen = []
    for picture, features in zip(pictures, both, strict=True):
        resized = resize(picture, upright_size(features.input_size, features.orientation))
        maps = feature_maps(resized, trunk, options.preprocessing, device)
        seen.append(Seen(features=features, maps=maps, picture=picture))
    return align_matches(*seen, matches, grey=options.grey)


def align_matches(a: Seen, b: Seen, matches: np.ndarray, *, grey: bool = True) -> np.ndarray:
    """What ``refine_matches`` does, for pictures that were seen before. grey: whether to look at grey values, too."""
    rows = _checked(matches, a.features, b.features).T
    images = [_keypoints(each.features, of_one) for each, of_one in zip((a, b), rows, strict=True)]
    count = len(matches)
    if not count:
        return np.zeros((0, 2))
    nodes = np.arange(count)
    edges = Edges(nodes, nodes + count, np.ones(count))
    collection = Collection(images=images, edges=edges, warps=local_warps(images[0].xy, images[1].xy))
    tracks = Tracks(of_node=np.tile(nodes, 2), reference=nodes)
    work, moved = schedule(collection, tracks), collection.xy.copy()
    adjustment = Adjustment(collection, tracks, (a.maps, b.maps).__getitem__, work.slots)
    for part in work.parts:
        moved[part.nodes] = adjustment.move(part)
    if grey:
        _by_grey_values(moved, collection, tracks, work, [a.picture, b.picture])
    return images[1].in_image(moved[count:])


def _by_grey_values(
    moved: np.ndarray, collection: Collection, tracks: Tracks, work: Schedule, pictures: list[np.ndarray]
) -> None:
    """Move the nodes on, in place, where grey values of the pictures agree with them."""
    levels = [GreyLevels(picture) for picture in pictures]
    warps = photograph_warps(collection, tracks)
    adjustment = GreyAdjustment(collection, tracks, moved.copy(), warps, levels.__getitem__, work.nodes, work.slots)
    for part in work.parts:
        moved[part.nodes] = adjustment.move(part)[:, :2]


def _checked(matches: np.ndarray, a: Features, b: Features) -> np.ndarray:
    """The matches as whole numbers with a sign. Raises as ``refine_matches`` where they or features can't be used."""
    matches = np.asarray(matches)
    require_matches(matches, len(a), len(b))
    for features in (a, b):
        if features.convention is not Convention.COLMAP:
            raise ValueError(f"features are in the frame {features.convention}, expected {Convention.COLMAP}")
    return matches.astype(np.int64)


def _upright(picture: np.ndarray, features: Features) -> np.ndarray:
    """A picture as it is stored, turned as its features were."""
    size = picture.shape[1], picture.shape[0]
    if size != tuple(features.image_size):
        raise ValueError(f"picture is {size[0]} x {size[1]} px, its features are of {features.image_size}")
    return upright_array(picture, features.orientation)


def _keypoints(features: Features, rows: np.ndarray) -> ImageKeypoints:
    """One node for each match: a keypoint in several matches is several nodes."""
    of_picture = (features.image_size, features.input_size, features.orientation)
    return ImageKeypoints.of_stored(0, "", *of_picture, features.keypoints[rows].astype(np.float64))
