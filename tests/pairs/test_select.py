import logging
from itertools import combinations

import h5py
import numpy as np
import pycolmap
import pytest
from support.feature_database import descriptors_of_place, replace_descriptors, write_feature_database

from d2sfm.database import MatchStore
from d2sfm.database.connection import open_pycolmap
from d2sfm.options import PairSelectionOptions
from d2sfm.pairs import select as selection
from d2sfm.pairs.select import select_pairs

# Photographs of three places: image ids 1 to 9, places 0 0 0 1 1 1 2 2 2. Names run the other way.
PLACE = {image_id: (image_id - 1) // 3 for image_id in range(1, 10)}
NAMES = {image_id: f"my view {9 - image_id}.jpg" for image_id in PLACE}
OF_PLACES = [list(pair) for pair in combinations(PLACE, 2) if PLACE[pair[0]] == PLACE[pair[1]]]
ALL = [list(pair) for pair in combinations(PLACE, 2)]


@pytest.fixture
def database(tmp_path):
    """GPS positions of the first seven images: place k is at k km, its photographs are 10 m apart."""
    descriptors = {name: descriptors_of_place(PLACE[image_id], image_id) for image_id, name in NAMES.items()}
    path = write_feature_database(tmp_path / "db.db", descriptors)
    with open_pycolmap(path) as colmap:
        for image_id in range(1, 8):
            colmap.write_pose_prior(
                pycolmap.PosePrior(
                    position=[1000.0 * PLACE[image_id], 10.0 * image_id, 500.0 * image_id],
                    coordinate_system=pycolmap.PosePriorCoordinateSystem.CARTESIAN,
                    corr_data_id=colmap.read_image(image_id).data_id,
                )
            )
    return path


@pytest.fixture
def model(tmp_path):
    """The images 1 to 6 stand in a row, each nearest to the one before, and look the same way, but for the last, which
    looks back. 1 and 4 share two points, 2 and 5 one."""
    found, tracks = pycolmap.Reconstruction(), [(1, 4), (1, 4), (2, 5)]
    found.add_camera_with_trivial_rig(
        pycolmap.Camera(camera_id=1, model="PINHOLE", width=80, height=60, params=[90, 90, 40, 30])
    )
    for image_id in range(1, 7):
        rotation = np.diag([-1.0, 1, -1]) if image_id == 6 else np.eye(3)
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), -rotation @ [image_id + 0.1 * image_id**2, 0, 0])
        image = pycolmap.Image(NAMES[image_id], np.zeros((len(tracks), 2)), 1, 20 - image_id)
        found.add_image_with_trivial_frame(image, pose)
    for index, track in enumerate(tracks):
        found.add_point3D(np.zeros(3), pycolmap.Track([pycolmap.TrackElement(20 - i, index) for i in track]))
    folder = tmp_path / "model"
    folder.mkdir()
    found.write_binary(folder)
    return folder


def select(database, **options):
    with MatchStore(database) as store:
        pairs = select_pairs(store, PairSelectionOptions(**options))
    assert pairs.dtype == np.uint32
    return pairs.tolist()


def test_all_pairs_of_few_images_said_aloud(database, caplog):
    with caplog.at_level(logging.INFO, logger="d2sfm"):
        assert select(database) == ALL == select(database, pairs="exhaustive")
    assert "--pairs exhaustive, as there are no more than 200 images" in caplog.text
    assert "36 of the 36 pairs of 9 images (auto)" in caplog.text


def test_retrieval_of_many_images_said_aloud(database, caplog, monkeypatch):
    monkeypatch.setattr(selection, "EXHAUSTIVE_LIMIT", 8)
    with caplog.at_level(logging.INFO, logger="d2sfm"):
        assert select(database, num_neighbours=2) == OF_PLACES
    assert "--pairs retrieval, as there are more than 8 images" in caplog.text
    assert "9 of the 36 pairs of 9 images (auto)" in caplog.text


def test_what_looks_alike(database):
    assert select(database, pairs="retrieval", num_neighbours=2) == OF_PLACES
    assert select(database, pairs="retrieval", num_neighbours=8) == ALL


def write_global_descriptors(path, places):
    with h5py.File(path, "w") as file:
        for image_id, place in places.items():
            file.create_group(NAMES[image_id])["global_descriptor"] = np.eye(3)[place] + 1e-3 * image_id
    return path


def test_global_descriptors_from_a_file(database, tmp_path):
    other = {image_id: (image_id - 1) % 3 for image_id in PLACE}
    file = write_global_descriptors(tmp_path / "global.h5", other)
    expected = [list(pair) for pair in combinations(PLACE, 2) if other[pair[0]] == other[pair[1]]]
    assert select(database, pairs="retrieval", num_neighbours=2, global_descriptors=file) == expected
    del other[4]
    write_global_descriptors(file, other)
    with pytest.raises(ValueError, match=r"has no global_descriptor of 1 image \(my view 5\.jpg\)"):
        select(database, pairs="retrieval", global_descriptors=file)


def test_a_sequence_in_the_order_of_names(database):
    neighbours = [[i, i + 1] for i in range(1, 9)]
    assert select(database, pairs="sequential", overlap=1, loop_candidates=0) == neighbours
    again = {i: min(i, 9 - i) % 3 for i in PLACE}  # the fifth to the last are of the places of the first, backwards
    replace_descriptors(database, {NAMES[i]: descriptors_of_place(place, i) for i, place in again.items()})
    found = select(database, pairs="sequential", overlap=1, loop_candidates=1)
    assert [pair for pair in neighbours if pair not in found] == []
    loops = [pair for pair in found if pair not in neighbours]
    assert loops
    assert all(again[a] == again[b] for a, b in loops)


def test_numbers_in_names_count_and_each_folder_is_a_sequence(tmp_path, caplog):
    """The case sequential_unpadded: frame_9 and frame_10 are neighbours, a/frame_10 and b/frame_1 are none."""
    names = ["a/frame_10.jpg", "a/frame_9.jpg", "b/frame_1.jpg", "b/frame_2.jpg", "b/frame_10.jpg", "b/frame_11.jpg"]
    path = write_feature_database(
        tmp_path / "db.db", {name: descriptors_of_place(i, i) for i, name in enumerate(names)}
    )
    with MatchStore(path) as store:
        of = store.image_ids()
    chain = [("a/frame_9", "a/frame_10"), ("b/frame_1", "b/frame_2"), ("b/frame_2", "b/frame_10")]
    chain += [("b/frame_10", "b/frame_11")]
    expected = sorted(sorted(of[f"{name}.jpg"] for name in pair) for pair in chain)
    with caplog.at_level(logging.INFO, logger="d2sfm"):
        assert select(path, pairs="sequential", overlap=1, loop_candidates=0) == expected
    assert "2 sequences, one a folder, in the order of numbers in names: a/frame_9.jpg, a/frame_10.jpg" in caplog.text
    with_loops = select(path, pairs="sequential", overlap=1, loop_candidates=5)
    folder = {of[name]: name[0] for name in names}
    assert any(folder[a] != folder[b] for a, b in with_loops)


def test_positions_and_what_images_without_one_get(database, caplog):
    def spatial(**options):
        return select(database, pairs="spatial", **options)

    with_position = [pair for pair in OF_PLACES if pair[1] < 7]
    assert spatial(num_neighbours=2, max_distance_m=50.0) == OF_PLACES  # 8 and 9 look like 7
    assert (
        "no GPS position of 2 images (my view 1.jpg the first): each is paired with the 2 that look most like it"
        in caplog.text
    )
    by_looks = [[7, 8], [7, 9], [8, 9]]
    near = spatial(num_neighbours=2, max_distance_m=11.0)
    assert near == [pair for pair in with_position if pair[1] - pair[0] == 1] + by_looks
    assert "are in no pair" not in caplog.text
    assert spatial(num_neighbours=2, max_distance_m=50.0, use_altitude=True) == by_looks
    assert "in no pair: 6 images (my view 8.jpg the first)" in caplog.text
    everything = spatial(num_neighbours=8, max_distance_m=1e6)
    assert everything == ALL


def test_no_position_at_all(database):
    with open_pycolmap(database) as colmap:
        colmap.clear_pose_priors()
    with pytest.raises(RuntimeError, match="has no GPS position of any image: choose --pairs retrieval"):
        select(database, pairs="spatial")


def test_pairs_from_a_model_by_name(database, model, caplog):
    others = [[7, 8], [7, 9], [8, 9]]
    found = select(database, pairs="covisibility", model=model, num_neighbours=2)
    assert found == [[1, 4], [2, 5], *others]
    assert f"{model} lacks 3 images (my view 2.jpg the first): each is paired with the 2 that look" in caplog.text
    found = select(database, pairs="poses", model=model, num_neighbours=1)
    assert [pair for pair in found if pair[0] < 7] == [[1, 2], [2, 3], [3, 4], [4, 5]]
    found = select(database, pairs="poses", model=model, num_neighbours=1, max_angle_deg=180.0)
    assert [pair for pair in found if pair[0] < 7] == [[1, 2], [2, 3], [3, 4], [4, 5], [5, 6]]


def test_models_that_do_not_help(database, tmp_path):
    with pytest.raises(FileNotFoundError, match="no COLMAP model in"):
        select(database, pairs="poses", model=tmp_path / "nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    pycolmap.Reconstruction().write_binary(empty)
    with pytest.raises(RuntimeError, match="has none of the 9 images of"):
        select(database, pairs="covisibility", model=empty)


def test_a_model_without_points(database, model, tmp_path):
    known = pycolmap.Reconstruction(model)
    for point_id in known.point3D_ids():
        known.delete_point3D(point_id)
    known.write_binary(tmp_path)
    with pytest.raises(RuntimeError, match="has no points that images could share: choose --pairs poses"):
        select(database, pairs="covisibility", model=tmp_path)
    assert len(select(database, pairs="poses", model=tmp_path))


def test_a_file_and_a_file_that_is_called_like_a_kind(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "retrieval").write_text("my view 8.jpg\tmy view 0.jpg\n")
    assert select(database, pairs="./retrieval") == [[1, 9]]
    assert select(database, pairs=str(tmp_path / "retrieval")) == [[1, 9]]
    with pytest.raises(FileNotFoundError, match="no pairs file nowhere"):
        select(database, pairs="nowhere")


def test_images_without_features_are_left_out(database, caplog, tmp_path):
    with open_pycolmap(database) as colmap:
        for name in ("new.jpg", "newer.jpg"):
            colmap.write_image(pycolmap.Image(name=name, camera_id=1))
    assert select(database, pairs="retrieval", num_neighbours=2) == OF_PLACES
    assert "left out without features: 2 images (new.jpg the first)" in caplog.text
    (tmp_path / "pairs.txt").write_text("new.jpg\tmy view 0.jpg\nmy view 1.jpg\tmy view 0.jpg\n")
    assert select(database, pairs=str(tmp_path / "pairs.txt")) == [[8, 9]]
    (tmp_path / "pairs.txt").write_text("new.jpg\tmy view 0.jpg\n")
    with pytest.raises(RuntimeError, match="no features of 1 of 2 images: run d2sfm extract"):
        select(database, pairs=str(tmp_path / "pairs.txt"))
    (tmp_path / "pairs.txt").write_text("new.jpg\tmy view 0.jpg\nnew.jpg\tmy view 1.jpg\n")
    with pytest.raises(RuntimeError, match="names no pair whose two images both have features"):
        select(database, pairs=str(tmp_path / "pairs.txt"))
