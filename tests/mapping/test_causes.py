"""Why images are missing in a model, each cause shown by a database that has it."""

import numpy as np
import pycolmap
import pytest
from scipy.spatial.transform import Rotation

from d2sfm.database.connection import Connection
from d2sfm.database.pair_ids import pair_ids
from d2sfm.database.unusable import unusable_geometries
from d2sfm.mapping.causes import likely_causes
from d2sfm.mapping.one_run import MappingInput
from d2sfm.options import Mapper

FOCAL_PX, SIZE = 900.0, (1000, 800)


def seen(folder, centres, turns_deg=0.0, *, focal_px=FOCAL_PX, keypoints=240, matches=240, apart=(), cameras=1):
    """A database of cameras that look along z at points 4 to 12 m away, all pairs verified; what mapping is given.

    centres: in metres; turns_deg: about the axis y, of each. focal_px: that the database says, as EXIF's. matches:
    verified ones of a pair. apart: so many of the last images are joined with each other only. cameras: how many there
    are, equal ones, which took the images by turns.
    """
    random = np.random.default_rng(0)
    points = random.uniform([-2, -1.5, 4], [2, 1.5, 12], (keypoints, 3))
    database, names = folder / "db.db", {}
    with pycolmap.Database.open(database) as colmap:
        camera = pycolmap.Camera(model="SIMPLE_PINHOLE", width=SIZE[0], height=SIZE[1], params=[focal_px, 500, 400])
        camera.has_prior_focal_length = True
        camera_ids = [colmap.write_camera(camera) for _ in range(cameras)]
        for number, turn_deg in enumerate(np.broadcast_to(turns_deg, len(centres))):
            rotation = Rotation.from_euler("y", turn_deg, degrees=True)
            in_camera = rotation.apply(points - centres[number])
            xy = FOCAL_PX * in_camera[:, :2] / in_camera[:, 2:] + [500, 400] + random.normal(0, 0.5, (keypoints, 2))
            image = pycolmap.Image(name=f"{number}.jpg", camera_id=camera_ids[number % cameras])
            image_id = colmap.write_image(image)
            colmap.write_keypoints(image_id, xy.astype(np.float32))
            names[image_id] = image.name
        rows = np.arange(matches, dtype=np.uint32)[:, None].repeat(2, axis=1)
        ids = list(names)
        for a, b in ((a, b) for index, a in enumerate(ids) for b in ids[index + 1 :]):
            geometry = pycolmap.TwoViewGeometry()
            if not apart or (a in ids[-apart:]) == (b in ids[-apart:]):
                geometry.inlier_matches = rows
            colmap.write_matches(a, b, rows)
            colmap.write_two_view_geometry(a, b, geometry)
    return MappingInput(database=database, mapper=Mapper.INCREMENTAL, names=names, max_error_px=4.0)


def to_the_side(count, step_m=0.5):
    return [np.array([step_m * number, 0, 0]) for number in range(count)]


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
