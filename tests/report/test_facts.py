"""What a page says of a model and its database is what they say themselves."""

import numpy as np
import pycolmap
import pytest
from support.bridge_database import ADDED, NAMES, OWN, bridge, write_foreign, write_random_layer
from support.reported import two_groups, with_points, write_reported

from d2sfm.database import MatchStore
from d2sfm.database.bridge_writer import BridgedPair
from d2sfm.report.facts import gather
from d2sfm.report.findings import findings, summary, verdict
from d2sfm.report.lens import lens_residuals
from d2sfm.report.models import find_models
from d2sfm.report.observations import angles_deg, observations
from d2sfm.report.pairs import Pairs, weakest_joint


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    return write_reported(tmp_path_factory.mktemp("reported"))


@pytest.fixture(scope="module")
def facts(reported):
    return gather(find_models(reported.model), reported.database)


def test_photographs_have_the_numbers_of_the_model_and_the_database(reported, facts):
    model = pycolmap.Reconstruction(reported.model)
    rows = {photograph.name: photograph for photograph in facts.photographs}
    for image in with_points(model):
        errors = [
            np.linalg.norm(image.project_point(model.points3D[point.point3D_id].xyz) - point.xy)
            for point in image.get_observation_points2D()
        ]
        row = rows[image.name]
        assert (row.model, row.points, row.reason) == ("0", image.num_points3D, "")
        assert row.error_px == pytest.approx(np.mean(errors))
        assert row.worst.error_px == pytest.approx(max(errors))
        np.testing.assert_allclose(image.get_observation_points2D()[int(np.argmax(errors))].xy, row.worst.xy)
    with MatchStore(reported.database) as store:
        table, names, counts = store.pairs_table(), store.image_names(), store.keypoint_counts()
    for image_id, name in names.items():
        own = [pair for pair in table if name in pair[:2]]
        assert rows[name].keypoints == counts[image_id]
        assert rows[name].matched == len(own)
        assert rows[name].verified == sum(inliers > 0 for *_, inliers in own)
        assert rows[name].verified_matches == sum(inliers for *_, inliers in own)


def test_what_is_missing_has_the_reason_and_the_verdict_says_so(reported, facts):
    [missing] = facts.missing
    assert missing.name == reported.missing
    assert missing.model is None
    assert missing.verified == 0
    assert "agrees with no image of the model by more matches than chance explains (of 5 pairs" in missing.reason
    found = findings(facts)
    assert found[0].level == "warn"
    assert reported.missing in found[0].text
    assert verdict(facts, found)[1].startswith("Incomplete")
    assert "The model has 5 of 6 photographs, and 150 points." in summary(facts)[0]


@pytest.mark.slow
def test_a_set_without_a_model_tells_what_each_photograph_lacks(reported):
    nothing = gather({}, reported.database)
    assert verdict(nothing, findings(nothing)) == ("bad", "Nothing could be reconstructed")
    reasons = {photograph.name: photograph.reason for photograph in nothing.photographs}
    assert "agrees with no other image" in reasons.pop(reported.missing)
    assert set(reasons.values()) == {"agrees with 4 other images, and no model could be made of them"}
    assert "There is no model of the 6 photographs." in summary(nothing)[0]


def test_two_kinds_of_keypoints_are_told_apart(tmp_path):
    database = write_foreign(tmp_path / "db.db")
    added = np.array([[OWN, OWN + 1], [OWN + 1, OWN]])
    bridge(database, write_random_layer(database, tmp_path / "layer.db"), [BridgedPair((1, 2), added, added, None)])
    kinds = {photograph.name: photograph.kinds for photograph in gather({}, database).photographs}
    assert kinds[NAMES[0]] == f"{OWN} of SIFT, {ADDED} of D2-Net"
    assert kinds[NAMES[-1]] == f"0 of SIFT, {ADDED} of D2-Net"


def test_a_model_without_a_database_is_told_of(reported):
    alone = gather(find_models(reported.model), None)
    assert alone.pairs is None
    assert alone.joint is None
    assert not alone.missing
    assert [photograph.keypoints for photograph in alone.photographs] == [None] * 5


def test_a_database_of_other_photographs_is_refused(reported, tmp_path):
    write_foreign(tmp_path / "other.db")
    with pytest.raises(RuntimeError, match=r"the model and .*other\.db have no image in common"):
        gather(find_models(reported.model), tmp_path / "other.db")


def test_angles_are_the_largest_between_two_rays(reported):
    model = pycolmap.Reconstruction(reported.model)
    found = angles_deg(observations(model))
    centres = {image.image_id: image.projection_center() for image in with_points(model)}
    for angle, (_, point) in zip(found[:20], sorted(model.points3D.items()), strict=False):
        rays = np.array([centres[element.image_id] - point.xyz for element in point.track.elements])
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        assert angle == pytest.approx(np.rad2deg(np.arccos((rays @ rays.T).min())), abs=1e-6)


@pytest.mark.parametrize(("bend_px", "verdict_of"), [(0.0, "good"), (1.0, "not modelled")])
def test_a_lens_is_judged_by_residuals_that_point_the_same_way(bend_px, verdict_of):
    random, size = np.random.default_rng(0), (640, 480)
    xy = random.uniform(0, size, (6000, 2))
    outward = (xy - np.array(size) / 2) / 320
    found = lens_residuals(xy, random.normal(0, 0.5, xy.shape) + bend_px * outward, size)
    assert found.verdict == verdict_of
    assert found.systematic_px == pytest.approx(bend_px * np.sqrt((outward**2).sum(axis=1).mean()), rel=0.05, abs=0.05)
    assert lens_residuals(xy[:100], np.zeros((100, 2)), size).verdict == "too few points"


def test_the_pair_that_joins_two_halves_is_named():
    a, b, matches = two_groups(5)
    joint = weakest_joint(Pairs(a, b, matches, matches, {}))
    assert (joint.smaller, joint.larger) in (([*range(5)], [*range(5, 10)]), ([*range(5, 10)], [*range(5)]))
    assert joint.pairs == 1
    assert joint.matches == 20
    assert joint.share == pytest.approx(20 / 1020)
    [(small, large, strongest)] = joint.bridges
    assert {small, large} == {4, 5}
    assert strongest == 20
    assert weakest_joint(Pairs(a[:10], b[:10], matches[:10], matches[:10], {})) is None  # of one group
    assert weakest_joint(Pairs(a, b, matches, 0 * matches, {})) is None


def test_the_joint_is_that_of_the_largest_part():
    """Not of three photographs of one thing, whose pairs are the strongest and have none with the others."""
    a, b, matches = two_groups(5)
    apart = [
        np.concatenate([each, more]) for each, more in ((a, [10, 10, 11]), (b, [11, 12, 12]), (matches, [5000] * 3))
    ]
    joint = weakest_joint(Pairs(a, b, matches, matches, {}))
    assert weakest_joint(Pairs(*apart, apart[2], {})) == joint


def test_what_belongs_together_comes_together():
    a, b, matches = two_groups(4)
    shuffled = np.random.default_rng(1).permutation(8)
    order = Pairs(shuffled[a], shuffled[b], matches, matches, {}).grouped(8)
    groups = [np.flatnonzero(shuffled == row)[0] // 4 for row in order]
    assert sorted(order) == [*range(8)]
    assert groups in ([0] * 4 + [1] * 4, [1] * 4 + [0] * 4)
