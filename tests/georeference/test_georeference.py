"""Models at their place, against the truth: by GPS of all kinds, control points and lengths; and what is refused."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from support.placed_model import (
    CAMERAS,
    CENTRES,
    GIVEN,
    POINTS,
    SCALE,
    geographic,
    off_truth,
    write_clicks,
    write_csv,
    write_given,
    write_positions,
    write_priors,
)
from support.synthetic_model import synthetic_rig

from d2sfm.colmap import read_model
from d2sfm.georeference.frames import Local
from d2sfm.georeference.georeference import georeference_model
from d2sfm.options import GeoreferenceOptions


@pytest.fixture
def given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_given(tmp_path / "given")


def transform(output="out"):
    return json.loads(Path(output, "georeference.json").read_text())


def local_frame():
    frame = transform()["frame"]
    return Local(frame["latitude"], frame["longitude"])


def noisy(sigma_m, seed=0):
    rng = np.random.default_rng(seed)
    return {name: centre + rng.normal(0, sigma_m, 3) for name, centre in CENTRES.items()}


def by_positions(given, tmp_path, positions=None, **options):
    table = write_positions(tmp_path / "p.csv", positions)
    return georeference_model(given, "out", positions=table, options=GeoreferenceOptions(**options))


def test_positions_of_a_database(given, tmp_path):
    result = georeference_model(given, "out", database=write_priors(tmp_path / "gps.db"))
    assert len(result.residuals_m) == len(CAMERAS)
    assert result.largest_m < 1e-3
    assert result.scale == pytest.approx(1 / SCALE)
    metres, degrees = off_truth("out", found=local_frame())
    assert metres < 1e-3
    assert degrees < 0.01


def test_the_default_database_and_none(given, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"db\.db"):
        georeference_model(given, "out")
    write_priors(tmp_path / "db.db")
    assert georeference_model(given, "out").largest_m < 1e-3
    with_up = georeference_model(given, "out", options=GeoreferenceOptions(up=True))
    assert (with_up.source, len(with_up.residuals_m)) == ("db.db", len(CAMERAS))


def test_the_database_of_a_run_is_found_by_its_model(given, tmp_path):
    (tmp_path / "photos-model" / "sparse").mkdir(parents=True)
    given.rename(tmp_path / "photos-model" / "sparse" / "0")
    write_priors(tmp_path / "photos-model" / "db.db")
    for options in (GeoreferenceOptions(), GeoreferenceOptions(up=True)):
        assert len(georeference_model("photos-model/sparse/0", "out", options=options).residuals_m) == len(CAMERAS)


@pytest.mark.parametrize("frame", [{"utm": True, "up": True}, {"epsg": 32615, "nadir": True}])
def test_a_frame_of_the_world_needs_positions(given, frame):
    with pytest.raises(RuntimeError, match="--utm and --epsg need positions in the world, and there are none"):
        georeference_model(given, "out", options=GeoreferenceOptions(**frame))
    assert not Path("out").exists()


def test_one_photograph_that_is_moved_by_500_m_changes_nothing(given, tmp_path):
    by_positions(given, tmp_path, noisy(0.1))
    before = transform()["model_from_given"]
    moved = noisy(0.1)
    moved["view_04.png"] += [300, -400, 0]
    result = by_positions(given, tmp_path, moved)
    assert list(result.left_out_m) == ["view_04.png"]
    assert result.left_out_m["view_04.png"] == pytest.approx(500, abs=2)
    after = transform()["model_from_given"]
    assert after["scale"] == pytest.approx(before["scale"], rel=0.01)
    turn = (
        pycolmap.Rotation3d(np.array(after["rotation"])) * pycolmap.Rotation3d(np.array(before["rotation"])).inverse()
    )
    assert np.degrees(turn.angle()) < 0.5
    assert off_truth("out", found=local_frame())[0] < 0.5


def test_noise_of_10_m_is_told_and_control_points_or_a_length_mend_it(given, tmp_path, caplog):
    by_positions(given, tmp_path, noisy(10), max_error_m=40)
    assert "positions tell the scale to" in caplog.text
    scale = transform()["model_from_given"]["scale"] * SCALE
    assert abs(scale - 1) > 0.02
    clicks, noise = write_clicks(tmp_path / "c.csv"), write_positions(tmp_path / "p.csv", noisy(10))
    result = georeference_model(given, "out", control_points=clicks, positions=noise)
    assert off_truth("out", found=local_frame())[0] < 1e-3
    assert set(result.residuals_m) == {f"P{index}" for index in range(5)}
    bars = [("P0", "P1", float(np.linalg.norm(POINTS[0] - POINTS[1])))]
    no_world = tmp_path / "clicks.csv"
    no_world.write_text("\n".join(",".join(line.split(",")[:4]) for line in clicks.read_text().splitlines()))
    options = GeoreferenceOptions(max_error_m=40)
    caplog.clear()
    sources = {"control_points": no_world, "positions": noise, "scale_bars": bars}
    result = georeference_model(given, "out", **sources, options=options)
    assert result.scale * SCALE == pytest.approx(1, abs=1e-6)
    assert list(result.scale_bars_m) == ["P0 - P1"]
    assert "tell the scale" not in caplog.text


def test_a_length_alone_changes_the_scale_alone(given, tmp_path):
    length = float(np.linalg.norm(POINTS[0] - POINTS[1]))
    result = georeference_model(
        given, "out", control_points=_without_world(tmp_path), scale_bars=[("P0", "P1", length)]
    )
    assert result.frame == "metres, turned as it was"
    assert result.scale == pytest.approx(1 / SCALE)
    assert transform()["model_from_given"]["rotation"] == np.eye(3).tolist()


def _without_world(tmp_path):
    rows = [line.split(",")[:4] for line in write_clicks(tmp_path / "c.csv").read_text().splitlines()]
    return write_csv(tmp_path / "clicks.csv", ",".join(rows[0]), rows[1:])


def test_up_alone_makes_a_model_upright(given):
    result = georeference_model(given, "out", options=GeoreferenceOptions(up=True))
    model = read_model(result.output)
    down = np.mean([model.images[i].cam_from_world().rotation.matrix()[1] for i in model.reg_image_ids()], axis=0)
    assert down / np.linalg.norm(down) == pytest.approx([0, 0, -1], abs=1e-9)
    assert result.scale == 1
    assert result.frame == "units of its own, z up"


def test_utm_and_codes_keep_large_numbers_apart(given, tmp_path):
    pyproj = pytest.importorskip("pyproj")
    for options, code in (({"utm": True}, 32615), ({"epsg": 26915}, 26915)):
        result = by_positions(given, tmp_path, **options)
        assert result.epsg == code
        found = read_model(result.output)
        centres = {image.name: image.projection_center() + result.offset for image in found.images.values()}
        transformer = pyproj.Transformer.from_crs(4979, code, always_xy=True)
        for name, (latitude, longitude, altitude) in geographic(CENTRES).items():
            there = transformer.transform(longitude, latitude, altitude)
            assert centres[name] == pytest.approx(np.array(there), abs=0.02)  # a UTM metre is not one on the ground
            assert np.abs(centres[name] - result.offset).max() < 10_000


def test_x_y_z_of_any_frame_and_of_a_code(given, tmp_path):
    far = {name: centre + np.array([570_000, 5_190_000, 0]) for name, centre in CENTRES.items()}
    table = write_csv(tmp_path / "p.csv", "name,x,y,z", [(name, *map(float, place)) for name, place in far.items()])
    result = georeference_model(given, "out", positions=table)
    assert result.offset == (570_000, 5_190_000, 0)
    assert off_truth("out")[0] < 1e-6
    assert not (tmp_path / "out" / "cameras.geojson").exists()  # where it is on Earth, nobody said
    pytest.importorskip("pyproj")
    georeference_model(given, "out", positions=table, options=GeoreferenceOptions(epsg=32615))
    assert off_truth("out")[0] < 1e-6
    assert (tmp_path / "out" / "cameras.geojson").exists()


def test_maps_have_all_cameras_also_those_without_a_position(given, tmp_path):
    some = {name: centre for name, centre in CENTRES.items() if name != "view_00.png"}
    assert by_positions(given, tmp_path, some).without_position == 1
    features = json.loads((tmp_path / "out" / "cameras.geojson").read_text())["features"]
    places = geographic(CENTRES)
    assert [each["properties"]["name"] for each in features] == sorted(places)
    for feature in features:
        latitude, longitude, altitude = places[feature["properties"]["name"]]
        assert feature["geometry"]["coordinates"] == pytest.approx([longitude, latitude, altitude], abs=2e-3)
    root = ElementTree.parse(tmp_path / "out" / "cameras.kml").getroot()
    marks = root.findall(".//{*}Placemark")
    assert [mark.find("{*}name").text for mark in marks] == sorted(places)
    assert marks[0].find(".//{*}coordinates").text == ",".join(map(repr, features[0]["geometry"]["coordinates"]))


def test_a_camera_beyond_what_the_frame_covers_is_not_on_the_maps(given, tmp_path, caplog):
    model = pycolmap.Reconstruction(given)
    lost = model.images[model.reg_image_ids()[0]]
    turn = lost.cam_from_world().rotation
    model.frame(lost.frame_id).rig_from_world = pycolmap.Rigid3d(turn, np.full(3, 1e9))
    model.write(given)
    by_positions(given, tmp_path, utm=True)
    features = json.loads(Path("out/cameras.geojson").read_text())["features"]
    assert {each["properties"]["name"] for each in features} == set(CENTRES) - {lost.name}
    assert (
        f"not on the maps, as they lie outside of EPSG:32615 (WGS 84 / UTM zone 15N): 1 image ({lost.name})"
        in caplog.text
    )


@pytest.mark.parametrize("cloud", ["las", "laz"])
def test_the_cloud_has_world_coordinates_colours_and_its_frame(given, tmp_path, cloud):
    laspy = pytest.importorskip("laspy")
    pytest.importorskip("lazrs")
    result = by_positions(given, tmp_path, utm=True, cloud=cloud)
    las = laspy.read(tmp_path / "out" / f"points.{cloud}")
    model = read_model(result.output)
    expected = np.array([point.xyz for point in model.points3D.values()]) + result.offset
    assert las.xyz == pytest.approx(expected, abs=0.0006)
    assert (np.array(las.red) // 257).tolist() == [point.color[0] for point in model.points3D.values()]
    assert las.header.parse_crs().to_epsg() == 32615


def test_a_point_that_is_no_number_is_left_out_of_the_cloud(given, tmp_path, caplog):
    laspy = pytest.importorskip("laspy")
    model = pycolmap.Reconstruction(given)
    next(iter(model.points3D.values())).xyz = np.full(3, np.nan)
    model.write_binary(given)
    by_positions(given, tmp_path, cloud="las")
    assert len(laspy.read(tmp_path / "out" / "points.las").xyz) == len(POINTS) - 1
    assert "not in points.las, as no numbers or beyond 2000 km: 1 point" in caplog.text


def test_a_second_run_takes_the_place_of_the_first_and_of_nothing_else(given, tmp_path):
    by_positions(given, tmp_path, cloud="none")
    first = {path.name for path in (tmp_path / "out").iterdir()}
    georeference_model(given, "out", options=GeoreferenceOptions(up=True))
    assert first - {path.name for path in (tmp_path / "out").iterdir()} == {"cameras.geojson", "cameras.kml"}
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(ValueError, match=r"out holds mine.txt, which d2sfm georeference did not write"):
        by_positions(given, tmp_path)
    with pytest.raises(ValueError, match="is the input model"):
        georeference_model(given, given, options=GeoreferenceOptions(up=True))


def test_a_model_that_is_not_georeferenced_is_not_replaced(given, tmp_path):
    other = write_given(tmp_path / "other")
    before = {path.name: path.read_bytes() for path in other.iterdir()}
    with pytest.raises(ValueError, match=r"other holds cameras.bin, which d2sfm georeference did not write"):
        georeference_model(given, other, options=GeoreferenceOptions(up=True))
    assert {path.name: path.read_bytes() for path in other.iterdir()} == before


def test_rigs_keep_their_images_together(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    truth = synthetic_rig(tmp_path / "rig.db")
    centres = {image.name: image.projection_center() for image in truth.images.values()}
    (tmp_path / "given").mkdir()
    truth.transform(GIVEN)
    truth.write_binary(tmp_path / "given")
    table = write_csv(tmp_path / "p.csv", "name,x,y,z", [(name, *map(float, each)) for name, each in centres.items()])
    georeference_model("given", "out", positions=table)
    for image in read_model(tmp_path / "out").images.values():
        assert image.projection_center() == pytest.approx(centres[image.name], abs=1e-6)


def test_positions_without_altitude_are_taken_for_level(given, tmp_path, caplog):
    rows = [(name, *map(float, place[:2])) for name, place in geographic(CENTRES).items()]
    table = write_csv(tmp_path / "p.csv", "name,latitude,longitude", rows)
    result = georeference_model(given, "out", positions=table)
    assert "no altitude, taken to be 0 m: 10 positions (view_00.png the first)" in caplog.text
    assert result.scale * SCALE == pytest.approx(1, rel=0.02)


def test_positions_outside_of_a_projection_are_left_out(given, tmp_path, caplog):
    pytest.importorskip("pyproj")
    rows = [(name, *map(float, place)) for name, place in geographic(CENTRES).items()]
    rows[3] = (rows[3][0], 0.0, -3.0, 10.0)  # a quarter of the Earth away from the zone's meridian
    table = write_csv(tmp_path / "p.csv", "name,latitude,longitude,altitude", rows)
    result = georeference_model(given, "out", positions=table, options=GeoreferenceOptions(utm=True))
    assert f": 1 position ({rows[3][0]})" in caplog.text.partition("left out, as they lie outside of ")[2]
    assert len(result.residuals_m) == len(CENTRES) - 1
