"""Why images are missing in a model, each cause shown by a database that has it."""

import numpy as np
import pycolmap
import pytest
from support.seen_points import FOCAL_PX, SIZE, seen, to_the_side

from d2sfm.database.connection import Connection
from d2sfm.database.pair_ids import pair_ids
from d2sfm.database.unusable import unusable_geometries
from d2sfm.mapping.causes import likely_causes


def test_a_good_database_has_no_cause(tmp_path):
    assert likely_causes(seen(tmp_path, to_the_side(4)), []) == ()


def test_no_pair_is_verified(tmp_path):
    given = seen(tmp_path, to_the_side(3), matches=0)
    [cause] = likely_causes(given, [])
    assert cause.startswith("none of the 3 matched pairs has more matches that agree on a geometry")


def test_pairs_that_chance_explains_are_not_verified(tmp_path):
    given = seen(tmp_path, to_the_side(2))
    object.__setattr__(given, "left_out", np.array([pair_ids(*given.names)]))
    [cause] = likely_causes(given, [])
    assert cause.startswith("none of the 1 matched pair ")


def test_images_whose_keypoints_can_not_be_used_are_passed_over(tmp_path):
    given = seen(tmp_path, to_the_side(5))
    with Connection(given.database) as connection:
        connection.rows("UPDATE keypoints SET rows = rows + 1 WHERE image_id = 5")
    object.__setattr__(given, "left_out", np.array(list(unusable_geometries(given.database))))
    assert likely_causes(given, []) == ()


def test_two_halves_that_no_pair_joins_are_named(tmp_path):
    [cause] = likely_causes(seen(tmp_path, to_the_side(5), apart=2), [])
    assert cause.startswith("no verified pair connects 0.jpg and 2 more with 3.jpg and 1 more; try photographs")


@pytest.mark.parametrize("turns_deg", [[0, 8, 16, 24], 0.0], ids=["turned", "tripod"])
def test_the_camera_only_turned_or_stood_still(tmp_path, turns_deg):
    [cause] = likely_causes(seen(tmp_path, [np.zeros(3)] * 4, turns_deg), [])
    assert cause.startswith("the camera only rotated or stood still")


def test_small_angles_of_forward_motion(tmp_path):
    given = seen(tmp_path, [np.array([0, 0, 0.4 * number]) for number in range(3)])
    [cause] = likely_causes(given, [])
    assert "degrees in the median pair: the camera moved towards the scene" in cause
    assert cause.startswith("points are seen under small angles")


def test_too_few_keypoints_and_too_few_matches(tmp_path):
    (tmp_path / "few").mkdir()
    [cause] = likely_causes(seen(tmp_path / "few", to_the_side(3), keypoints=60, matches=60), [])
    assert cause.startswith("images have few keypoints, 60 in the median; try a larger extract --max-edge")
    [cause] = likely_causes(seen(tmp_path, to_the_side(3), matches=24), [])
    assert cause.startswith("verified pairs have few matches, 24 in the median")


def test_a_focal_length_that_is_far_off(tmp_path):
    """Of cameras round the scene: of what moved to the side alone, any focal length explains the matches."""
    turns_deg = np.array([0, 10, 20, 30])
    turns = np.deg2rad(turns_deg)
    centres = list(8 * np.column_stack([np.sin(turns), 0 * turns, 1 - np.cos(turns)]))
    (tmp_path / "right").mkdir()
    assert likely_causes(seen(tmp_path / "right", centres, turns_deg), []) == ()
    [cause] = likely_causes(seen(tmp_path, centres, turns_deg, focal_px=FOCAL_PX / 4), [])
    assert cause.startswith("matches do not agree with the focal lengths that EXIF or --camera-params gave")
    assert "--camera-mode single" not in cause
    (tmp_path / "several").mkdir()
    [cause] = likely_causes(seen(tmp_path / "several", centres, turns_deg, focal_px=FOCAL_PX / 4, cameras=4), [])
    assert "--camera-mode single if one camera took all" in cause


def test_a_focal_length_that_the_model_changed_much(tmp_path):
    given, model = seen(tmp_path, to_the_side(2)), pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(
        pycolmap.Camera(camera_id=1, model="SIMPLE_PINHOLE", width=SIZE[0], height=SIZE[1], params=[200, 500, 400])
    )
    for image_id, name in given.names.items():
        image = pycolmap.Image(name=name, camera_id=1, image_id=image_id)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d())
    [cause] = likely_causes(given, [model])
    assert "2 images (0.jpg: 900 px, in the model 200 the first)" in cause


def test_a_lens_that_sees_nothing_in_some_places(tmp_path):
    """Beyond where its distortion folds the picture, there are no rays."""
    given = seen(tmp_path, to_the_side(4))
    folded = pycolmap.Camera(model="SIMPLE_RADIAL", width=SIZE[0], height=SIZE[1], params=[FOCAL_PX, 500, 400, -1])
    assert np.isnan(folded.cam_from_img(np.zeros((1, 2)))).all()
    use_camera(given, 1, folded)
    assert not any("camera only rotated" in cause for cause in likely_causes(given, []))


def test_a_panorama_in_the_model_has_no_focal_length(tmp_path):
    given, model = seen(tmp_path, to_the_side(4), cameras=2), pycolmap.Reconstruction()
    use_camera(given, 2, pycolmap.Camera(model="EQUIRECTANGULAR", width=SIZE[0], height=SIZE[1], params=SIZE))
    with pycolmap.Database.open(given.database) as colmap:
        for camera in colmap.read_all_cameras():
            model.add_camera_with_trivial_rig(camera)
        for image in colmap.read_all_images():
            model.add_image_with_trivial_frame(image, pycolmap.Rigid3d())
    assert likely_causes(given, [model]) == ()


def use_camera(given, camera_id, camera):
    camera.camera_id, camera.has_prior_focal_length = camera_id, True
    with pycolmap.Database.open(given.database) as colmap:
        colmap.update_camera(camera)
