import itertools

import numpy as np
import pycolmap
import pytest
from support.synthetic_model import synthetic

from d2sfm.evaluation.poses import compare_with_truth, pair_errors_deg, pose_auc


def moved(truth, scale=2.0):
    """A copy in another world: turned, shifted and scaled."""
    copy = pycolmap.Reconstruction(truth)
    turn = pycolmap.Rotation3d(np.array([0.1, 0.2, -0.3]))
    copy.transform(pycolmap.Sim3d(scale, turn, np.array([5.0, -3.0, 1.0])))
    return copy


def test_a_moved_copy_of_the_truth_has_no_errors():
    truth = synthetic()
    errors = compare_with_truth(moved(truth), truth)
    assert len(errors.names) == 6
    assert errors.rotation_deg.max() < 1e-4
    assert errors.centre.max() < 1e-6
    assert errors.truth_from_model.scale == pytest.approx(0.5)


def test_cameras_in_a_plane_with_the_origin_are_aligned():
    truth = synthetic()
    for number, image_id in enumerate(truth.reg_image_ids()):
        place = pycolmap.Rigid3d(pycolmap.Rotation3d(), [number, number % 3, 0])
        truth.frame(truth.image(image_id).frame_id).rig_from_world = place
    assert compare_with_truth(moved(truth), truth).centre.max() < 1e-6


def disturb(model, image_id, turn_deg=0.0, shift=(0.0, 0.0, 0.0)):
    """Turn an image about its own centre and shift its centre, in the model's unit."""
    frame = model.frame(model.image(image_id).frame_id)
    pose = frame.rig_from_world
    centre = -pose.rotation.matrix().T @ pose.translation + np.array(shift)
    rotation = pycolmap.Rotation3d(np.array([0, 0, np.radians(turn_deg)])) * pose.rotation
    frame.rig_from_world = pycolmap.Rigid3d(rotation, -rotation.matrix() @ centre)


def test_errors_are_those_that_were_made():
    truth = synthetic(num_frames=10)
    model = pycolmap.Reconstruction(truth)
    image_id = model.reg_image_ids()[3]
    disturb(model, image_id, turn_deg=5.0, shift=(4.0, 0, 0))
    errors = compare_with_truth(model, truth)
    index = errors.names.index(model.image(image_id).name)
    assert errors.rotation_deg[index] == pytest.approx(5.0, abs=0.05)
    assert errors.centre[index] == pytest.approx(4.0, abs=0.05)
    others = np.arange(len(errors.names)) != index
    assert errors.rotation_deg[others].max() < 0.05
    assert errors.centre[others].max() < 0.05


def test_the_errors_are_pycolmaps_own():
    truth = synthetic(num_frames=8, seed=3)
    model = moved(truth)
    for number, image_id in enumerate(model.reg_image_ids()):
        disturb(model, image_id, turn_deg=0.1 * number, shift=(0.01 * number, 0, 0))
    ours = compare_with_truth(model, truth, max_centre_error=0.1)
    theirs = pycolmap.compare_reconstructions(model, truth, "proj_center", max_proj_center_error=0.1)["errors"]
    theirs = {error.image_name: error for error in theirs}
    assert sorted(theirs) == list(ours.names)
    rotation = [theirs[name].rotation_error_deg for name in ours.names]
    np.testing.assert_allclose(ours.rotation_deg, rotation, atol=0.02)
    np.testing.assert_allclose(ours.centre, [theirs[name].proj_center_error for name in ours.names], atol=0.01)


def test_too_few_common_images_are_named():
    with pytest.raises(RuntimeError, match="0 images"):
        compare_with_truth(pycolmap.Reconstruction(), synthetic())


def test_a_pose_that_is_not_finite_is_none():
    truth = synthetic()
    model = pycolmap.Reconstruction(truth)
    lost = model.image(model.reg_image_ids()[2])
    model.frame(lost.frame_id).rig_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.full(3, np.nan))
    errors = compare_with_truth(model, truth)
    assert len(errors.names) == 5
    assert lost.name not in errors.names
    assert np.isinf(pair_errors_deg(model, truth)).sum() == 5


def test_true_cameras_at_one_place_are_named():
    truth = synthetic()
    for frame in truth.frames.values():
        frame.rig_from_world = pycolmap.Rigid3d(frame.rig_from_world.rotation, np.zeros(3))
    with pytest.raises(RuntimeError, match="all at one place"):
        compare_with_truth(synthetic(), truth)


def slow_pair_errors_deg(model, truth):
    """The same pair by pair, with pycolmap's poses and arccos."""
    found = {image.name: image for image in model.images.values() if image.has_pose}
    truths = sorted((image for image in truth.images.values() if image.has_pose), key=lambda image: image.name)
    errors = []
    for a, b in itertools.combinations(truths, 2):
        if a.name not in found or b.name not in found:
            errors.append(np.inf)
            continue
        true = b.cam_from_world() * a.cam_from_world().inverse()
        pose = found[b.name].cam_from_world() * found[a.name].cam_from_world().inverse()
        cosine = np.dot(pose.translation, true.translation)
        cosine /= np.linalg.norm(pose.translation) * np.linalg.norm(true.translation)
        turned = (pose.rotation * true.rotation.inverse()).angle()
        errors.append(np.degrees(max(turned, np.arccos(np.clip(cosine, -1, 1)))))
    return errors


def slow_auc(errors, threshold):
    """Trapezoid by trapezoid along the recall curve."""
    area, last_error, recall = 0.0, 0.0, 0.0
    for error in sorted(error for error in errors if error < threshold):
        area += (error - last_error) * (recall + recall + 1 / len(errors)) / 2
        last_error, recall = error, recall + 1 / len(errors)
    return (area + (threshold - last_error) * recall) / threshold


def test_pairs_and_areas_are_those_of_the_slow_way():
    truth = synthetic(num_frames=9, seed=1)
    model = moved(truth)
    generator = np.random.default_rng(0)
    for image_id in model.reg_image_ids():
        disturb(model, image_id, turn_deg=generator.uniform(0, 6), shift=generator.normal(0, 0.5, 3))
    model.deregister_frame(model.image(model.reg_image_ids()[4]).frame_id)
    errors = slow_pair_errors_deg(model, truth)
    assert np.isinf(errors).sum() == 8
    np.testing.assert_allclose(pair_errors_deg(model, truth), errors, atol=1e-4)
    thresholds = (0.5, 1, 3, 5, 10, 180)
    expected = [slow_auc(errors, threshold) for threshold in thresholds]
    assert len(set(expected)) == len(thresholds)
    assert pose_auc(model, truth, thresholds) == pytest.approx(expected, abs=1e-6)


def test_auc_of_a_moved_copy_is_one():
    truth = synthetic()
    assert pair_errors_deg(moved(truth), truth).shape == (15,)
    assert pose_auc(moved(truth), truth) == pytest.approx((1, 1, 1, 1), abs=1e-6)


def test_auc_without_an_image_is_the_share_of_the_other_pairs():
    truth = synthetic()
    model = moved(truth)
    model.deregister_frame(model.image(model.reg_image_ids()[2]).frame_id)
    assert pose_auc(model, truth) == pytest.approx([10 / 15] * 4, abs=1e-6)
    # What the truth does not have is not asked for.
    assert pose_auc(truth, model) == pytest.approx([1] * 4, abs=1e-6)
    assert pose_auc(pycolmap.Reconstruction(), truth) == (0, 0, 0, 0)


def test_auc_of_a_turned_image_is_the_trapezoids_by_hand():
    truth = synthetic()
    model = pycolmap.Reconstruction(truth)
    disturb(model, model.reg_image_ids()[0], turn_deg=2.0)
    assert sorted(pair_errors_deg(model, truth)) == pytest.approx([0] * 10 + [2] * 5, abs=1e-4)
    # Up to 1 degree 10 of 15 pairs; up to 4 first straight to the 11th of them at 2 degrees, then all of them.
    assert pose_auc(model, truth, (1, 4)) == pytest.approx([10 / 15, (2 * (10 + 11) / 2 / 15 + 2) / 4], abs=1e-4)


def at_places(centres):
    """A model of images at these centres, all looking the same way."""
    model = synthetic(num_frames=len(centres))
    for image_id, centre in zip(model.reg_image_ids(), np.asarray(centres, dtype=float), strict=True):
        model.frame(model.image(image_id).frame_id).rig_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(), -centre)
    return model


def test_a_baseline_of_the_other_sign_is_wrong_by_half_a_turn():
    truth, model = at_places([(0, 0, 0), (1, 0, 0), (4, 0, 0)]), at_places([(0, 0, 0), (-1, 0, 0), (4, 1, 0)])
    names = sorted(image.name for image in truth.images.values())
    errors = dict(zip(itertools.combinations(names, 2), pair_errors_deg(model, truth), strict=True))
    in_order = [truth.image(image_id).name for image_id in truth.reg_image_ids()]
    found = [errors[tuple(sorted(pair))] for pair in itertools.combinations(in_order, 2)]
    assert found == pytest.approx([180, np.degrees(np.arctan2(1, 4)), np.degrees(np.arctan2(1, 5))])


def test_without_a_baseline_the_rotation_alone_counts():
    truth, model = at_places([(0, 0, 0), (1e-5, 0, 0), (4, 0, 0)]), at_places([(0, 0, 0), (0, 1e-2, 0), (400, 0, 0)])
    assert sorted(pair_errors_deg(model, truth)) == pytest.approx([0, 0, 0], abs=2e-3)
    assert sorted(pair_errors_deg(at_places([(3, 2, 1)] * 3), truth)) == [0, np.inf, np.inf]


def test_what_auc_can_not_be_of_is_refused():
    truth = synthetic()
    with pytest.raises(ValueError, match="above 0"):
        pose_auc(truth, truth, (0, 1))
    with pytest.raises(ValueError, match="0 images"):
        pose_auc(truth, pycolmap.Reconstruction())
