"""Tables as spreadsheets write them, and what is said of others."""

import numpy as np
import pytest

from d2sfm.georeference.positions import Positions, images_meant, of_table

WANTED = {"a.jpg": [46.84, -91.99, 183.5], "b.jpg": [46.85, -91.98, 190.0]}


def same(found, wanted=WANTED):
    assert found.by_name.keys() == wanted.keys()
    for name, place in wanted.items():
        np.testing.assert_array_equal(found.by_name[name], place)


@pytest.mark.parametrize(
    "text",
    [
        "name,latitude,longitude,altitude\na.jpg,46.84,-91.99,183.5\nb.jpg,46.85,-91.98,190\n",
        "Image Name;Lat;Lon;Height [m]\na.jpg;46,84;-91,99;183,5\nb.jpg;46,85;-91,98;190\n",
        "file\tLongitude\tLATITUDE\tele\textra\na.jpg\t-91.99\t46.84\t183.5\t\n\nb.jpg\t-91.98\t46.85\t190\t7\n",
        '#name,latitude,longitude,z\r\n"a.jpg","46,84","-91,99","183,5"\r\nb.jpg,46.85,-91.98,190\r\n',
        "name,latitude,longitude,altitude\na.jpg,46.84,-91.99,183.5\nb.jpg,46.85,-91.98,190\nno_fix.jpg,,,\n",
    ],
)
def test_separators_decimals_and_names_of_columns(tmp_path, text):
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "p.csv").write_bytes(text.encode(encoding))
        found = of_table(tmp_path / "p.csv")
        assert found.is_geographic
        same(found)


def test_names_in_the_characters_of_windows(tmp_path):
    (tmp_path / "p.csv").write_bytes("name;x;y;z\nTür.jpg;1,5;2;3\n".encode("cp1252"))
    found = of_table(tmp_path / "p.csv")
    assert not found.is_geographic
    same(found, {"Tür.jpg": [1.5, 2, 3]})


def test_altitudes_may_be_unknown(tmp_path):
    (tmp_path / "p.csv").write_text("name,lat,lon\na.jpg,1,2\n")
    assert np.isnan(of_table(tmp_path / "p.csv").by_name["a.jpg"][2])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg,46.84,-91.99\n", r"expected names of columns in the first line \(name, latitude, "),
        (
            "photo_id,north_south,depth\n",
            "expected names of columns in the first line .*found photo_id, north_south, depth",
        ),
        ("", "expected names of columns in the first line .*found nothing"),
        ("name,latitude,longitude,altitude\n", "has no position"),
        (
            "name,latitude,longitude,altitude\na.jpg,46,84,-91,99,183,5\n",
            "line 2: 7 cells, expected 4 as in the first line; numbers with decimal commas need semicolons",
        ),
        ("name;lat;lon\na.jpg;1.234,5;2\n", "line 2: latitude is '1.234,5', expected a number such as 46.8426"),
        ("name;lat;lon\na.jpg;46° 50' N;2\n", 'line 2: latitude is "46° 50\' N", expected a number'),
        ("name,lat,lon\na.jpg,91.99,46\n", "line 2: latitude is 91.99, expected -90 to 90: .* look exchanged"),
        ("name,lat,lon\na.jpg,46,361\n", "line 2: longitude is 361, expected -180 to 180"),
        ("name,lat,lon\n\na.jpg,46,\n", "line 3: expected all coordinates or none"),
        ("name,lat,lon\na.jpg,46,5\na.jpg,46,6\n", "line 3: a.jpg had another position before"),
    ],
)
def test_what_can_not_be_is_one_line(tmp_path, text, message):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        of_table(tmp_path / "p.csv")
    with pytest.raises(FileNotFoundError, match="no table"):
        of_table(tmp_path / "none.csv")


@pytest.mark.parametrize(
    "data", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff", b"PK\3\4\0\0", "name;lat;lon\n".encode("utf-16-le")]
)
def test_a_file_that_is_no_text_is_told(tmp_path, data):
    (tmp_path / "p.csv").write_bytes(data)
    with pytest.raises(ValueError, match=r"p\.csv is not a text file: it holds NUL bytes$"):
        of_table(tmp_path / "p.csv")


def test_names_may_lack_folders_where_only_one_is_meant():
    assert images_meant(["a.jpg", "x/b.jpg", "c.jpg"], ["left/a.jpg", "b.jpg", "1/c.jpg", "2/c.jpg"]) == {
        "a.jpg": "left/a.jpg",
        "x/b.jpg": "b.jpg",
    }
    assert images_meant(["a.jpg", "1/a.jpg"], ["a.jpg", "2/a.jpg"]) == {"a.jpg": "a.jpg"}
    positions = Positions({"y.jpg": np.zeros(3)}, False, "p.csv")
    with pytest.raises(RuntimeError, match=r"p.csv has positions of 1 name \(y.jpg\), but the model has no such image"):
        positions.of(["a.jpg"])
