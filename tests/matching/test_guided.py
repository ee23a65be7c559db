"""Guided matching: what a verified geometry allows, and what becomes of a database's pairs."""

import json
import logging
import sqlite3

import numpy as np
import pycolmap
import pytest
import torch
from support.two_views import HEIGHT, WIDTH, camera, two_views

from d2sfm.cli import main
from d2sfm.database import FeatureStore, MatchStore, Note, create_database
from d2sfm.database.connection import open_pycolmap
from d2sfm.database.pair_rows import are_among
from d2sfm.features.record import Features
from d2sfm.matching import tasks as pair_tasks
from d2sfm.matching.guided import NEIGHBOURS, Guide, GuidedPair, guide, guided_matches, match_again
from d2sfm.matching.match import match_database
from d2sfm.matching.neighbours import neighbours_and_similarities
from d2sfm.matching.prosac import Relation
from d2sfm.matching.settings import note_matching_alike, note_settings
from d2sfm.matching.verification import verify
from d2sfm.matching.view import View
from d2sfm.options import Convention, MatchingOptions, VerificationOptions

CPU, GUIDED = MatchingOptions(device="cpu"), MatchingOptions(device="cpu", guided=True)
VERIFICATION = VerificationOptions()
FUNDAMENTAL = np.array([[0, -1e-3, 0.3], [1.5e-3, 0, -1.1], [-0.4, 0.9, 20.0]])
HOMOGRAPHY = np.array([[1.1, 0.1, -20], [-0.05, 0.95, 12], [1e-4, -2e-4, 1]])
MATRICES = {Relation.EPIPOLAR: FUNDAMENTAL, Relation.PLANE: HOMOGRAPHY}


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def error(relation, matrix, a, b):
    """Of one pair of points, each operation on its own."""
    a, b = np.append(a, 1), np.append(b, 1)
    if relation is Relation.EPIPOLAR:
        line_b, line_a = matrix @ a, matrix.T @ b
        return abs(b @ line_b) / np.sqrt(line_b[0] ** 2 + line_b[1] ** 2 + line_a[0] ** 2 + line_a[1] ** 2)
    there, back = matrix @ a, np.linalg.inv(matrix) @ b
    return max(np.linalg.norm(there[:2] / there[2] - b[:2]), np.linalg.norm(back[:2] / back[2] - a[:2]))


def brute_force(a, b, found):
    """Guided matching descriptor by descriptor, without blocks."""
    similarity, few = a.astype(np.float64) @ b.T.astype(np.float64), NEIGHBOURS[found.relation]
    of_a, of_b = np.argsort(-similarity, axis=1)[:, :few], np.argsort(-similarity, axis=0)[:few]
    allowed = np.full(similarity.shape, -np.inf)
    for i in range(len(a)):
        for j in range(len(b)):
            if (j in of_a[i] or i in of_b[:, j]) and (
                error(found.relation, found.matrix, found.xy_a[i], found.xy_b[j]) <= found.max_error_px
            ):
                allowed[i, j] = similarity[i, j]
    best_of_a, best_of_b = allowed.argmax(1), allowed.argmax(0)
    return [
        (i, int(best_of_a[i])) for i in range(len(a)) if allowed[i].max() > -np.inf and best_of_b[best_of_a[i]] == i
    ]


@pytest.mark.parametrize("relation", Relation)
@pytest.mark.parametrize(("count_a", "count_b"), [(40, 33), (16, 16), (1, 20), (20, 1)])
def test_equals_the_slow_twin(relation, count_a, count_b):
    generator = np.random.default_rng(count_a)
    a, b = unit(generator.normal(size=(count_a, 8))), unit(generator.normal(size=(count_b, 8)))
    xy_a, xy_b = (generator.uniform(0, 100, (count + 3, 2)) for count in (count_a, count_b))
    error_px = 40.0 if relation is Relation.PLANE else 8.0
    found = Guide(relation=relation, matrix=MATRICES[relation], xy_a=xy_a, xy_b=xy_b, max_error_px=error_px)
    expected = brute_force(a, b, found)
    for rows in (8, 64):
        matches, similarities = guided_matches(torch.from_numpy(a), torch.from_numpy(b), found, block_rows=rows)
        assert matches.tolist() == [list(pair) for pair in expected]
        np.testing.assert_allclose(similarities, [a[i] @ b[j] for i, j in expected], atol=2e-3)
        assert (matches.dtype, similarities.dtype) == (np.uint32, np.float16)
    assert len(expected) > 1 or 1 in (count_a, count_b)


def test_nothing_comes_of_nothing():
    found = Guide(
        relation=Relation.PLANE, matrix=np.eye(3), xy_a=np.zeros((0, 2)), xy_b=np.zeros((2, 2)), max_error_px=1
    )
    matches, similarities = guided_matches(torch.zeros((0, 8)), torch.zeros((2, 8)), found)
    assert (matches.shape, similarities.shape) == ((0, 2), (0,))


def hard_pair(count=300, true=220, *, planar=False, seed=0):
    """Views, descriptors and which keypoints (of the same index in both) are of one point.

    A third of the true ones have a neighbour that is more alike than the right one.
    """
    generator = np.random.default_rng(seed)
    xy_a, xy_b, _, _ = two_views(count, true, seed, planar=planar)
    a = unit(generator.normal(size=(count, 512)))
    b = unit(a + 0.04 * generator.normal(size=a.shape))
    b[true:] = unit(a[: count - true] + 0.03 * generator.normal(size=(count - true, 512)))  # more alike, elsewhere
    return (xy_a, xy_b), (a, b), np.arange(count) < true


def before_and_again(known, planar, refuted=None):
    xy, descriptors, true = hard_pair(planar=planar)
    views = [View(camera(known), each.astype(np.float32)) for each in xy]
    tensors = tuple(map(torch.from_numpy, descriptors))
    matches, similarities = neighbours_and_similarities(*tensors, CPU)
    geometry = verify(*views, matches, VERIFICATION, similarities=similarities).geometry
    before = GuidedPair(matches=matches, similarities=similarities, geometry=geometry)
    names = {"max_error_px": VERIFICATION.max_error, "names": ("", ""), "refuted": refuted}
    return before, match_again(*views, tensors, before, VERIFICATION, **names), true


def right(matches, true):
    return sum(i == j and true[i] for i, j in matches.tolist())


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_true_matches_that_another_one_hid_are_found(known, planar):
    before, again, true = before_and_again(known, planar)
    inliers = again.geometry.inlier_matches
    assert right(before.geometry.inlier_matches, true) < 0.7 * true.sum()
    assert right(inliers, true) >= 0.95 * true.sum()
    assert {tuple(pair) for pair in inliers.tolist()} <= {tuple(pair) for pair in again.matches.tolist()}
    for of_side in again.matches.T:
        assert len(np.unique(of_side)) == len(of_side)
    assert (np.diff(again.matches[:, 0].astype(int)) > 0).all()
    assert len(again.similarities) == len(again.matches)


def test_refuted_matches_are_not_found_again():
    before, again, _ = before_and_again(True, False)
    new = again.geometry.inlier_matches[~are_among(again.geometry.inlier_matches, before.geometry.inlier_matches)]
    assert len(new) > 10
    _, without, _ = before_and_again(True, False, refuted=new[::2])
    for found in (without.matches, without.geometry.inlier_matches):
        assert not are_among(found, new[::2]).any()
    assert len(without.geometry.inlier_matches) >= len(before.geometry.inlier_matches)


def test_no_match_that_agreed_is_lost():
    before, again, _ = before_and_again(True, False)
    kept = {tuple(pair) for pair in again.matches.tolist()}
    assert {tuple(pair) for pair in before.geometry.inlier_matches.tolist()} <= kept


def lens(model, parameters, known=True):
    made = pycolmap.Camera(model=model, width=WIDTH, height=HEIGHT, params=parameters)
    made.has_prior_focal_length = known
    return made


def test_a_known_distortion_is_taken_out():
    camera_a = lens("SIMPLE_RADIAL", [1500, WIDTH / 2, HEIGHT / 2, -0.1])
    xy_a, xy_b, matches, _ = two_views(200, 200, 1, noise_px=0.1)
    rays = (xy_a - [WIDTH / 2, HEIGHT / 2]) / 1500
    seen = camera_a.img_from_cam(np.column_stack([rays, np.ones(len(rays))]))
    views = View(camera_a, seen.astype(np.float32)), View(camera(), xy_b.astype(np.float32))
    geometry = verify(*views, matches, VERIFICATION).geometry
    found = guide(*views, geometry, 1.5)
    assert found.relation is Relation.EPIPOLAR
    assert found.allows(matches.astype(int)).mean() > 0.97
    assert np.abs(found.xy_a - seen).max() > 20


@pytest.mark.parametrize(
    "other",
    [
        lens("OPENCV_FISHEYE", [600, 600, WIDTH / 2, HEIGHT / 2, 0.01, 0, 0, 0]),
        lens("EQUIRECTANGULAR", [WIDTH, HEIGHT]),
        lens("SIMPLE_RADIAL", [900, WIDTH / 2, HEIGHT / 2, -0.25], known=False),
    ],
    ids=lambda each: each.model.name,
)
def test_pictures_in_which_no_line_is_straight_are_left_out(other):
    xy_a, xy_b, matches, _ = two_views(50, 50, 1)
    geometry = pycolmap.TwoViewGeometry(inlier_matches=matches, F=FUNDAMENTAL)
    geometry.config = int(pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED)
    plain, strange = View(camera(), xy_a), View(other, xy_b)
    assert guide(plain, plain, geometry, 8.0) is not None
    assert guide(plain, strange, geometry, 8.0) is None
    assert guide(strange, plain, geometry, 8.0) is None


def test_a_pair_without_geometry_has_no_guide():
    xy_a, xy_b, _, _ = two_views(50, 50, 1)
    assert guide(View(camera(), xy_a), View(camera(), xy_b), pycolmap.TwoViewGeometry(), 8.0) is None


def write_database(path, count=3):
    """Images of one scene, of which each but the first is the second view of it, with noise of its own."""
    create_database(path)
    (xy_a, xy_b), (a, b), _ = hard_pair()
    with open_pycolmap(path) as colmap:
        for number in range(count):
            camera_id = colmap.write_camera(camera())
            colmap.write_image(pycolmap.Image(name=f"{number}.jpg", camera_id=camera_id))
    with FeatureStore(path) as store:
        for number in range(count):
            xy = xy_b + np.random.default_rng(number).normal(0, 0.2, xy_b.shape) if number else xy_a
            record = Features(
                keypoints=np.column_stack([xy, np.ones((len(xy), 2))]).astype(np.float32),
                descriptors=(b if number else a).astype(np.float16),
                image_size=(WIDTH, HEIGHT),
                input_size=(WIDTH, HEIGHT),
                convention=Convention.COLMAP,
                scales=(1.0,),
            )
            store.write(f"{number}.jpg", record, "settings")
    return path


def pair_rows(path):
    """All that is written of pairs."""
    connection = sqlite3.connect(path)
    found = [
        connection.execute(f"SELECT * FROM {table} ORDER BY pair_id").fetchall()
        for table in ("matches", "two_view_geometries")
    ]
    connection.close()
    return found


def inliers(path, a=1, b=2):
    with MatchStore(path) as store:
        return store.inlier_matches(a, b)


@pytest.mark.slow
def test_of_a_database(tmp_path, caplog):
    path = write_database(tmp_path / "db.db", 2)
    match_database(path, options=CPU, verification=VERIFICATION)
    before = len(inliers(path))
    with caplog.at_level(logging.WARNING):
        match_database(path, options=GUIDED, verification=VERIFICATION)
    assert "guided False (now True): --overwrite matches them again" in caplog.text
    assert len(inliers(path)) == before
    match_database(path, options=GUIDED, verification=VERIFICATION, overwrite=True)
    assert len(inliers(path)) > 1.3 * before
    with FeatureStore(path) as store:
        assert store.notes.match_settings()["guided"] is True


@pytest.mark.slow
def test_threads_and_stopped_runs_make_no_difference(tmp_path, monkeypatch):
    path, other = (write_database(tmp_path / name) for name in ("db.db", "other.db"))
    match_database(path, options=GUIDED, verification=VERIFICATION, num_threads=1)
    run, calls = pair_tasks.match_again, []

    def stopped(*arguments, **named):
        calls.append(None)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return run(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(pair_tasks, "match_again", stopped)
        with pytest.raises(KeyboardInterrupt):
            match_database(other, options=GUIDED, verification=VERIFICATION, num_threads=1)
    match_database(other, options=GUIDED, verification=VERIFICATION, num_threads=3)
    assert pair_rows(path) == pair_rows(other)


@pytest.mark.slow
def test_matches_that_are_there_stay(tmp_path):
    path = write_database(tmp_path / "db.db", 2)
    match_database(path, options=CPU, verification=None)
    before = pair_rows(path)[0]
    match_database(path, options=GUIDED, verification=VERIFICATION)
    assert pair_rows(path)[0] == before
    assert len(inliers(path)) > 0


def test_without_geometries_there_is_nothing_to_go_by(tmp_path, capsys):
    path = write_database(tmp_path / "db.db", 2)
    assert main(["match", str(path), "--guided", "--no-verify"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line == "error: d2sfm match: guided matching needs geometries: --guided does not go with --no-verify"


@pytest.mark.slow
def test_notes_of_earlier_versions_mean_plain_matching(tmp_path):
    path = write_database(tmp_path / "db.db", 2)
    match_database(path, options=CPU, verification=VERIFICATION)
    with FeatureStore(path) as store:
        settings = store.notes.match_settings()
        old = {name: value for name, value in settings.items() if name != "guided"}
        store.notes.note_match_settings(old)
        assert note_settings(store, settings) == ""
        assert note_settings(store, settings | {"guided": True}) == "guided False (now True)"
    notes = {number: {Note.MATCH: json.dumps(each)} for number, each in enumerate((old, settings))}
    note_matching_alike(notes)
    assert notes[0] == notes[1]
