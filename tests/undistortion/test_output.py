"""A folder that is whole or absent, and is not replaced unasked."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.dotted_scene import FEW, SIZE, undistorted, write_dotted_scene

from d2sfm.options import PhotographOptions
from d2sfm.undistortion import undistort as driver


@pytest.fixture
def few(tmp_path) -> Path:
    write_dotted_scene(tmp_path, FEW)
    return tmp_path


def names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


class Stopped(BaseException):
    """As an interrupt."""


def test_a_stopped_run_is_gone_on_with(few, monkeypatch):
    undistorted(few, few / "unbroken", "3dgs")
    real, written = driver.write_picture, []

    def write(shot, **arguments):
        if len(written) == 2:
            raise Stopped
        real(shot, **arguments)
        written.append(shot.name)

    monkeypatch.setattr(driver, "write_picture", write)
    with pytest.raises(Stopped):
        undistorted(few, few / "out", "3dgs")
    assert not (few / "out").exists()
    written.clear()
    summary, _ = undistorted(few, few / "out", "3dgs")
    assert (len(written), summary.images, summary.already_there) == (1, 3, 2)
    assert names_in(few / "out") == names_in(few / "unbroken")
    for name in names_in(few / "out"):
        assert (few / "out" / name).read_bytes() == (few / "unbroken" / name).read_bytes()
    written.clear()
    assert undistorted(few, few / "out", "3dgs")[0].already_there == 3
    assert written == []
    assert {path.name for path in few.iterdir()} == {"model", "photos", "out", "unbroken"}


def test_what_a_run_of_other_options_left_is_not_taken(few, monkeypatch):
    def stop(*arguments):
        raise Stopped

    monkeypatch.setattr(driver, "write_layout", stop)
    with pytest.raises(Stopped):
        undistorted(few, few / "out", max_edge=100)
    monkeypatch.undo()
    assert undistorted(few, few / "out")[0].already_there == 0
    assert max(Image.open(few / "out/images/b.png").size) > 100


def test_nothing_is_replaced_unasked(few):
    undistorted(few, few / "out")
    with pytest.raises(ValueError, match="another model, other photographs or other options, or by another version"):
        undistorted(few, few / "out", max_edge=100)
    assert undistorted(few, few / "out", max_edge=100, overwrite=True)[0].already_there == 0
    (few / "out/stereo/depth_maps/b.png.geometric.bin").write_bytes(b"hours of work")
    with pytest.raises(ValueError, match=r"holds stereo/depth_maps/b\.png\.geometric\.bin, which d2sfm did not write"):
        undistorted(few, few / "out", overwrite=True)
    (few / "mine").mkdir()
    (few / "mine/notes").write_text("mine")
    with pytest.raises(ValueError, match="was not made by d2sfm undistort"):
        undistorted(few, few / "mine", overwrite=True)
    (few / "empty").mkdir()
    assert undistorted(few, few / "empty")[0].images == 3


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("3dgs", "sparse/0/depth_params.json"),  # where 3D Gaussian Splatting's own script writes it
        ("3dgs", "sparse/mine/notes.txt"),
        ("3dgs", "images/retouched.png"),
        ("3dgs", "output/point_cloud.ply"),
        ("colmap", "masks/b.png.png"),
        ("nerfstudio", "images_2/b.png"),
    ],
)
def test_no_file_of_others_is_replaced(few, layout, name):
    undistorted(few, few / "out", layout)
    theirs = few / "out" / name
    theirs.parent.mkdir(parents=True, exist_ok=True)
    theirs.write_text("mine")
    with pytest.raises(ValueError, match=f"holds {name}, which d2sfm did not write: move it away"):
        undistorted(few, few / "out", layout, max_edge=100, overwrite=True)
    assert theirs.read_text() == "mine"
    theirs.unlink()
    undistorted(few, few / "out", layout, max_edge=100, overwrite=True)


@pytest.mark.parametrize("settings", [{}, {"update": True}])
@pytest.mark.parametrize("name", ["images/left/a.png", "sparse/images.bin", "stereo/fusion.cfg"])
def test_what_has_lost_a_file_is_made_again(few, name, settings):
    undistorted(few, few / "out")
    before = names_in(few / "out")
    (few / "out" / name).unlink()
    assert undistorted(few, few / "out", **settings)[0].already_there == 0
    assert names_in(few / "out") == before
    assert undistorted(few, few / "out", **settings)[0].already_there == 3


def test_photographs_that_could_not_be_used_are_tried_again(few):
    """But not by each run that only looks for what is new."""
    small = PhotographOptions(max_megapixels=0.05)
    Image.new("RGB", (400, 300)).save(few / "photos/b.png")
    assert list(undistorted(few, few / "out", limits=small)[0].skipped) == ["b.png"]
    kept, _ = undistorted(few, few / "out", update=True)
    assert (kept.already_there, kept.skipped.keys()) == (2, {"b.png"})
    assert "megapixels" in kept.skipped["b.png"]
    again, _ = undistorted(few, few / "out")
    assert (again.already_there, again.skipped.keys()) == (0, {"b.png"})
    assert "is 400 x 300 px" in again.skipped["b.png"]


def test_overwriting_makes_all_anew(few):
    undistorted(few, few / "out")
    Image.new("RGB", (9, 9)).save(few / "out/images/b.png")
    assert undistorted(few, few / "out", update=True)[0].already_there == 3
    assert undistorted(few, few / "out", overwrite=True)[0].already_there == 0
    assert Image.open(few / "out/images/b.png").size != (9, 9)
    undistorted(few, few / "out", max_edge=100, update=True)
    assert max(Image.open(few / "out/images/b.png").size) == 100


def test_a_changed_photograph_is_noticed(few):
    undistorted(few, few / "out")
    Image.new("RGB", SIZE, (1, 2, 3)).save(few / "photos/left/a.png")
    with pytest.raises(ValueError, match="other photographs"):
        undistorted(few, few / "out")
    undistorted(few, few / "out", overwrite=True)
    assert np.asarray(Image.open(few / "out/images/left/a.png"))[0, 0].tolist() == [1, 2, 3]
