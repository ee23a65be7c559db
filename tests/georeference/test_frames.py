"""Frames: there and back, their codes, and what is kept apart."""

import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2sfm.georeference.checks import warn_of_frame
from d2sfm.georeference.frames import Local, Metric, Projected, chosen_frame, ground_scale, middle, offset_of, utm_zone
from d2sfm.options import GeoreferenceOptions

latitudes, longitudes = st.floats(-79, 83), st.floats(-179.9, 179.9)
small = st.floats(-0.02, 0.02)


def near(latitude, longitude, north, east, altitude):
    return np.array([[latitude + north, longitude + east, altitude], [latitude, longitude, 0.0]])


@given(latitudes, longitudes, small, small, st.floats(-400, 8800))
def test_local_there_and_back(latitude, longitude, north, east, altitude):
    places, frame = near(latitude, longitude, north, east, altitude), Local(latitude, longitude)
    there = frame.from_geographic(places)
    assert frame.to_geographic(there) == pytest.approx(places, abs=1e-8)
    assert there[1] == pytest.approx(np.zeros(3), abs=1e-6)
    if abs(north) > 1e-4:
        assert np.sign(there[0, 1]) == np.sign(north)


@settings(max_examples=12)  # pyproj takes a while for each zone
@given(latitudes, longitudes, small, small, st.floats(-400, 8800))
def test_utm_there_and_back(latitude, longitude, north, east, altitude):
    pytest.importorskip("pyproj")
    places = near(latitude, longitude, north, east, altitude)
    frame = chosen_frame(GeoreferenceOptions(utm=True), places, True)
    there = frame.from_geographic(places)
    assert frame.to_geographic(there) == pytest.approx(places, abs=1e-7)
    assert there[:, 2] == pytest.approx(places[:, 2])
    assert (np.abs(there[:, 0] - 500_000) < 500_000).all()
    assert ground_scale(frame, places) == pytest.approx(1, abs=0.0015)


@given(st.floats(-180, 179.99))
def test_zones_are_six_degrees_wide(longitude):
    assert abs(6 * utm_zone(longitude) - 183 - longitude) <= 3.0000001


def test_utm_is_as_colmap_has_it():
    pycolmap = pytest.importorskip("pycolmap")
    for place in ([55.7, 13.19, 10.0], [-33.9, 18.4, 0.0]):
        frame = chosen_frame(GeoreferenceOptions(utm=True), np.array([place]), True)
        theirs, zone = pycolmap.GPSTransform(pycolmap.GPSTransformEllipsoid.WGS84).ellipsoid_to_utm([place])
        assert frame.epsg % 100 == zone
        assert frame.from_geographic(np.array([place])) == pytest.approx(theirs, abs=0.01)


@given(st.integers(-9, 9).map(lambda step: 1e6 * step), st.floats(-400, 400))
def test_what_is_kept_apart_leaves_small_numbers(far, near_by):
    there = np.array([[far + near_by, near_by, 183.0]] * 3)
    offset = offset_of(there)
    assert (np.abs(there - offset) <= 10_000).all()
    assert not (offset % 1000).any()
    assert offset[2] == 0


def test_the_middle_is_that_of_most_also_across_the_date_line():
    places = np.array([[10, 179.999, 5], [10, -179.999, 5], [10.001, 179.998, 5], [-40.0, 20, 9], [10, 180, 4]])
    latitude, longitude = middle(places)
    assert latitude == pytest.approx(10, abs=0.01)
    assert abs(longitude) == pytest.approx(180, abs=0.01)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (4326, r"EPSG:4326 \(WGS 84\) has units of degree, expected metres of a projected system"),
        (2263, "US survey foot"),
        (99999, "EPSG:99999 is not a coordinate reference system known to pyproj"),
    ],
)
def test_codes_that_are_no_metres_are_refused(code, message):
    pytest.importorskip("pyproj")
    with pytest.raises(ValueError, match=message):
        Projected(code)


@pytest.mark.parametrize(
    ("code", "place", "message"),
    [
        (7415, (52.2, 5.3, 100.0), "NAP height.: heights are left as they are, as pyproj cannot .* without nl"),
        (5555, (48.0, 9.0, 100.0), "DHHN92 height.: heights are left as they are, .*: give another --epsg, or pos"),
        (27700, (52.0, -1.0, 100.0), "accurate to 2 m only, as pyproj lacks uk_os_.*: get it with pyproj sync"),
        (31467, (48.5, 9.0, 100.0), "accurate to 3 m only, as pyproj lacks de_adv_"),
        (25832, (48.0, 9.0, 100.0), None),
        (32615, (46.84, -91.99, 100.0), None),
    ],
)
def test_what_pyproj_cannot_convert_is_told(code, place, message, caplog):
    pyproj = pytest.importorskip("pyproj")
    frame = Projected(code)
    if code in (7415, 27700, 31467) and has_grids(pyproj, frame):
        pytest.skip("pyproj has the grids of this code")
    warn_of_frame(frame, np.array([place, place]))
    if message is None:
        assert not caplog.messages
        return
    assert len(caplog.messages) == 1
    assert re.search(message, caplog.messages[0])


def has_grids(pyproj, frame):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pyproj.transformer.TransformerGroup(4979, frame.crs, always_xy=True).best_available


def test_frames_of_other_coordinates():
    there = np.zeros((3, 3))
    assert isinstance(chosen_frame(GeoreferenceOptions(), there, False), Metric)
    with pytest.raises(ValueError, match="give their frame with --epsg"):
        chosen_frame(GeoreferenceOptions(utm=True), there, False)
    with pytest.raises(ValueError, match="UTM covers"):
        chosen_frame(GeoreferenceOptions(utm=True), np.array([[88.0, 0, 0]]), True)
