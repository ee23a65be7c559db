"""Positions that can't be, or say little: one clear line."""

import errno
import logging

import numpy as np
import pycolmap
import pytest
from support.placed_model import CENTRES, geographic, write_clicks, write_csv, write_given, write_positions

from d2sfm.georeference.georeference import georeference_model
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
