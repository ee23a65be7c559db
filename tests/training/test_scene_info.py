from dataclasses import replace

import numpy as np
import pytest
from support.published_scene_info import ARRAYS

from d2sfm.training.scene_info import SceneInfo


def scene_info(**changes):
    return SceneInfo(**{**ARRAYS, **changes})


def changed(name, index, value):
    array = ARRAYS[name].copy()
    array[index] = value
    return {name: array}


def test_points_are_views_of_one_image():
    info = scene_info()
    ids, xy, depths = info.points(0)
    np.testing.assert_array_equal(ids, [3, 8])
    np.testing.assert_array_equal(xy, [[0.25, 1.25], [2.25, 3.25]])
    np.testing.assert_array_equal(depths, [0.01, 0.02])
    assert np.shares_memory(ids, info.points3D_ids)
    np.testing.assert_array_equal(info.has_depth, [True, True, False])
    for index in (-1, 3):
        with pytest.raises(ValueError, match="between 0 and 2"):
            info.points(index)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"poses": np.zeros((2, 4, 4))}, r"poses must be float64 \(3, 4, 4\), found float64 \(2, 4, 4\)"),
        ({"angles": np.zeros((3, 3), np.float32)}, "angles must be float64"),
        ({"image_paths": np.array(["a", None, ""], object)}, "image_paths must be str_"),
        ({"points2D_xy": np.zeros((5, 3))}, "points2D_xy"),
        ({"image_ptr": np.array([0, 2, 3, 4])}, "image_ptr must rise from 0 to the 5"),
        ({"image_ptr": np.array([1, 2, 3, 5])}, "image_ptr must rise"),
        ({"image_ptr": np.array([0, 3, 2, 5])}, "image_ptr must rise"),
        ({"n_points3D": np.array([1, 2, 2])}, "n_points3D"),
        (changed("points3D_ids", 1, 3), "must ascend"),
        (changed("points3D_ids", 4, 1), "must ascend"),
        (changed("image_paths", 0, ""), "image_paths must be empty"),
        (changed("intrinsics", (1, 0, 0), np.nan), "intrinsics of a.jpg"),
        (changed("poses", (0, 2, 3), np.inf), "poses of b.jpg"),
        (changed("points2D_xy", (2, 1), np.nan), "points2D_xy must be finite, found 1"),
        (changed("intrinsics", (0, 1, 1), 0), "intrinsics or poses of b.jpg are invalid"),
        (changed("intrinsics", (1, 1, 0), 1), "intrinsics or poses of a.jpg are invalid"),
        (changed("intrinsics", (0, 2, 2), 2), "intrinsics or poses of b.jpg are invalid"),
        (changed("poses", (0, 3, 3), 0), "intrinsics or poses of b.jpg are invalid"),
        (changed("normalised_depths", 2, -0.1), "found 1 that are not, the first in a.jpg"),
        (changed("normalised_depths", 0, np.nan), "the first in b.jpg"),
    ],
)
def test_arrays_that_contradict_each_other_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        scene_info(**changes)


def test_ids_need_not_ascend_from_one_image_to_the_next_past_an_image_without_points():
    info = scene_info(n_points3D=np.array([2, 0, 3]), image_ptr=np.array([0, 2, 2, 5]), points3D_ids=np.arange(5))
    assert info.points(1)[0].size == 0
    with pytest.raises(ValueError, match="must ascend"):
        replace(info, points3D_ids=np.array([3, 8, 8, 2, 9]))


def test_a_scene_without_points_has_shapes():
    pointless = {key: ARRAYS[key][:0] for key in ("points3D_ids", "points2D_xy", "normalised_depths")}
    info = scene_info(**pointless, n_points3D=np.zeros(3, np.int64), image_ptr=np.zeros(4, np.int64))
    assert [array.shape for array in info.points(1)] == [(0,), (0, 2), (0,)]
