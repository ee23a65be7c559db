"""Removal of images from a model on disk."""

import os
from pathlib import Path

import pycolmap
import pytest

from d2sfm.colmap import read_model
from d2sfm.mapping.model_removal import remove_from_model, remove_from_models


def synthesize(folder, cameras_a_rig=1):
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig, options.num_points3D = (
        *(1, cameras_a_rig, 5),
        40,
    )
    model = pycolmap.synthesize_dataset(options)
    folder.mkdir()
    model.write_binary(folder)
    return model


@pytest.fixture
def folder(tmp_path):
    synthesize(tmp_path / "0")
    return tmp_path / "0"


def names_of(model):
    return sorted(image.name for image in model.images.values())


def test_an_image_goes_and_the_rest_keeps_its_bits(tmp_path, folder):
    before = read_model(folder)
    gone, *kept = names_of(before)
    before.write_text(folder)
    (folder / "notes.md").write_text("mine")
    assert remove_from_model(folder, [gone, "unknown"]) == 1
    for suffix in ("bin", "txt"):  # both are written
        for path in folder.glob(f"*.{suffix}"):
            (tmp_path / suffix).mkdir(exist_ok=True)
            path.rename(tmp_path / suffix / path.name)
        after = read_model(tmp_path / suffix)
        assert names_of(after) == kept
        assert len(after.points3D) == len(before.points3D) == 40
        assert {point.track.length() for point in after.points3D.values()} == {4}
        if suffix == "bin":
            for image_id, image in after.images.items():
                assert (image.cam_from_world().matrix() == before.images[image_id].cam_from_world().matrix()).all()
    assert (folder / "notes.md").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "bin", "txt"]


def test_points_that_too_few_images_see_go(folder):
    names = names_of(read_model(folder))
    assert remove_from_model(folder, names[:3]) == 3
    assert len(read_model(folder).points3D) == 40
    assert remove_from_model(folder, names[3:4]) == 1
    assert len(read_model(folder).points3D) == 0


def test_images_go_out_of_all_numbered_models(tmp_path, folder):
    synthesize(tmp_path / "1")
    names = names_of(read_model(folder))
    assert remove_from_models(tmp_path, names[:2], dry_run=True) == 4
    assert remove_from_models(tmp_path, names[:2]) == 4
    assert [names_of(read_model(tmp_path / name)) for name in "01"] == [names[2:], names[2:]]
    assert remove_from_models(folder, names[2:3]) == 1
    with pytest.raises(FileNotFoundError):
        remove_from_models(tmp_path / "2", names)
    (tmp_path / "2").mkdir()
    with pytest.raises(ValueError, match="2 holds no COLMAP model: expected cameras, images and points3D, or folders"):
        remove_from_models(tmp_path / "2", names)


def test_a_dry_run_writes_nothing(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert remove_from_model(folder, names_of(read_model(folder))[:2], dry_run=True) == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_dry_run_leaves_what_a_killed_run_left(folder):
    aside = folder.with_name(".0.removal.aside")
    aside.mkdir()
    remove_from_model(folder, [], dry_run=True)
    assert aside.is_dir()
    remove_from_model(folder, [])
    assert not aside.exists()


def test_a_model_that_is_read_only_is_told_before_the_work(folder, monkeypatch):
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder and may(path, mode))
    names = names_of(read_model(folder))
    with pytest.raises(RuntimeError, match=r"0 can't be written: .*0 is read-only"):
        remove_from_model(folder, names[:1])
    assert [path.name for path in folder.parent.iterdir()] == ["0"]
    assert names_of(read_model(folder)) == names
    assert remove_from_model(folder, names[:1], dry_run=True) == 1


def test_images_of_one_frame_of_a_rig_go_together(tmp_path):
    model = synthesize(tmp_path / "rig", cameras_a_rig=2)
    frame = next(iter(model.frames.values()))
    both = [model.images[data.id].name for data in frame.image_ids]
    with pytest.raises(RuntimeError, match="is in the same rig frame as an image to be removed"):
        remove_from_model(tmp_path / "rig", both[:1])
    assert remove_from_model(tmp_path / "rig", both) == 2
    assert len(read_model(tmp_path / "rig").images) == 8


def test_the_rest_of_a_frame_goes_with_an_image_if_that_is_asked_for(tmp_path, caplog):
    model = synthesize(tmp_path / "rig", cameras_a_rig=2)
    [one, other], whole, *_ = (
        [model.images[data.id].name for data in frame.image_ids] for frame in model.frames.values()
    )
    assert remove_from_model(tmp_path / "rig", [one, *whole], with_frames=True) == 3
    assert names_of(read_model(tmp_path / "rig")) == sorted({*names_of(model)} - {one, other, *whole})
    [record] = caplog.records
    assert f"share a rig frame with removed images: 1 image ({other}); they can be" in record.getMessage()
