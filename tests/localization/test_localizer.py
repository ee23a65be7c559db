import hashlib

import numpy as np
import pycolmap
import pytest
from support.helpers import textured_picture
from support.small_map import LEFT_OUT, camera, centre_x

from d2sfm import Localizer, NotPlaced, Pose
from d2sfm.coordinates import stored_array, stored_from_upright
from d2sfm.localization import localizer as of_localizer
from d2sfm.localization.estimation import estimate
from d2sfm.localization.outcome import Reason
from d2sfm.options import LocalizationOptions
from d2sfm.photographs.reading import load_photograph

pytestmark = pytest.mark.usefixtures("narrow_network", "one_thread")


@pytest.fixture(scope="module")
def localizer(small_map):
    return Localizer(small_map.database, small_map.model)


@pytest.fixture(scope="module")
def found(localizer, small_map):
    return localizer.localize(small_map.query, camera())


def errors(pose):
    """Of the centre in metres, and of rotation in degrees."""
    turned = np.degrees(pose.cam_from_world.rotation.angle())
    return np.linalg.norm(np.subtract(pose.centre, (centre_x(LEFT_OUT), 0, 0))), turned


def test_a_query_is_placed_where_it_was_taken(found):
    assert isinstance(found, Pose)
    centre_m, rotation_deg = errors(found)
    assert centre_m < 0.01  # the scene is 4.5 to 9 m away
    assert rotation_deg < 0.1
    assert found.inliers >= 20
    assert set(found.candidates) == {"0.png", "1.png", "3.png", "4.png"}
    assert found.covariance.shape == (6, 6)
    assert (np.linalg.eigvalsh(found.covariance) > 0).all()


def test_points_are_seen_where_it_says(found, small_map):
    model = pycolmap.Reconstruction(small_map.model)
    xyz = np.array([model.points3D[each].xyz for each in found.point_ids.tolist()])
    seen = found.camera.img_from_cam(found.cam_from_world * xyz)
    distances = np.linalg.norm(seen - found.xy, axis=1)
    assert distances.mean() == pytest.approx(found.error_px)
    assert found.error_px < 0.5
    assert len(np.unique(found.point_ids)) == found.points


def test_the_alignment_makes_it_more_exact(small_map, found):
    plain = Localizer(small_map.database, small_map.model, options=LocalizationOptions(refine=False))
    unrefined = plain.localize(small_map.query, camera())
    assert errors(found)[0] < 0.5 * errors(unrefined)[0]
    assert found.error_px < 0.5 * unrefined.error_px


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_poor_first_pose_is_mended_by_a_second_round(small_map, found, monkeypatch, rounds):
    def turned(*given, **options):
        pose = estimate(*given, **options)
        monkeypatch.setattr(of_localizer, "estimate", estimate)  # only the first one is
        about_its_axis = pycolmap.Rigid3d(pycolmap.Rotation3d(np.radians([0, 0, 8.0])), np.zeros(3))
        return pose._replace(cam_from_world=about_its_axis * pose.cam_from_world)

    monkeypatch.setattr(of_localizer, "estimate", turned)
    monkeypatch.setattr(of_localizer, "MOST_ROUNDS", rounds)
    pose = Localizer(small_map.database, small_map.model).localize(small_map.query, camera())
    if rounds == 1:
        assert pose.reason is Reason.FEW_INLIERS
    else:
        assert pose.inliers == pytest.approx(found.inliers, rel=0.05)
        assert errors(pose)[1] < 0.1


def test_an_unknown_focal_length_is_estimated(localizer, small_map):
    pose = localizer.localize(small_map.query)
    assert pose.camera.mean_focal_length() == pytest.approx(camera().mean_focal_length(), rel=0.02)
    assert errors(pose)[0] < 0.05


def test_that_of_exif_is_where_it_begins(localizer, small_map, tmp_path):
    from PIL import Image

    picture, exif = Image.open(small_map.query), Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = round(280 / np.hypot(320, 240) * 43.2666)  # FocalLengthIn35mmFilm
    picture.save(tmp_path / "query.jpg", quality=98, exif=exif)
    pose = localizer.localize(tmp_path / "query.jpg")
    assert pose.camera.mean_focal_length() == pytest.approx(280, rel=0.02)
    assert errors(pose)[0] < 0.05


def test_a_picture_in_memory_is_as_good_as_its_file(localizer, small_map, found):
    again = localizer.localize(load_photograph(small_map.query), camera())
    assert again.cam_from_world.matrix().tolist() == found.cam_from_world.matrix().tolist()


def test_one_that_is_stored_turned_has_the_pose_of_its_stored_pixels(localizer, small_map, found, tmp_path):
    from PIL import Image

    orientation, exif = 6, Image.Exif()
    exif[274] = orientation
    stored = stored_array(load_photograph(small_map.query), orientation)
    Image.fromarray(stored).save(tmp_path / "turned.png", exif=exif)
    size = stored.shape[1], stored.shape[0]
    turned = pycolmap.Camera(model="SIMPLE_PINHOLE", width=size[0], height=size[1], params=(280, 120, 160))
    pose = localizer.localize(tmp_path / "turned.png", turned)
    np.testing.assert_allclose(pose.centre, found.centre, atol=2e-3)
    assert np.degrees(pose.cam_from_world.rotation.angle()) == pytest.approx(90, abs=0.1)
    upright = dict(zip(found.point_ids.tolist(), found.xy, strict=True))
    both = [row for row, point in enumerate(pose.point_ids.tolist()) if point in upright]
    expected = stored_from_upright(np.array([upright[pose.point_ids[row]] for row in both]), size, orientation)
    assert np.median(np.linalg.norm(pose.xy[both] - expected, axis=1)) < 0.2


def test_another_place_is_not_placed(localizer):
    found = localizer.localize(textured_picture(77, (320, 240)), camera())
    assert isinstance(found, NotPlaced)
    assert found.reason in (Reason.FEW_MATCHES, Reason.FEW_INLIERS, Reason.NO_AGREEMENT)
    assert found.reason in str(found)


def test_without_keypoints_there_are_no_candidates(localizer, small_map):
    found = localizer.localize(small_map.query, mask=np.zeros((240, 320), bool))
    assert found.reason is Reason.NO_CANDIDATES
    assert "no keypoints" in str(found)


def test_what_is_masked_takes_no_part(localizer, small_map):
    mask = np.zeros((240, 320), bool)
    mask[:, :160] = True
    pose = localizer.localize(small_map.query, camera(), mask=mask)
    shown = pose.view.xy_in_query
    assert len(shown)
    assert shown[:, 0].max() < 160


def test_candidates_can_be_given(localizer, small_map):
    found = localizer.localize(small_map.query, camera(), candidates=["1.png"])
    assert found.candidates == ("1.png",)
    assert found.view.name == "1.png"


def test_a_candidate_that_is_not_in_the_map_is_named(localizer, small_map):
    with pytest.raises(ValueError, match=r"have no points of 1 image \(gone\.png\)"):
        localizer.localize(small_map.query, candidates=["0.png", "gone.png"])


@pytest.mark.slow
def test_the_same_map_gives_the_same_pose_and_its_database_is_only_read(small_map, found):
    before = hashlib.sha256(small_map.database.read_bytes()).hexdigest()
    again = Localizer(small_map.database, small_map.model).localize(small_map.query, camera())
    assert again.cam_from_world.matrix().tolist() == found.cam_from_world.matrix().tolist()
    assert hashlib.sha256(small_map.database.read_bytes()).hexdigest() == before


def test_a_camera_of_another_size_is_refused(localizer, small_map):
    other = camera()
    other.width = 321
    with pytest.raises(ValueError, match="320 x 240 px, but its camera 321 x 240 px"):
        localizer.localize(small_map.query, other)


def test_a_broken_photograph_is_named(localizer, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"picture|photograph|format"):
        localizer.localize(tmp_path / "broken.jpg")
    with pytest.raises(FileNotFoundError):
        localizer.localize(tmp_path / "missing.jpg")


def test_a_map_without_points_is_refused(small_map):
    with pytest.raises(RuntimeError, match="has no points"):
        Localizer(small_map.database, small_map.folder / "true")


def test_another_precision_than_the_maps_is_refused(small_map):
    from d2sfm.database import FeatureStore
    from d2sfm.features.fingerprints import settings_of

    with FeatureStore(small_map.database) as store:
        there = settings_of(next(iter(store.extracted().values())))["precision"]
    other = {"float32": "bfloat16", "bfloat16": "float32"}[there]
    with pytest.raises(RuntimeError, match=f"precision {there}, .* precision {other}"):
        Localizer(small_map.database, small_map.model, options=LocalizationOptions(precision=other))


def test_other_weights_than_the_maps_are_refused(small_map, narrow_weights, tmp_path):
    import torch

    checkpoint = torch.load(narrow_weights, weights_only=True)
    checkpoint["model"] = {name: 1.01 * value for name, value in checkpoint["model"].items()}
    torch.save(checkpoint, tmp_path / "others.pth")
    options = LocalizationOptions(weights=str(tmp_path / "others.pth"))
    with pytest.raises(RuntimeError, match=r"made with weights \w+, .* with weights \w+"):
        Localizer(small_map.database, small_map.model, options=options)


def test_a_model_of_other_keypoints_is_refused(small_map):
    model = pycolmap.Reconstruction(small_map.model)
    image = next(iter(model.images.values()))
    for point in image.points2D:
        point.xy = point.xy + 1
    with pytest.raises(RuntimeError, match=f"keypoints of {image.name} .* are not those of the model"):
        Localizer(small_map.database, model).localize(small_map.query, camera())


def test_photographs_of_the_map_must_be_there_for_the_alignment(small_map, tmp_path):
    with pytest.raises(FileNotFoundError, match="--no-refine"):
        Localizer(small_map.database, small_map.model, images=tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"4 photographs \(0.png the first\) of the map, .* --no-refine"):
        Localizer(small_map.database, small_map.model, images=tmp_path)
