"""Positions that can't be, or say little: one clear line."""

import errno
import logging
import re

import numpy as np
import pycolmap
import pytest
from support.placed_model import CENTRES, geographic, write_clicks, write_csv, write_given, write_positions

from d2sfm.georeference.alignment import align
from d2sfm.georeference.checks import Located, check_found
from d2sfm.georeference.down import Down
from d2sfm.georeference.frames import Local, Metric
from d2sfm.georeference.georeference import georeference_model
from d2sfm.georeference.positions import Positions
from d2sfm.options import GeoreferenceOptions

TO_EUROPE = np.array([0, 112.0, 0])  # degrees; exchanged ones are of no place there


@pytest.fixture
def given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_given(tmp_path / "given")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (lambda places: {}, "has no position"),
        (lambda places: dict(list(places.items())[:1]), "has 1 position of images of the model, expected 3 or more"),
        (lambda places: dict.fromkeys(places, next(iter(places.values()))), "all 10 positions are equal"),
        (lambda places: {name: place + TO_EUROPE for name, place in places.items()}, None),
        (
            lambda places: {name: (place + TO_EUROPE)[[1, 0, 2]] for name, place in places.items()},
            "latitude and longitude look exchanged: swapped, the positions fit better",
        ),
        (lambda places: {name: place[[1, 0, 2]] for name, place in places.items()}, "look exchanged"),
        (
            lambda places: dict(zip(places, np.random.default_rng(0).normal(46, 1e-3, (10, 3)), strict=True)),
            "no three of 10 positions agree within 1e-06 m: give a larger --max-error-m",
        ),
    ],
)
def test_positions_that_say_nothing_are_one_line(given, tmp_path, rows, message):
    rows = [(name, *map(float, place)) for name, place in rows(geographic(CENTRES)).items()]
    table = write_csv(tmp_path / "p.csv", "name,latitude,longitude,altitude", rows)
    options = GeoreferenceOptions(max_error_m=1e-6 if message and "agree" in message else 10)
    if message is None:
        assert len(georeference_model(given, "out", positions=table).residuals_m) == 10
        return
    with pytest.raises((RuntimeError, ValueError), match=message):
        georeference_model(given, "out", positions=table, options=options)
    assert not (tmp_path / "out").exists()


EXCHANGED = "x and y (east and north) look exchanged: "


def test_exchanged_x_and_y_are_refused_by_the_fit_where_heights_differ(given, tmp_path):
    rows = [(name, *map(float, place[[1, 0, 2]])) for name, place in CENTRES.items()]
    table = write_csv(tmp_path / "p.csv", "name,x,y,z", rows)
    with pytest.raises(RuntimeError, match=re.escape(f"{EXCHANGED}swapped, the positions fit better")):
        georeference_model(given, "out", positions=table)


@pytest.mark.parametrize("header", ["name,x,y,z", "name,latitude,longitude,altitude"])
def test_exchanged_positions_of_one_height_are_refused_by_the_cameras(given, tmp_path, header):
    places = np.array(list(CENTRES.values())) * [1, 1, 0]
    is_metric = header.endswith("z")
    right = places if is_metric else Local(9.05, 7.5).to_geographic(places)  # where degrees are of about one length
    for order in ([0, 1, 2], [1, 0, 2]):
        rows = [(name, *map(float, place)) for name, place in zip(CENTRES, right[:, order], strict=True)]
        table = write_csv(tmp_path / "p.csv", header, rows)
        if order[0] == 0:
            assert len(georeference_model(given, "out", positions=table).residuals_m) == len(CENTRES)
            continue
        which = EXCHANGED if is_metric else "latitude and longitude look exchanged: "
        with pytest.raises(RuntimeError, match=re.escape(f"{which}cameras look upwards or are upside down")):
            georeference_model(given, "again", positions=table)


@pytest.mark.parametrize("order", [[1, 0, 2], [0, 1, 2]])
def test_degrees_in_columns_of_metres_are_told(given, tmp_path, order):
    rows = [(name, *map(float, place[order])) for name, place in geographic(CENTRES).items()]
    table = write_csv(tmp_path / "p.csv", "name,x,y,z", rows)
    with pytest.raises(RuntimeError, match="x and y look like degrees, which fit better: call the columns l"):
        georeference_model(given, "out", positions=table)


@pytest.mark.parametrize("noise_m", [0.0, 0.001, 0.01])
@pytest.mark.parametrize("flatness", [0, 1])
def test_a_scene_on_a_table_is_in_metres(given, tmp_path, noise_m, flatness):
    places = np.array(list(CENTRES.values())) * [1, 1, flatness] / 400  # within a decimetre
    places += np.random.default_rng(4).normal(0, noise_m, places.shape)
    rows = [(name, *map(float, place)) for name, place in zip(CENTRES, places, strict=True)]
    table = write_csv(tmp_path / "p.csv", "name,x,y,z", rows)
    assert len(georeference_model(given, "out", positions=table).residuals_m) == len(CENTRES)


def flat(count=12, noise_m=0.3):
    """Points of a model that is as large as the world and upright, with positions of about one height."""
    rng = np.random.default_rng(2)
    points = rng.uniform(-40, 40, (count, 3)) * [1, 1, 0]
    return points, points + rng.normal(0, noise_m, points.shape)


@pytest.mark.parametrize(
    ("down", "view", "is_told"),
    [
        ((0, 0.05, 0), (0, 0, -0.99), True),  # a flight that looks down
        ((0, 0.3, -0.8), (0, 0.8, -0.3), True),  # held upright
        ((0, 0.5, -0.5), (0, 0.4, 0.8), True),  # held upright, towards a ceiling
        ((0, 0.05, 0), (0, 0.9, 0.1), False),  # nothing tells
    ],
)
def test_cameras_tell_exchanged_positions_of_one_height(down, view, is_told):
    points, world = flat()
    length = float(np.linalg.norm(down))
    of_cameras = Down(np.array(down) / length, length, np.array(view, float))

    def check(world):
        names = [f"{index}.jpg" for index in range(len(points))]
        positions = Positions(dict(zip(names, world, strict=True)), False, "p.csv")
        located = Located(names, points, world, world, positions, Metric(), np.zeros(3))

        def aligned_with(there):
            return align(points, there, 10.0, 0, down=of_cameras)

        check_found(aligned_with(world), aligned_with, located, of_cameras, 10.0)

    check(world)
    if is_told:
        with pytest.raises(RuntimeError, match="look exchanged: cameras"):
            check(world[:, [1, 0, 2]])
    else:
        check(world[:, [1, 0, 2]])


def test_too_few_control_points_are_called_points(given, tmp_path):
    table = write_clicks(tmp_path / "gcp.csv", count=2)
    told = "gcp.csv has 2 positions of points that photographs of the model agree on, expected 3 or more"
    with pytest.raises(RuntimeError, match=told):
        georeference_model(given, "out", control_points=table)


def test_some_exchanged_positions_are_named(given, tmp_path, caplog):
    places = {name: place + TO_EUROPE for name, place in geographic(CENTRES).items()}
    for name in ("view_01.png", "view_05.png"):
        places[name] = places[name][[1, 0, 2]]
    table = write_csv(
        tmp_path / "p.csv", "name,lat,lon,alt", [(name, *map(float, each)) for name, each in places.items()]
    )
    result = georeference_model(given, "out", positions=table)
    assert set(result.left_out_m) == {"view_01.png", "view_05.png"}
    assert "km off: 2 positions (view_01.png the first)" in caplog.text
    assert "latitude and longitude look exchanged, " in caplog.text


def test_a_frame_whose_metres_are_not_those_of_the_ground_is_told(given, tmp_path, caplog):
    pytest.importorskip("pyproj")
    table = write_positions(tmp_path / "p.csv")
    georeference_model(given, "out", positions=table, options=GeoreferenceOptions(epsg=3857))
    assert "a metre on the ground is 1.4" in caplog.text


def test_no_gps_at_all(given, tmp_path, caplog):
    with pycolmap.Database.open(tmp_path / "db.db"):
        pass
    with pytest.raises(RuntimeError, match=r"db.db has no position of any image of the model: give --positions or"):
        georeference_model(given, "out", database="db.db")
    with caplog.at_level(logging.INFO):
        assert georeference_model(given, "out", database="db.db", options=GeoreferenceOptions(up=True)).source is None
    assert "no positions in db.db" in caplog.text


def test_a_full_disk_leaves_what_was_there(given, tmp_path, monkeypatch):
    table = write_positions(tmp_path / "p.csv")
    georeference_model(given, "out", positions=table)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("d2sfm.georeference.output.write_maps", full)
    with pytest.raises(OSError, match=r"out.* can't be written: No space left on device"):
        georeference_model(given, "out", positions=table, options=GeoreferenceOptions(up=True))
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_poses_that_are_no_numbers_are_none(given, tmp_path):
    model = pycolmap.Reconstruction(given)
    model.images[4].frame.rig_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.full(3, np.nan))
    model.write_binary(given)
    result = georeference_model(given, "out", positions=write_positions(tmp_path / "p.csv"))
    assert len(result.residuals_m) == len(CENTRES) - 1
