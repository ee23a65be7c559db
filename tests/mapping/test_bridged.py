"""Databases with keypoints behind those of another extractor, and models made before these came."""

import sqlite3
from contextlib import closing
from functools import partial

import numpy as np
import pycolmap
import pytest
from support.bridged_scene import NEW, OLD, all_pairs, bridged, names, require_kept
from support.runs import PROCESSES

from d2sfm.colmap import read_model
from d2sfm.evaluation.poses import compare_with_truth
from d2sfm.exchange.remove import remove_images
from d2sfm.mapping.extend import extend_model
from d2sfm.mapping.reconstruct import reconstruct
from d2sfm.mapping.transcription import OtherKeypoints
from d2sfm.options import ReconstructionOptions

pytestmark = pytest.mark.slow

OPTIONS = ReconstructionOptions(num_threads=1, min_starts=1, max_starts=1)
extend = partial(extend_model, options=OPTIONS)


def test_a_model_made_before_is_extended_by_the_keypoints_that_came(bridged_scene, old, tmp_path):
    result = extend(bridged(bridged_scene, tmp_path / "db.db"), old, tmp_path / "new")
    assert (result.added, result.not_placed, result.is_whole) == (names(bridged_scene, NEW), {}, True)
    before, new = read_model(old), read_model(result.model)
    require_kept(before, new)
    assert len(new.points3D) > len(before.points3D) + 60
    assert compare_with_truth(new, bridged_scene.truth).rotation_deg.max() < 0.5
    adjusted = read_model(
        extend(bridged(bridged_scene, tmp_path / "db2.db"), old, tmp_path / "adjusted", adjust=True).model
    )
    assert compare_with_truth(adjusted, bridged_scene.truth).rotation_deg.max() < 0.5


def test_points_come_to_a_model_that_has_all_images_or_none_can_be_placed_in(bridged_scene, old, tmp_path):
    database = bridged(bridged_scene, tmp_path / "db.db", across=[])
    before = read_model(old)
    result = extend(database, old, tmp_path / "new")
    assert (result.added, tuple(result.not_placed), result.is_whole) == ((), names(bridged_scene, NEW), False)
    remove_images(database, names(bridged_scene, NEW))
    whole = extend(database, old, old)
    assert (whole.added, whole.not_placed, whole.is_whole) == ((), {}, True)
    assert f"extend: {whole.new_points} points added, {old} has 5 of 5 images, " in str(whole)
    for model in (read_model(result.model), read_model(old)):
        require_kept(before, model)
        assert len(model.points3D) == len(before.points3D) + whole.new_points > len(before.points3D) + 60


def test_an_old_image_comes_to_see_old_points_only_where_these_lie(bridged_scene, old, tmp_path):
    database, known = bridged(bridged_scene, tmp_path / "db.db"), read_model(old)
    seen = {place: known.images[1].points2D[place].point3D_id for place in range(20)}
    for place in seen:
        known.delete_observation(1, place)
    known.write_binary(old)
    with closing(sqlite3.connect(database)) as connection, connection:
        [(data,)] = connection.execute("SELECT data FROM keypoints WHERE image_id = 1")
        rows = np.frombuffer(data, "<f4").reshape(-1, 2).copy()
        rows[:10] += 6
        connection.execute("UPDATE keypoints SET data = ? WHERE image_id = 1", (rows.tobytes(),))
    image = read_model(extend(database, old, tmp_path / "new").model).images[1]
    sees = [image.points2D[place].has_point3D() and image.points2D[place].point3D_id == seen[place] for place in seen]
    assert not any(sees[:10])
    assert sum(sees[10:]) >= 8


def go_on(database, model, folder):
    """COLMAP's own triangulation and mapping, which end the process at a model of fewer keypoints than the database."""
    pycolmap.logging.minloglevel = pycolmap.logging.Level.FATAL.value
    folder.mkdir()
    given = pycolmap.Reconstruction(model)
    pycolmap.triangulate_points(given, database, folder, folder, clear_points=False)
    options = pycolmap.IncrementalPipelineOptions(num_threads=1, fix_existing_frames=True)
    [mapped] = pycolmap.incremental_mapping(database, folder, folder, options, input_path=model).values()
    assert mapped.num_reg_images() == 11


def test_colmap_goes_on_with_the_extended_model(bridged_scene, old, tmp_path):
    """As it has all keypoints of the database, also where nothing can be placed."""
    database = bridged(bridged_scene, tmp_path / "db.db", across=[])
    padded = extend(database, old, tmp_path / "padded").model
    process = PROCESSES.Process(
        target=go_on, args=(bridged(bridged_scene, tmp_path / "all.db"), padded, tmp_path / "colmap")
    )
    process.start()
    process.join()
    assert process.exitcode == 0


@pytest.mark.parametrize("change", ["moved", "in front"])
def test_a_model_of_other_keypoints_than_the_first_is_refused(bridged_scene, old, tmp_path, change):
    database = bridged(bridged_scene, tmp_path / "db.db")
    with closing(sqlite3.connect(database)) as connection, connection:
        for image_id, data in connection.execute("SELECT image_id, data FROM keypoints").fetchall():
            rows = np.frombuffer(data, "<f4").reshape(-1, 2).copy()
            rows = rows + np.float32(0.25) if change == "moved" else np.roll(rows, 1, axis=0)
            connection.execute("UPDATE keypoints SET data = ? WHERE image_id = ?", (rows.tobytes(), image_id))
    with pytest.raises(OtherKeypoints, match=r"points of keypoints that differ from those of .* in 5 images"):
        extend(database, old, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_bridged_database_is_mapped(bridged_scene, tmp_path):
    database = bridged_scene.write(tmp_path / "apart.db", all_pairs(OLD) + all_pairs(NEW))
    apart = reconstruct(database, tmp_path / "apart", options=OPTIONS)
    assert [each.images for each in apart.statistics] == [6, 5]
    result = reconstruct(bridged(bridged_scene, tmp_path / "db.db"), tmp_path / "sparse", options=OPTIONS)
    assert [each.images for each in result.statistics] == [11]
    assert compare_with_truth(read_model(result.models[0]), bridged_scene.truth).rotation_deg.max() < 0.5
