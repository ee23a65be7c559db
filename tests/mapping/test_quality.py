import numpy as np
import pycolmap
import pytest
from support.synthetic_model import synthetic

from d2sfm.mapping.quality import (
    MIN_SUPPORT,
    ModelStatistics,
    is_worth_it,
    score,
    statistics,
    table,
    uneven_focal_lengths,
)


def model_statistics(**changes):
    fields = {"images": 10, "supported": 10, "points": 700, "points_of_three": 300, "observations": 2000}
    fields["agreement"] = 850.0
    return ModelStatistics(**{**fields, "track_length": 2.9, "error_px": 1.2, **changes})


def test_statistics_count_what_the_model_holds():
    model = synthetic()
    found = statistics(model)
    lengths = [len(point.track.elements) for point in model.points3D.values()]
    assert found.images == found.supported == 6
    assert found.points == len(lengths)
    assert found.points_of_three == sum(length >= 3 for length in lengths)
    assert found.observations == sum(lengths)
    assert found.agreement == sum(length for length in lengths if length >= 3)  # without any errors
    assert found.track_length == pytest.approx(np.mean(lengths))
    assert found.error_px == pytest.approx(model.compute_mean_reprojection_error())


def test_an_image_with_few_points_is_registered_but_not_supported():
    model = synthetic()
    image_id = model.reg_image_ids()[0]
    for point_id in list(model.points3D):
        if model.image(image_id).num_points3D < MIN_SUPPORT:
            break
        for element in list(model.point3D(point_id).track.elements):
            if element.image_id == image_id:
                model.delete_observation(image_id, element.point2D_idx)
                break
    found = statistics(model)
    assert (found.images, found.supported) == (6, 5)


def test_agreement_weights_observations_of_three_or_more_images_by_their_errors_in_network_pixels():
    model = synthetic()
    lengths = [point.track.length() for point in model.points3D.values()]
    exact = sum(length for length in lengths if length >= 3)
    found = []
    for error_px in (0.0, 0.5, 1.0, 4.0, 40.0):
        for point in model.points3D.values():
            point.error = error_px
        found.append(statistics(model).agreement / exact)
        assert statistics(model, pixel_factor=2.0).agreement >= statistics(model).agreement
    assert found == pytest.approx([1, 1 - np.log(2) / np.log(65), 1 - np.log(5) / np.log(65), 0, 0])
    for point in model.points3D.values():
        point.error = 2.0
    doubled = statistics(model, pixel_factor=4.0).agreement
    assert doubled / exact == pytest.approx(found[1])


def test_an_empty_model_has_zeros():
    found = statistics(pycolmap.Reconstruction())
    assert found == ModelStatistics(
        images=0,
        supported=0,
        points=0,
        points_of_three=0,
        observations=0,
        agreement=0.0,
        track_length=0.0,
        error_px=0.0,
    )


@pytest.mark.parametrize(
    "worse",
    [
        {"supported": 9, "points_of_three": 900, "agreement": 2500.0},
        {"images": 10, "supported": 3, "points": 219},
        {"agreement": 849.0, "points_of_three": 301, "error_px": 0.1},
        {"error_px": 1.3},
    ],
)
def test_score_prefers_supported_images_then_agreement_then_error(worse):
    assert score(model_statistics()) > score(model_statistics(**worse))


def test_table_has_a_line_for_each_model():
    lines = table([model_statistics(), model_statistics(images=3)], 12, ["first", "second, kept"]).splitlines()
    assert len(lines) == 3
    assert "10 of 12" in lines[1]
    assert lines[1].startswith("first ")
    assert lines[2].split()[:4] == ["second,", "kept", "3", "of"]
    assert len({line.index("of 12") for line in lines[1:]}) == 1


@pytest.mark.parametrize(
    ("model", "params", "is_uneven"),
    [
        ("PINHOLE", [543, 596, 40, 30], True),
        ("PINHOLE", [452, 262, 40, 30], True),
        ("PINHOLE", [517, 518, 40, 30], False),
        ("SIMPLE_RADIAL", [517, 40, 30, 0.1], False),
        ("EQUIRECTANGULAR", [80, 60], False),
    ],
)
def test_focal_lengths_that_drift_apart(model, params, is_uneven):
    """The case pinhole_aspect_ratio. Of cameras that no image has nothing is said."""
    found = pycolmap.Reconstruction()
    for camera_id in (1, 2):
        camera = pycolmap.Camera(camera_id=camera_id, model=model, width=80, height=60, params=params)
        found.add_camera_with_trivial_rig(camera)
    image = pycolmap.Image("a.jpg", np.zeros((0, 2)), 1, 1)
    found.add_image_with_trivial_frame(image, pycolmap.Rigid3d())
    assert [camera.camera_id for camera in uneven_focal_lengths(found)] == ([1] if is_uneven else [])


def of_nine(supported=7, agreement=100.0):
    return model_statistics(images=9, supported=supported, agreement=agreement)


@pytest.mark.parametrize(
    ("released", "cameras", "is_better"),
    [
        (of_nine(agreement=100.5), 9, False),
        (of_nine(agreement=102.0), 9, True),
        (of_nine(agreement=100.5), 1, True),
        (of_nine(agreement=100.1), 1, False),
        (of_nine(supported=6, agreement=200.0), 1, False),
        (of_nine(supported=8, agreement=50.0), 9, True),
    ],
)
def test_refined_distortion_has_to_gain_more_than_its_parameters_do(released, cameras, is_better):
    """Of nine images."""
    assert is_worth_it(released, of_nine(agreement=100.0), cameras) is is_better
