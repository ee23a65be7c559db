import copy
from dataclasses import replace

import numpy as np
import pycolmap
import pytest
from support.synthetic_model import synthetic

from d2sfm.localization.journal import Journal
from d2sfm.localization.outcome import NotPlaced, Pose, Reason
from d2sfm.localization.outputs import short_names, write_model
from d2sfm.localization.queries import find_queries, read_cameras
from d2sfm.pairs.pair_files import read_candidates


@pytest.fixture
def folder(tmp_path):
    """With two.jpg and sub/one two.jpg, empty files."""
    (tmp_path / "sub").mkdir()
    for name in ("two.jpg", "sub/one two.jpg"):
        (tmp_path / name).touch()
    return tmp_path


def test_a_folder_names_its_photographs(folder):
    assert find_queries([folder]).names == ("sub/one two.jpg", "two.jpg")


def test_files_have_names_relative_to_a_folder(folder):
    files = [folder / "two.jpg", folder / "sub" / "one two.jpg"]
    assert find_queries(files, folder).names == ("sub/one two.jpg", "two.jpg")
    with pytest.raises(ValueError, match=r"two.jpg is not below .*sub, "):
        find_queries(files[::-1])
    with pytest.raises(ValueError, match="listed more than once: 1 query"):
        find_queries([files[0], files[0]])


def test_a_link_lies_where_it_is(tmp_path):
    """And a folder that is called by a link has the files of the one that it leads to."""
    (tmp_path / "queries").mkdir()
    (tmp_path / "taken.jpg").touch()
    (tmp_path / "queries" / "a.jpg").symlink_to(tmp_path / "taken.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "queries")
    assert find_queries([tmp_path / "queries" / "a.jpg"]).names == ("a.jpg",)
    (tmp_path / "queries" / "b.jpg").touch()
    assert find_queries([tmp_path / "queries" / "b.jpg"], tmp_path / "link").names == ("b.jpg",)


def test_no_query_at_all_is_said():
    with pytest.raises(ValueError, match="no queries: expected a folder"):
        find_queries([])


def test_a_line_may_be_longer_than_the_name_of_a_file(folder):
    digits = " ".join(["0.31415926535897931"] * 12)
    (folder / "list.txt").write_text(f"sub/a.jpg FULL_OPENCV 640 480 {digits}\n")
    assert find_queries([folder / "list.txt"]).names == ("sub/a.jpg",)
    assert read_cameras(folder / "list.txt", ["sub/a.jpg"])["sub/a.jpg"].model_name == "FULL_OPENCV"


def test_a_list_has_names_with_spaces_and_what_follows_names(folder):
    (folder / "list.txt").write_text("# queries\n\nsub/one two.jpg\ntwo.jpg PINHOLE 2 2 1 1 1 1\nmissing.jpg\n")
    assert find_queries([folder / "list.txt"]).names == ("missing.jpg", "sub/one two.jpg", "two.jpg")
    (folder / "list.txt").write_text("# none\n")
    with pytest.raises(ValueError, match="holds no query"):
        find_queries([folder / "list.txt"])


def test_cameras_come_by_name(tmp_path, caplog):
    (tmp_path / "c.txt").write_text("a.jpg SIMPLE_RADIAL 640 480 500 320 240 .01\nb c.jpg\tPINHOLE 64 48 50 51 32 24\n")
    found = read_cameras(tmp_path / "c.txt", ["a.jpg", "b c.jpg", "d.jpg"])
    assert found.keys() == {"a.jpg", "b c.jpg"}
    assert found["a.jpg"].params.tolist() == [500, 320, 240, 0.01]
    assert (found["b c.jpg"].width, found["b c.jpg"].model_name) == (64, "PINHOLE")
    assert "1 query (d.jpg)" in caplog.text


def test_one_camera_of_colmap_is_that_of_all(tmp_path):
    (tmp_path / "cameras.txt").write_text("# CAMERA_ID, MODEL, ...\n1 PINHOLE 640 480 500 501 320 240\n")
    found = read_cameras(tmp_path / "cameras.txt", ["a.jpg", "b.jpg"])
    assert [camera.params.tolist() for camera in found.values()] == [[500, 501, 320, 240]] * 2


def test_a_model_has_cameras_by_name(tmp_path):
    model = synthetic(num_frames=2)
    model.write_binary(tmp_path)
    image = next(iter(model.images.values()))
    found = read_cameras(tmp_path, [image.name])
    assert found[image.name].params.tolist() == image.camera.params.tolist()


@pytest.mark.parametrize(
    "line",
    [
        "a.jpg",
        "a.jpg LENS 1 1 1",
        "a.jpg PINHOLE 1 1 1",
        "a.jpg PINHOLE x 1 1 1 1 1",
        "a.jpg PINHOLE 2 2 nan 1 1 1",
        "a.jpg PINHOLE 2 2 1 -1 1 1",
    ],
)
def test_other_lines_are_named(tmp_path, line):
    (tmp_path / "c.txt").write_text(f"{line}\n")
    with pytest.raises(ValueError, match=r"line 1 \(comments not counted\): expected name, camera model"):
        read_cameras(tmp_path / "c.txt", ["a.jpg"])


def test_candidates_are_of_the_query_that_stands_first(tmp_path):
    """Also where an image of the map has the query's name."""
    (tmp_path / "pairs.txt").write_text("a.jpg b.jpg\na.jpg a.jpg\na.jpg b.jpg\n# end\n")
    assert read_candidates(tmp_path / "pairs.txt", ["a.jpg", "c.jpg"], ["a.jpg", "b.jpg"]) == {
        "a.jpg": ["b.jpg", "a.jpg"],
        "c.jpg": [],
    }
    with pytest.raises(ValueError, match=r"line 1: no image 'b\.jpg'"):
        read_candidates(tmp_path / "pairs.txt", ["a.jpg"], ["a.jpg"])


def test_lines_of_other_queries_are_left_out(tmp_path, caplog):
    """A dataset's file is of all its queries, of which some are asked for."""
    (tmp_path / "pairs.txt").write_text("z.jpg b.jpg\na.jpg b.jpg\ny.jpg b.jpg\nz.jpg a.jpg\n")
    assert read_candidates(tmp_path / "pairs.txt", ["a.jpg"], ["a.jpg", "b.jpg"]) == {"a.jpg": ["b.jpg"]}
    [warning] = caplog.messages
    assert warning == f"{tmp_path / 'pairs.txt'}: left out, as they are no queries here: 2 images (z.jpg the first)"
    with pytest.raises(ValueError, match=r"line 1: no image 'z\.jpg' among the 1 image$"):
        read_candidates(tmp_path / "pairs.txt", ["c.jpg"], ["a.jpg", "b.jpg"])


def test_queries_get_ids_that_no_rig_and_no_frame_has(tmp_path):
    """A rig and its frames, as COLMAP's rig configuration makes them, have larger ids than the cameras and images."""
    model = pycolmap.Reconstruction()
    camera = pycolmap.Camera(camera_id=1, model="SIMPLE_PINHOLE", width=64, height=48, params=[50, 32, 24])
    model.add_camera(camera)
    rig, frame = pycolmap.Rig(rig_id=2), pycolmap.Frame(frame_id=2, rig_id=2)
    sensor = pycolmap.sensor_t(pycolmap.SensorType.CAMERA, 1)
    rig.add_ref_sensor(sensor)
    model.add_rig(rig)
    frame.add_data_id(pycolmap.data_t(sensor, 1))
    frame.rig_from_world = pycolmap.Rigid3d()
    model.add_frame(frame)
    image = pycolmap.Image(name="map.jpg", keypoints=np.zeros((1, 2)), camera_id=1, image_id=1)
    image.frame_id = 2
    model.add_image(image)
    track = pycolmap.Track([pycolmap.TrackElement(1, 0)])
    point_id = model.add_point3D(np.array([0.0, 0, 1]), track, np.zeros(3, np.uint8))
    pose = Pose(
        cam_from_world=pycolmap.Rigid3d(),
        camera=camera,
        inliers=1,
        points=1,
        error_px=0.0,
        candidates=(),
        covariance=np.eye(6),
        xy=np.zeros((1, 2)),
        point_ids=np.array([point_id]),
    )
    write_model(model, iter([("a.jpg", pose), ("b.jpg", replace(pose, camera=copy.deepcopy(camera)))]), tmp_path)
    written = pycolmap.Reconstruction(tmp_path / "0")
    assert {image.name for image in written.images.values()} == {"map.jpg", "a.jpg", "b.jpg"}
    assert written.points3D[point_id].track.length() == 3


def test_many_matches_of_few_keypoints_are_few():
    told = str(NotPlaced(reason=Reason.FEW_MATCHES, candidates=("a", "b"), matches=21, needed=20))
    assert told == "few matches: 21 with 2 images, of fewer keypoints than the 20 that are needed"


def test_base_names_must_differ():
    assert short_names(["day/a.jpg", "b.jpg"]) == {"day/a.jpg": "a.jpg", "b.jpg": "b.jpg"}
    with pytest.raises(ValueError, match=r"day/a\.jpg and night/a\.jpg have the same base name"):
        short_names(["day/a.jpg", "night/a.jpg"])


def test_a_journal_of_other_settings_is_not_taken_up(tmp_path, caplog):
    caplog.set_level("INFO", "d2sfm")
    output, found = tmp_path / "poses.txt", NotPlaced(reason=Reason.FEW_MATCHES, matches=3, needed=20)
    journal = Journal(output, {"seed": 0})
    journal.write("a", found)
    journal.write("b", "is broken")
    journal.close(is_finished=False)
    again = Journal(output, {"seed": 0})
    assert again.done == {"a", "b"}
    assert list(again.read(["b", "a"])) == ["is broken", found]
    again.close(is_finished=False)
    other = Journal(output, {"seed": 1})
    assert not other.done
    assert "all queries are placed again" in caplog.text
    other.close(is_finished=True)
    assert list(tmp_path.iterdir()) == []


def test_two_runs_do_not_write_one_list(tmp_path):
    """Each would continue with results of the other."""
    journal = Journal(tmp_path / "poses.txt", {"seed": 0})
    for seed in (0, 1):
        with pytest.raises(RuntimeError, match=r"poses\.txt is being made by another run of d2sfm$"):
            Journal(tmp_path / "poses.txt", {"seed": seed})
    journal.write("a", "is broken")
    assert list(journal.read(["a"])) == ["is broken"]
    journal.close(is_finished=True)
    Journal(tmp_path / "poses.txt", {"seed": 1}).close(is_finished=True)
    assert list(tmp_path.iterdir()) == []


def test_a_result_of_another_query_is_not_taken(tmp_path):
    journal = Journal(tmp_path / "poses.txt", {})
    journal.write("a", "is broken")
    written = tmp_path / ".poses.txt.journal"
    written.write_bytes(written.read_bytes().replace(b'"a"', b'"b"'))
    with pytest.raises(RuntimeError, match=r"\.journal was changed by another program: delete it, and run the command"):
        list(journal.read(["a"]))
    journal.close(is_finished=True)
