"""What is found of predicted tracks: added, put right or left out."""

import numpy as np
import pytest
from support.seen_tracks import TRACKS, predicted, views

from d2sfm.refinement.continuation import as_rows, corrected, extend
from d2sfm.refinement.outliers import OUTLIER


def test_an_extended_collection_keeps_what_was_there(seen):
    _, collection, tracks, xy, warps = views(seen)
    found = predicted(collection, tracks, xy, warps)
    extended = extend(collection, tracks, collection.xy, warps, found)
    assert np.array_equal(extended.xy[extended.old], collection.xy)
    assert np.array_equal(extended.tracks.of_node[extended.old], tracks.of_node)
    assert np.array_equal(extended.old[tracks.reference], extended.tracks.reference)
    assert np.array_equal(np.sort(np.append(extended.old, extended.new)), np.arange(len(extended.xy)))
    assert np.array_equal(extended.collection.image_of_node[extended.new], found.image)
    assert np.array_equal(extended.tracks.of_node[extended.new], found.track)
    np.testing.assert_allclose(extended.xy[extended.new] + 0.5, found.xy, atol=1e-9)
    assert np.array_equal(extended.collection.xy, extended.xy)
    for before, after in zip(collection.images, extended.collection.images, strict=True):
        assert np.array_equal(after.xy[: len(before.xy)], before.xy)


def unsure(moved_px):
    """Views whose second image has nodes that are not sure, every tenth, moved along x: with positions in the inputs,
    these nodes, and what is predicted."""
    _, collection, tracks, _, warps = views(np.ones((TRACKS, 3), bool))
    nodes = np.arange(TRACKS, 2 * TRACKS, 10)
    places, moved = collection.xy[nodes].copy(), collection.xy.copy()
    moved[nodes, 0] += moved_px
    sure = np.setdiff1d(np.arange(len(moved)), nodes)
    found = predicted(collection, tracks, moved + 0.5, warps, exact=sure, sure=sure)
    extended = extend(collection, tracks, moved, warps, found)
    sigmas = np.full(len(moved), 0.2)
    sigmas[nodes] = np.nan
    order = np.argsort(extended.own)
    assert np.array_equal(extended.own[order], nodes)
    np.testing.assert_allclose(extended.xy[extended.new[order]], places, atol=0.05)
    return moved, sigmas, nodes, extended, extended.new[order]


@pytest.mark.parametrize(("moved_px", "is_near"), [(3.0, True), (-3.0, True), (5.0, False), (40.0, False)])
def test_what_is_found_again_is_put_right_or_taken_out(moved_px, is_near):
    moved, sigmas, nodes, extended, new = unsure(moved_px)
    found = np.full((len(extended.xy), 3), np.nan)
    accepted = new[::2]
    found[accepted] = np.column_stack([extended.xy[accepted], np.full(len(accepted), 0.1)])
    right = corrected(extended, moved, moved, sigmas, found)
    others = np.setdiff1d(np.arange(len(moved)), nodes)
    assert np.array_equal(right.xy[others], moved[others])
    if is_near:
        assert np.array_equal(right.xy[nodes[::2]], extended.xy[accepted])
        assert np.array_equal(right.xy[nodes[1::2]], moved[nodes[1::2]])
        assert (right.sigmas[nodes[::2]] == 0.1).all()
        assert np.isnan(right.sigmas[nodes[1::2]]).all()
        assert np.isnan(right.found).all()  # nothing is new
    else:
        assert np.array_equal(right.xy, moved)
        assert (right.sigmas[nodes[::2]] == OUTLIER).all()
        assert np.isnan(right.sigmas[nodes[1::2]]).all()
        assert np.array_equal(np.flatnonzero(np.isfinite(right.found[:, 2])), np.sort(accepted))
    # References are as sure as the surest of their tracks.
    of_accepted = np.isin(np.arange(TRACKS), extended.tracks.of_node[accepted])
    assert (right.sigmas[:TRACKS] == np.where(of_accepted, 0.1, 0.2)).all()


def test_a_keypoint_that_its_alignment_led_astray_is_put_right():
    places, sigmas, nodes, extended, new = unsure(0.0)
    astray, found = places.copy(), np.full((len(extended.xy), 3), np.nan)
    astray[nodes] += [7.0, 0.0]
    found[new] = np.column_stack([extended.xy[new], np.full(len(new), 0.1)])
    right = corrected(extended, places, astray, sigmas, found)
    assert np.array_equal(right.xy[nodes], extended.xy[new])
    assert (right.sigmas[nodes] == 0.1).all()


def test_a_track_that_was_sure_nowhere_is_followed_from_its_reference():
    _, collection, tracks, xy, warps = views(np.ones((TRACKS, 3), bool))
    alone = 7
    exact = np.flatnonzero(tracks.of_node != alone)
    sure = np.append(exact, tracks.reference[alone])
    found = predicted(collection, tracks, xy, warps, exact=exact, sure=sure)
    assert (found.track.tolist(), found.image.tolist()) == ([alone] * 2, [1, 2])
    of_track = np.flatnonzero(tracks.of_node == alone)
    np.testing.assert_allclose(found.xy, xy[of_track[1:]], atol=0.05)
    extended = extend(collection, tracks, collection.xy, warps, found)
    assert np.array_equal(extended.own, of_track[1:])
    sigmas, places = np.full(len(xy), 0.2), np.full((len(extended.xy), 3), np.nan)
    sigmas[of_track] = np.nan
    places[extended.new[0]] = [*extended.xy[extended.new[0]], 0.15]
    right = corrected(extended, collection.xy, collection.xy, sigmas, places)
    np.testing.assert_array_equal(right.sigmas[of_track], [0.15, 0.15, np.nan])


def test_rows_name_the_new_keypoints_by_their_place_behind_the_old(seen):
    _, collection, tracks, xy, warps = views(seen)
    extended = extend(collection, tracks, collection.xy, warps, predicted(collection, tracks, xy, warps))
    found = np.full((len(extended.xy), 3), np.nan)
    accepted = extended.new[::2]
    found[accepted] = np.column_stack([extended.xy[accepted], np.full(len(accepted), 0.1)])
    rows = as_rows(extended, extended.old, found)
    assert sum(map(len, rows.keypoints.values())) == len(accepted) == sum(map(len, rows.sigmas.values()))
    track_of = {}  # by image_id and row
    for number, image in enumerate(collection.images):
        old = np.flatnonzero(collection.image_of_node == number)
        new = np.sort(accepted[extended.collection.image_of_node[accepted] == number])
        track_of[image.image_id] = np.append(tracks.of_node[old], extended.tracks.of_node[new])
        np.testing.assert_allclose(
            rows.keypoints.get(image.image_id, np.zeros((0, 4)))[:, :2], extended.xy[new] + 0.5, atol=1e-9
        )
    assert rows.matches.keys() == {(1, 2), (1, 3), (2, 3)}
    count = {image.image_id: len(image.xy) for image in collection.images}
    for (a, b), matches in rows.matches.items():
        assert np.array_equal(track_of[a][matches[:, 0]], track_of[b][matches[:, 1]])
        assert ((matches[:, 0] >= count[a]) | (matches[:, 1] >= count[b])).all()
        both = np.intersect1d(track_of[a], track_of[b])
        of_old = np.intersect1d(track_of[a][: count[a]], track_of[b][: count[b]])
        assert len(matches) == len(both) - len(of_old)
