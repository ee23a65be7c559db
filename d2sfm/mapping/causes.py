"""Why photographs are missing in the model, as far as the database shows: likely causes, and what to try for each.

Only measured causes are named: a camera that rotated without moving, or hardly moved, shows no depth; parts of a
collection that no pair connects can't become one model; and so on.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import pycolmap

from d2sfm.database import MatchStore
from d2sfm.database.pair_ids import connected_groups, image_pairs
from d2sfm.mapping.one_run import MappingInput
from d2sfm.mapping.quality import MIN_SUPPORT
from d2sfm.text import counted, first_few, first_of, printable

LOOKED_AT = 30  # pairs, a few ms each
MOST = 0.7  # share of the pairs that show a thing, for it to be the collection's
SMALL_ANGLE_DEG = 1.5  # COLMAP triangulates no point below
FEW_KEYPOINTS = 200  # of an image: D2-Net finds thousands where there is anything to see
FOCAL_LENGTHS = (0.5, 0.7, 1.0, 1.4, 2.0)  # times the camera's: that of a photograph without EXIF is a guess
FAR_OFF = 1.5  # a focal length over the one that it began with


class _Pair(NamedTuple):
    """What a verified pair shows."""

    is_turned: bool
    is_uncalibrated: bool  # with focal lengths that are not guessed
    angle_deg: float


def likely_causes(given: MappingInput, models: Sequence[pycolmap.Reconstruction]) -> tuple[str, ...]:
    """Sentences about what keeps images out of the first of these models, or out of any, and what to try.

    Empty if the database shows no cause.
    """
    registered = {image_id for model in models[:1] for image_id in model.reg_image_ids()}
    with MatchStore(given.database) as store:
        verified = store.verified_counts(given.left_out)
        if not len(verified):
            return (_nothing_verified(given, store.pair_counts()),)
        pairs = image_pairs(verified["pair_id"])
        looked_at = _looked_at(pairs, verified["inliers"], registered)
        pairs_shown = [_shown(store, given, pair) for pair in looked_at if _have_focal_lengths(store, pair)]
        found = [
            _parts(given, pairs),
            _without_depth(pairs_shown) if pairs_shown else "",
            _few(list(store.keypoint_counts().values()), verified["inliers"]),
            _focal_lengths(store, given, pairs_shown, models) if pairs_shown else "",
        ]
    return tuple(cause for cause in found if cause)


def _nothing_verified(given: MappingInput, counts: np.ndarray) -> str:
    best = counts[np.argmax(counts["inliers"])]
    name_a, name_b = (printable(given.names[image_id]) for image_id in image_pairs([best["pair_id"]])[0].tolist())
    return (
        f"none of the {counted(len(counts), 'matched pair')} has more matches that agree on a geometry than chance "
        f"explains (at best {best['inliers']} of {best['matches']}, {name_a} - {name_b}): they show different places, "
        "share too little, or are rotated; try photographs between them, and extract --orientation auto"
    )


def _looked_at(pairs: np.ndarray, inliers: np.ndarray, registered: Collection[int]) -> list[tuple[int, int]]:
    """The pairs with the most inliers, of images that the model lacks if it lacks any."""
    lacking = ~np.isin(pairs, list(registered)).all(axis=1)
    among = np.flatnonzero(lacking) if lacking.any() else np.arange(len(pairs))
    return list(map(tuple, pairs[among[np.argsort(-inliers[among], kind="stable")][:LOOKED_AT]].tolist()))


def _parts(given: MappingInput, pairs: np.ndarray) -> str:
    """Groups of images that no pair connects."""
    groups = [sorted(given.names[image_id] for image_id in group.tolist()) for group in connected_groups(pairs)]
    if len(groups) < 2:
        return ""
    first, second, *_ = groups
    return (
        f"no verified pair connects {first_few(first, 1)} with {first_few(second, 1)}"
        + (f", {len(groups)} unconnected parts in all" if len(groups) > 2 else "")
        + "; try photographs that show both places, or match --pairs exhaustive if not all pairs were matched"
    )


def _without_depth(pairs: Sequence[_Pair]) -> str:
    if np.mean([pair.is_turned for pair in pairs]) >= MOST:
        return (
            "the camera only rotated or stood still, which shows no depth; try photographs taken from several places, "
            "some steps apart"
        )
    angle_deg = float(np.median([pair.angle_deg for pair in pairs]))
    if angle_deg >= SMALL_ANGLE_DEG:
        return ""
    return (
        f"points are seen under small angles, {angle_deg:.1f} degrees in the median pair: the camera moved towards the "
        "scene, or hardly; try photographs from further to the sides"
    )


def _few(keypoints: list[int], inliers: np.ndarray) -> str:
    if (per_image := float(np.median(keypoints))) < FEW_KEYPOINTS:
        return (
            f"images have few keypoints, {per_image:.0f} in the median; try a larger extract --max-edge, and "
            "photographs that are sharp and show more than plain walls or sky"
        )
    if (per_pair := float(np.median(inliers))) < MIN_SUPPORT:
        return (
            f"verified pairs have few matches, {per_pair:.0f} in the median, and an image needs {MIN_SUPPORT} points; "
            "try photographs between those that share little, and extract --multiscale"
        )
    return ""


def _focal_lengths(
    store: MatchStore, given: MappingInput, pairs: Sequence[_Pair], models: Sequence[pycolmap.Reconstruction]
) -> str:
    what_to_try = "try extract --camera-params with those that you know"
    if len({store.camera(image_id).camera_id for image_id in given.names}) > 1:
        what_to_try = "try extract --camera-mode single if one camera took all, or --camera-params if you know them"
    if np.mean([pair.is_uncalibrated for pair in pairs]) >= MOST:
        return f"matches do not agree with the focal lengths that EXIF or --camera-params gave; {what_to_try}"
    images = [model.images[image_id] for model in models[:1] for image_id in model.reg_image_ids()]
    off = []
    for image in images:
        began, found = store.camera(image.image_id).mean_focal_length(), image.camera.mean_focal_length()
        if began and not 1 / FAR_OFF <= found / began <= FAR_OFF:  # 0 of a panorama
            off.append(f"{image.name}: {began:.0f} px, in the model {found:.0f}")
    if not off:
        return ""
    return f"focal lengths are far from their initial values, {first_of(off, 'image')}; {what_to_try}"


def _have_focal_lengths(store: MatchStore, pair: tuple[int, int]) -> bool:
    """Panoramas have none."""
    return all(len(store.camera(image_id).focal_length_idxs()) for image_id in pair)


def _shown(store: MatchStore, given: MappingInput, pair: tuple[int, int]) -> _Pair:
    cameras = [store.camera(image_id) for image_id in pair]
    matches = store.inlier_matches(*pair)
    xy = [store.keypoints(image_id)[matches[:, side]].astype(float) for side, image_id in enumerate(pair)]
    settings = pycolmap.TwoViewGeometryOptions()
    settings.ransac.max_error, settings.ransac.random_seed = given.max_error_px, 0
    same = np.arange(len(matches), dtype=np.uint32)[:, None].repeat(2, axis=1)
    views = (cameras[0], xy[0], cameras[1], xy[1])
    geometry = pycolmap.estimate_calibrated_two_view_geometry(*views, same, settings)
    has_pose = pycolmap.estimate_two_view_geometry_pose(*views, geometry)
    is_known = all(camera.has_prior_focal_length for camera in cameras)
    return _Pair(
        is_turned=_is_turned(cameras, xy, given.max_error_px / 2, not is_known),
        is_uncalibrated=is_known and geometry.config == pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED,
        angle_deg=float(np.rad2deg(geometry.tri_angle)) if has_pose else np.inf,
    )


def _is_turned(cameras: list[pycolmap.Camera], xy: list[np.ndarray], within_px: float, is_estimated: bool) -> bool:
    """Whether a rotation alone brings half of the matches within ``within_px`` of each other.

    is_estimated: whether focal lengths may differ by a factor of FOCAL_LENGTHS.
    """
    a, b = (camera.cam_from_img(points) for camera, points in zip(cameras, xy, strict=True))
    are_seen = np.isfinite(np.column_stack([a, b])).all(axis=1)  # beyond strong distortion there are no rays
    if np.mean(are_seen) < 0.5:
        return False
    a, b = a[are_seen], b[are_seen]
    focal_px = cameras[1].mean_focal_length()
    for times in FOCAL_LENGTHS if is_estimated else (1.0,):
        rays = [np.column_stack([points / times, np.ones(len(points))]) for points in (a, b)]
        rays = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in rays]
        inside = np.ones(len(a), bool)
        for _ in range(3):  # of all, then of those that agree best: some of the verified are wrong
            u, _, vt = np.linalg.svd(rays[1][inside].T @ rays[0][inside])
            rotated = rays[0] @ (u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt).T
            off = np.linalg.norm(rotated - rays[1], axis=1) * focal_px * times
            inside = off <= np.quantile(off, 0.7)
        if np.median(off) <= within_px:
            return True
    return False
