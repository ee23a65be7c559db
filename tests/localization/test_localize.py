import json
import shutil
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from support.helpers import textured_picture
from support.small_map import LEFT_OUT, SIZE, camera, centre_x

from d2sfm.cli import main
from d2sfm.localization import localize as driver
from d2sfm.localization.loaded_map import LoadedMap
from d2sfm.localization.localizer import Localizer
from d2sfm.localization.outcome import NotPlaced, Reason, View
from d2sfm.photographs.reading import load_photograph
from d2sfm.plots.canvas import save_image

pytestmark = pytest.mark.usefixtures("narrow_network", "one_thread")

QUERY = f"{LEFT_OUT}.png"
CAMERA_LINE = f"SIMPLE_PINHOLE {SIZE[0]} {SIZE[1]} 280 160 120"


@pytest.fixture
def queries(small_map, tmp_path, monkeypatch):
    """A folder with the query in a subfolder, one of another place, and a broken one, in the working folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "queries"
    (folder / "day").mkdir(parents=True)
    shutil.copy(small_map.query, folder / "day" / QUERY)
    save_image(folder / "elsewhere.png", textured_picture(77, SIZE))
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def localize(small_map, *arguments):
    given = ["localize", "--database", small_map.database, "--model", small_map.model, *arguments]
    return main([str(argument) for argument in given])


def lines(path):
    return {line.split()[0]: np.array(line.split()[1:], float) for line in path.read_text().splitlines()}


def centre(numbers):
    w, *xyz = numbers[:4]
    return pycolmap.Rigid3d(pycolmap.Rotation3d([*xyz, w]), numbers[4:]).inverse().translation


@pytest.mark.slow
def test_poses_are_written_and_what_is_not_placed_is_named(small_map, queries, capsys):
    cameras = queries.parent / "cameras.txt"
    cameras.write_text(f"# a comment\nday/{QUERY} {CAMERA_LINE}\n")
    outputs = ["--output", "found.txt", "--write-model", "with_queries", "--pictures", "drawn"]
    code = localize(small_map, "queries", "--query-cameras", "cameras.txt", *outputs)
    out, err = capsys.readouterr()
    assert code == 1
    assert "1 of 3 queries placed" in out
    assert "not placed: broken.png: " in err
    assert "not placed: elsewhere.png: few " in err
    assert "not in cameras.txt" in err
    found = lines(queries.parent / "found.txt")
    assert list(found) == [f"day/{QUERY}"]
    np.testing.assert_allclose(centre(found[f"day/{QUERY}"]), (centre_x(LEFT_OUT), 0, 0), atol=0.01)

    model, before = (pycolmap.Reconstruction(each) for each in (queries.parent / "with_queries" / "0", small_map.model))
    [image] = [image for image in model.images.values() if image.name == f"day/{QUERY}"]
    assert image.num_points3D >= 20
    assert model.num_points3D() == before.num_points3D()
    assert model.num_reg_images() == before.num_reg_images() + 1
    np.testing.assert_allclose(image.projection_center(), (centre_x(LEFT_OUT), 0, 0), atol=0.01)
    assert image.camera.params.tolist() == camera().params.tolist()
    drawn = load_photograph(queries.parent / "drawn" / "day" / f"{QUERY}.png")
    assert drawn.shape == (SIZE[1], 2 * SIZE[0] + 8, 3)


@pytest.mark.slow
def test_json_tells_all_of_a_pose(small_map, queries, capsys):
    code = localize(small_map, "queries", "--json", "--no-refine", "--base-names", "--num-candidates", "2")
    result = json.loads(capsys.readouterr().out)["results"]["localize"]
    assert code == 1
    assert list(result["poses"]) == [f"day/{QUERY}"]
    [pose] = result["poses"].values()
    assert len(pose["candidates"]) == 2
    assert np.shape(pose["covariance"]) == (6, 6)
    assert pose["inliers"] >= 20
    np.testing.assert_allclose(pose["centre"], (centre_x(LEFT_OUT), 0, 0), atol=0.2)
    assert sorted(result["not_placed"]) == ["broken.png", "elsewhere.png"]
    assert list(lines(queries.parent / "poses.txt")) == [QUERY]


@pytest.mark.slow
def test_files_and_lists_name_queries(small_map, queries, capsys):
    assert localize(small_map, queries / "day" / QUERY, "--no-refine") == 0
    assert list(lines(queries.parent / "poses.txt")) == [QUERY]
    (queries.parent / "list.txt").write_text(f"day/{QUERY} {CAMERA_LINE}\n")
    of_list = ["list.txt", "--query-folder", "queries", "--query-cameras", "list.txt", "--no-refine"]
    assert localize(small_map, *of_list) == 0
    assert list(lines(queries.parent / "poses.txt")) == [f"day/{QUERY}"]


@pytest.mark.slow
def test_where_names_of_a_list_were_looked_for_is_said(small_map, queries, capsys):
    (queries.parent / "list.txt").write_text(f"day/{QUERY} {CAMERA_LINE}\n")
    assert localize(small_map, "list.txt", "--no-refine") == 1
    expected = f"not placed: day/{QUERY}: no file ./day/{QUERY}: names are relative to --query-folder (default: the fol"
    assert expected in capsys.readouterr().err
    assert localize(small_map, queries / "day" / QUERY, "--query-cameras", "list.txt") == 2
    assert f"1 query ({QUERY}), it has day/{QUERY}: names are relative to" in capsys.readouterr().err


@pytest.mark.slow
def test_the_database_of_a_run_is_found_beside_its_model(small_map, queries, capsys):
    model = queries.parent / "out" / "sparse" / "0"
    shutil.copytree(small_map.model, model)
    given = ["localize", str(queries / "day" / QUERY), "--model", str(model), "--no-refine"]
    assert main(given) == 2
    assert "no database db.db" in capsys.readouterr().err
    shutil.copy(small_map.database, queries.parent / "out" / "db.db")
    assert main(given) == 0


@pytest.mark.slow
def test_pairs_choose_candidates(small_map, queries, capsys):
    (queries.parent / "pairs.txt").write_text(f"day/{QUERY} 4.png\nday/{QUERY} 3.png\nelsewhere.png 0.png\n")
    assert localize(small_map, "queries", "--pairs", "pairs.txt", "--no-refine", "--json", "--min-inliers", "10") == 1
    result = json.loads(capsys.readouterr().out)["results"]["localize"]
    assert result["poses"][f"day/{QUERY}"]["candidates"] == ["4.png", "3.png"]
    (queries.parent / "pairs.txt").write_text(f"day/{QUERY} nine.png\n")
    assert localize(small_map, "queries", "--pairs", "pairs.txt") == 2
    assert "pairs.txt, line 1: no image 'nine.png'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_stopped_run_goes_on(small_map, queries, monkeypatch, capsys):
    """What is done is not done again, and the end is that of an unbroken run."""
    shutil.copy(queries / "day" / QUERY, queries / "again.png")
    assert localize(small_map, "queries", "--no-refine") == 1
    whole, asked = (queries.parent / "poses.txt").read_bytes(), []
    (queries.parent / "poses.txt").unlink()
    place = Localizer.localize

    def stopped(self, path, *given, **more):
        asked.append(path.name)
        if path.name == QUERY:
            raise KeyboardInterrupt
        return place(self, path, *given, **more)

    monkeypatch.setattr(driver.Localizer, "localize", stopped)
    assert localize(small_map, "queries", "--no-refine") == 130
    assert not (queries.parent / "poses.txt").exists()
    journal = queries.parent / ".poses.txt.journal"
    journal.write_bytes(journal.read_bytes() + b'["torn')  # as a power cut may leave it
    monkeypatch.setattr(driver.Localizer, "localize", lambda self, *given, **more: place(self, *given, **more))
    asked.clear()
    monkeypatch.setattr(driver._Run, "place", _noting(driver._Run.place, asked))
    assert localize(small_map, "queries", "--no-refine", "--device", "cpu") == 1  # which changes no result
    assert asked == [f"day/{QUERY}", "elsewhere.png"]
    assert "continuing a stopped run: 2 queries done" in capsys.readouterr().err
    assert (queries.parent / "poses.txt").read_bytes() == whole
    assert not journal.exists()


def _noting(place, asked):
    def noting(self, name):
        asked.append(name)
        return place(self, name)

    return noting


@pytest.fixture
def seen(small_map, monkeypatch):
    """Queries that were placed: none of them is, but each has a match with 0.png. A KeyboardInterrupt stops at one."""
    asked, nowhere = [], np.zeros((1, 2))
    few = NotPlaced(reason=Reason.FEW_INLIERS, view=View("0.png", nowhere, nowhere, np.ones(1, bool)))

    def place(self, name):
        asked.append(name)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return few

    monkeypatch.setattr(driver._Run, "place", place)
    return asked


def test_a_picture_that_can_not_be_drawn_stops_nothing(small_map, queries, seen, capsys):
    shutil.copytree(small_map.folder / "photographs", "photographs")
    damaged = Path("photographs/0.png")
    damaged.write_bytes(damaged.read_bytes()[:3000])
    given = [queries / "day" / QUERY, "--images", "photographs", "--no-refine", "--pictures", "drawn"]
    assert localize(small_map, *given) == 1
    out, err = capsys.readouterr()
    assert "localize: 0 of 1 query placed" in out
    assert f"warning: no picture of {QUERY}: photographs/0.png: is damaged or cut short" in err


@pytest.mark.parametrize(
    ("arguments", "left"), [([], ["elsewhere.png"]), (["--pictures", "drawn"], ["broken.png", "elsewhere.png"])]
)
def test_a_stopped_run_goes_on_with_the_pictures_that_are_missing(small_map, queries, seen, arguments, left):
    """And keeps its results where no more are asked for."""
    assert localize(small_map, "queries", "--no-refine", "--pictures", "drawn") == 130
    assert seen == ["broken.png", f"day/{QUERY}", "elsewhere.png"]
    drawn = [path.relative_to("drawn").as_posix() for path in Path("drawn").rglob("*.png")]
    assert drawn == [f"day/{QUERY}.png"]
    assert localize(small_map, "queries", "--no-refine", *arguments) == 1
    assert seen[3:] == left


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["empty"], "holds no photographs"),
        (["missing"], "no such query"),
        (["queries", "--output", "nowhere/poses.txt"], "no folder nowhere"),
        (
            ["queries", "--query-cameras", "bad.txt"],
            "bad.txt, line 1 (comments not counted): expected name, camera model",
        ),
        (
            ["queries", "--query-cameras", "others.txt"],
            "no camera for any of the 3 queries (broken.png the first), it has night.png: names",
        ),
        (["numbered"], "#1.png: a line of poses that begins with # is a comment: rename the photograph"),
        ([".", "--base-names"], "#1.png: a line of poses that begins with # is a comment"),
        (["queries", "--query-folder", "queries"], "goes with files and lists"),
        (["queries", "--precision", "float16"], "float16"),
        (["queries", "--max-error", "0"], "max_error must be above 0"),
        (["queries", "--refined-error", "-1"], "refined_error must be above 0"),
        (["queries", "--seed", "-1"], "seed must be between 0"),
        (["queries", "--masks", "nowhere"], "no folder of masks nowhere"),
        (["queries", "--camera-mask", "nowhere.png"], "nowhere.png"),
        (["queries", "--weights", "nowhere.pth"], "nowhere.pth"),
        (["queries", "--mirror", "https://example.org", "--weights", "d2_ots"], "mirror goes with weights"),
        (["queries", "--device", "abacus"], "device must be"),
        (["queries", "--images", "nowhere"], "no folder of the map's photographs nowhere"),
        (["queries", "--no-refine", "--pictures", "drawn", "--images", "nowhere"], "which --pictures needs"),
        (["queries", "--cache-limit", "-1"], "cache_limit must be 0 or more"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(small_map, queries, capsys, arguments, expected):
    (queries.parent / "empty").mkdir()
    (queries.parent / "numbered").mkdir()
    (queries.parent / "numbered" / "#1.png").touch()
    (queries.parent / "bad.txt").write_text("day/a.png PINHOLE 320 240 280\n")
    (queries.parent / "others.txt").write_text(f"night.png {CAMERA_LINE}\nevening.png {CAMERA_LINE}\n")
    assert localize(small_map, *arguments, "--quiet") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert expected in line
    assert not list(queries.parent.glob("*.txt.journal"))


def test_the_map_is_not_replaced_by_the_model_with_queries(small_map, queries, capsys):
    """Nor its neighbours, which a run of reconstruct may have made with it."""
    for number in "01":
        shutil.copytree(small_map.model, queries.parent / "sparse" / number)
    there = sorted(path.name for path in (queries.parent / "sparse").rglob("*"))
    given = ["localize", "queries", "--database", str(small_map.database), "--model", "sparse/0", "--no-refine"]
    assert main([*given, "--write-model", "sparse", "--quiet"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("sparse holds sparse/0, which this run would replace: give another --write-model")
    assert sorted(path.name for path in (queries.parent / "sparse").rglob("*")) == there
    (queries.parent / "sparse/1/notes.txt").write_text("mine")
    given[given.index("sparse/0")] = str(small_map.model)
    assert main([*given, "--write-model", "sparse", "--quiet"]) == 2
    assert "notes.txt, which is not part of a model: give another --write-model" in capsys.readouterr().err


def test_a_pair_with_a_photograph_that_has_no_point_is_left_out(small_map, tmp_path, caplog):
    """Retrieval pairs queries with all photographs of a folder, of which the model may lack some."""
    model = pycolmap.Reconstruction(small_map.model)
    model.deregister_frame(model.find_image_with_name("0.png").frame_id)
    (tmp_path / "pairs.txt").write_text("a.png 0.png\na.png 1.png\n")
    loaded = LoadedMap(small_map.database, model)
    assert driver._candidates(tmp_path / "pairs.txt", ["a.png"], loaded) == {"a.png": ["1.png"]}
    assert "left out, as the map has no points of them: 1 image (0.png)" in caplog.text


def test_a_result_is_of_the_size_of_a_camera_and_of_a_mask(tmp_path):
    """With another one than in the stopped run, a query is placed again."""
    photograph, mask = tmp_path / "a.png", tmp_path / "a.png.png"
    photograph.touch()
    wide = camera()
    wide.width += 1
    found = [driver._key("a.png", (photograph, None), each) for each in (None, camera(), wide)]
    mask.touch()
    found.append(driver._key("a.png", (photograph, mask), None))
    assert len(set(found)) == 4


@pytest.mark.slow
def test_feature_maps_are_kept_in_a_folder(small_map, queries):
    assert localize(small_map, queries / "day" / QUERY, "--cache", "maps", "--cache-limit", "1", "--verbose") == 0
    assert list((queries.parent / "maps").iterdir())


@pytest.mark.slow
def test_a_model_of_unknown_cameras_takes_queries_too(small_map, queries):
    """From photographs to a model, to a query in it; the truth is compared up to the model's similarity."""
    output = queries.parent / "out"
    photographs = small_map.folder / "photographs"
    assert main(["run", str(photographs), "--output", str(output), "--quiet"]) == 0
    given = ["localize", "--database", output / "db.db", "--model", output / "sparse" / "0", queries / "day" / QUERY]
    assert main([*map(str, given), "--write-model", "with_query"]) == 0
    model = pycolmap.Reconstruction("with_query/0")
    centres = {image.name: image.projection_center() for image in model.images.values()}
    along = centres["4.png"] - centres["0.png"]
    place = (centres[QUERY] - centres["0.png"]) @ along / (along @ along)
    assert place == pytest.approx(0.5, abs=0.02)
