"""Models on disk; what reconstruct makes of them is tested in test_reconstruction.py."""

import os
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
from support.full_disks import error_with_limited_files
from support.helpers import textured_picture

from d2sfm import models
from d2sfm.mapping import model_files
from d2sfm.mapping.model_files import colour, numbered, require_replaceable, write_models
from d2sfm.photographs.reading import load_photograph


@pytest.fixture
def model():
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig, options.num_points3D = 1, 1, 3, 20
    return pycolmap.synthesize_dataset(options)


def test_models_are_numbered_and_replace_earlier_ones(tmp_path, model):
    assert numbered(tmp_path) == []
    folders = write_models([model, model], tmp_path / "sparse", text=True, ply=True)
    assert folders == tuple(numbered(tmp_path / "sparse")) == (tmp_path / "sparse/0", tmp_path / "sparse/1")
    assert (folders[1] / "points3D.ply").is_file()
    (tmp_path / "sparse/notes.txt").write_text("mine")
    require_replaceable(tmp_path / "sparse")
    folders = write_models([model], tmp_path / "sparse", text=False, ply=False)
    assert sorted(path.name for path in (tmp_path / "sparse").iterdir()) == ["0", "notes.txt"]
    assert {path.suffix for path in folders[0].iterdir()} == {".bin"}
    again = pycolmap.Reconstruction(folders[0])
    assert np.array_equal(again.points3D[1].xyz, model.points3D[1].xyz)


def test_a_model_that_is_read_only_is_told_before_the_long_work(tmp_path, model, monkeypatch):
    write_models([model, model], tmp_path, text=False, ply=False)
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / "1" and may(path, mode))
    with pytest.raises(RuntimeError, match=r"1 can't be written: .*1 is read-only"):
        require_replaceable(tmp_path)


@pytest.mark.parametrize("limit", [400, 2000])
@pytest.mark.parametrize("is_asked_before", [True, False])
def test_a_full_disk_keeps_the_earlier_model(tmp_path, model, limit, is_asked_before):
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "cameras.bin").write_bytes(b"old")

    def write():
        if not is_asked_before:  # as where somebody else takes the room
            models.require_room = lambda *arguments, **options: None
        write_models([model], tmp_path, text=True, ply=True)

    line = error_with_limited_files(write, limit)
    assert line.startswith(f"{tmp_path / '0'} can't be written: ")
    assert "the disk is full" in line
    assert ("1 MB are needed" in line) == is_asked_before
    assert [path.name for path in tmp_path.iterdir()] == ["0"]
    assert (tmp_path / "0" / "cameras.bin").read_bytes() == b"old"


def test_models_that_a_killed_run_left_are_put_in_place_by_the_next(tmp_path, model):
    write_models([model], tmp_path, text=False, ply=False)
    (tmp_path / ".models.whole").mkdir()
    (tmp_path / ".models.aside").mkdir()
    (tmp_path / "0").rename(tmp_path / ".models.whole" / "0")
    require_replaceable(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["0"]


def test_photographs_that_are_not_in_the_folder_are_told(tmp_path, model, caplog):
    images = sorted((model.images[image_id] for image_id in model.reg_image_ids()), key=lambda image: image.name)
    for image in images[1:]:
        cv2.imwrite(str(tmp_path / image.name), np.zeros((image.camera.height, image.camera.width, 3), np.uint8))
    colour([model], tmp_path)
    assert f"1 photograph ({images[0].name}) of {len(images)} missing in {tmp_path}, damaged or of" in caplog.text


def test_points_that_keep_their_colours_need_no_photographs(tmp_path, model, monkeypatch, caplog):
    """The third image shows no other points, and its photograph is missing."""
    first, second, third = (model.images[image_id] for image_id in sorted(model.reg_image_ids()))
    kept, asked = set(sorted(model.points3D)[:10]), []
    for place, point in zip(third.get_observation_point2D_idxs(), third.get_observation_points2D(), strict=True):
        if point.point3D_id not in kept:
            model.delete_observation(third.image_id, place)

    def white(path, size):
        asked.append(path.name)
        return np.full((size[1], size[0], 3), 255, np.uint8)

    monkeypatch.setattr(model_files, "load_photograph", white)
    colour([model], tmp_path, kept=kept)
    assert sorted(asked) == sorted([first.name, second.name])
    white_points = {point_id for point_id, point in model.points3D.items() if point.color.tolist() == [255] * 3}
    assert white_points == set(model.points3D) - kept
    assert caplog.text == ""


@pytest.mark.slow
def test_points_take_the_colours_that_colmap_gives_them_and_damage_is_told(tmp_path, model, caplog):
    images = [model.images[image_id] for image_id in sorted(model.reg_image_ids())]
    for index, image in enumerate(images):
        picture = textured_picture(index, (image.camera.width, image.camera.height))
        cv2.imwrite(str(tmp_path / image.name), picture)
    theirs = pycolmap.Reconstruction(model)
    theirs.extract_colors_for_all_images(tmp_path)
    colour([model], tmp_path)
    colours = [point.color.tolist() for point in model.points3D.values()]
    assert colours == [theirs.points3D[point_id].color.tolist() for point_id in model.points3D]
    assert len(set(map(tuple, colours))) > 10
    assert caplog.text == ""
    for image in images[1:]:
        (tmp_path / image.name).write_bytes(b"no picture")
    colour([model], tmp_path)
    assert f"2 photographs ({images[1].name} the first) of 3 missing in {tmp_path}, damaged or of" in caplog.text
    first = load_photograph(tmp_path / images[0].name)
    for point in model.points3D.values():
        [xy] = [images[0].point2D(e.point2D_idx).xy for e in point.track.elements if e.image_id == images[0].image_id]
        column, row = np.floor(xy - 0.5).astype(int)
        corners = first[row : row + 2, column : column + 2].reshape(4, 3)
        assert (corners.min(0) <= point.color).all()
        assert (point.color <= corners.max(0)).all()
