"""Clicks: their tables, where they are in the model, and lengths between them."""

import numpy as np
import pytest
from PIL import Image
from support.placed_model import CAMERAS, GIVEN, POINTS, SCALE, true_model, write_clicks, write_csv, write_given

from d2sfm.coordinates import ORIENTATIONS, upright_from_stored
from d2sfm.georeference.control_points import Clicks, of_model, read_clicks, scale_by, stored_clicks, triangulated
from d2sfm.georeference.georeference import georeference_model

SIZE = (CAMERAS[0].width, CAMERAS[0].height)


@pytest.fixture
def model():
    found = true_model()
    found.transform(GIVEN)
    return found


def test_exact_clicks_are_where_the_points_are(model, tmp_path):
    for is_geographic in (True, False):
        clicks = read_clicks(write_clicks(tmp_path / "c.csv", is_geographic=is_geographic))
        assert clicks.world.is_geographic == is_geographic
        places = triangulated(of_model(clicks, model), model)
        for index in range(5):
            assert places[f"P{index}"] == pytest.approx(GIVEN * POINTS[index], abs=1e-6)


def test_a_wrong_click_and_a_point_of_one_picture_are_named(model, tmp_path, caplog):
    clicks = read_clicks(write_clicks(tmp_path / "c.csv"))
    wrong = CAMERAS[1].name
    clicks.pixels["P0"][CAMERAS[5].name] = clicks.pixels["P0"][wrong] + 150
    clicks.pixels["P9"] = {wrong: np.array([5.0, 5])}
    places = triangulated(clicks, model)
    assert places["P0"] == pytest.approx(GIVEN * POINTS[0], abs=1e-6)
    assert "P9" not in places
    assert f"point P0: left out, far off the other clicks: 1 click ({CAMERAS[5].name})" in caplog.text
    assert "left out, as no two clicks in photographs of the model agree: 1 point (P9)" in caplog.text


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_clicks_in_upright_pictures(model, tmp_path, orientation):
    clicks = read_clicks(write_clicks(tmp_path / "c.csv"))
    upright = {
        point: {name: upright_from_stored(xy[None], SIZE, orientation)[0] for name, xy in of_point.items()}
        for point, of_point in clicks.pixels.items()
    }
    turned = {camera.name: orientation for camera in CAMERAS}
    found = stored_clicks(Clicks("c.csv", upright, clicks.world), model, turned)
    for point, of_point in clicks.pixels.items():
        for name, xy in of_point.items():
            assert found.pixels[point][name] == pytest.approx(xy)
    with pytest.raises(ValueError, match=r"--upright needs the EXIF orientation of 7 photographs .* give --images or"):
        stored_clicks(clicks, model, {})


def test_upright_clicks_take_the_orientation_from_the_photographs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given, exif = write_given(tmp_path / "given"), Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "photos").mkdir()
    for camera in CAMERAS:
        Image.new("RGB", SIZE).save(tmp_path / "photos" / camera.name, exif=exif)
    rows = []
    for line in write_clicks(tmp_path / "c.csv").read_text().splitlines()[1:]:
        point, name, x, y, *world = line.split(",")
        upright = upright_from_stored(np.array([[float(x), float(y)]]), SIZE, 6)[0]
        rows.append((point, name, *map(float, upright), *world))
    table = write_csv(tmp_path / "u.csv", "point,name,x,y,latitude,longitude,altitude", rows)
    result = georeference_model(given, "out", control_points=table, images="photos", upright=True)
    assert result.largest_m < 1e-3


def test_lengths_give_the_scale_and_what_they_are_off(model, tmp_path):
    places = triangulated(read_clicks(write_clicks(tmp_path / "c.csv")), model)
    true = float(np.linalg.norm(POINTS[0] - POINTS[1]))
    scale, off = scale_by([("P0", "P1", true)], places)
    assert scale == pytest.approx(1 / SCALE)
    assert off == {"P0 - P1": pytest.approx(0, abs=1e-9)}
    scale, off = scale_by([("P0", "P1", true), ("P2", "P3", 2 * float(np.linalg.norm(POINTS[2] - POINTS[3])))], places)
    assert 1 / SCALE < scale < 2 / SCALE
    assert off["P0 - P1"] > 0 > off["P2 - P3"]


@pytest.mark.parametrize(
    ("bar", "message"),
    [
        (
            ("P0", "P8", 1.0),
            r"--scale-bar P0 P8: no clicks of point P8 in the model, found those of 5 points \(P0 the first\)",
        ),
        (("P0", "P1", 0.0), "--scale-bar P0 P1: expected a length above 0 metres, found 0"),
        (("P0", "P0", 1.0), "--scale-bar P0 P0: both ends are the same point"),
    ],
)
def test_lengths_that_can_not_be(model, tmp_path, bar, message):
    places = triangulated(read_clicks(write_clicks(tmp_path / "c.csv")), model)
    with pytest.raises(ValueError, match=message):
        scale_by([bar], places)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,x,y\na.jpg,1,2\n", r"expected names of columns in the first line \(point, name, x, y"),
        ("point,name,x,y\n,a.jpg,1,2\n", "line 2: expected the id of a point, found none"),
        ("point,name,x,y\nP,a.jpg,1,\n", "line 2: expected a name and pixels x, y"),
        ("point,name,x,y\nP,,1,2\n", "line 2: expected a name and pixels x, y"),
        ("point,name,x,y\nP,a.jpg,1,2\nP,a.jpg,1,3\n", "line 3: point P was clicked in a.jpg before"),
        ("point,name,x,y,e,n,height\nP,,,,1,2,3\n", "has no clicks"),
        ("point,name,x,y,lat,lon\nP,a.jpg,1,2,46,-91\n", "line 2: point P has no altitude, which control points need"),
        (
            "point,name,x,y,e,n,height\nP,a.jpg,1,2,1,2,3\nP,b.jpg,1,2,1,2,4\n",
            "line 3: point P had another place before",
        ),
    ],
)
def test_tables_that_can_not_be(tmp_path, text, message):
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_clicks(tmp_path / "c.csv")


def test_a_place_may_stand_in_a_line_of_its_own(tmp_path):
    (tmp_path / "c.csv").write_text(
        "GCP;image;x;y;East;North;Height\nP;a.jpg;1,5;2;;;\nP;;;;10,25;20;30\nQ;a.jpg;5;6;;;\n"
    )
    clicks = read_clicks(tmp_path / "c.csv")
    assert clicks.pixels["P"]["a.jpg"].tolist() == [1.5, 2]
    assert {point: place.tolist() for point, place in clicks.world.by_name.items()} == {"P": [10.25, 20, 30]}


def test_clicks_in_other_photographs(model):
    with pytest.raises(RuntimeError, match=r"c.csv has clicks in 1 name \(z.jpg\), but the model has no such image"):
        of_model(Clicks("c.csv", {"P": {"z.jpg": np.zeros(2)}}), model)


def test_points_that_one_photograph_shows_are_none(tmp_path):
    lines = write_clicks(tmp_path / "c.csv").read_text().splitlines()
    write_csv(tmp_path / "c.csv", lines[0], [line.split(",") for line in lines[1::3]])
    with pytest.raises(RuntimeError, match=r"c\.csv has no point with a place in the world that two photographs"):
        georeference_model(write_given(tmp_path / "given"), tmp_path / "out", control_points=tmp_path / "c.csv")
