"""GPS positions of photographs themselves, for models of other programs."""

import numpy as np
import pycolmap
import pytest
from support.placed_model import CAMERAS, write_given, write_photographs

from d2sfm.georeference.frames import Local, middle
from d2sfm.georeference.georeference import georeference_model
from d2sfm.georeference.positions import of_photographs


@pytest.fixture
def given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_given(tmp_path / "given")


def test_positions_of_photographs(given, tmp_path):
    write_photographs(tmp_path / "photos")
    result = georeference_model(given, "out", images=tmp_path / "photos")
    assert len(result.residuals_m) == len(CAMERAS)
    assert result.largest_m < 0.01


def test_photographs_tell_where_a_database_does_not(given, tmp_path, caplog):
    pycolmap.Database.open(tmp_path / "none.db").close()
    write_photographs(tmp_path / "photos")
    (tmp_path / "photos" / "view_00.png").unlink()
    (tmp_path / "photos" / "view_01.png").write_bytes(b"no picture")
    result = georeference_model(given, "out", database=tmp_path / "none.db", images=tmp_path / "photos")
    assert len(result.residuals_m) == len(CAMERAS) - 2
    assert "or unreadable: 2 photographs (view_00.png the first)" in caplog.text


@pytest.mark.photographs
@pytest.mark.parametrize(("name", "count", "extent_m"), [("brighton_beach", 18, (50, 150)), ("lund", 29, (80, 300))])
def test_all_photographs_have_a_position_near_the_others(shared_data, name, count, extent_m):
    images = shared_data / name / "images"
    found = of_photographs(images, [path.name for path in images.iterdir()])
    assert found.is_geographic
    places = np.array(list(found.by_name.values()))
    assert len(places) == count
    extent = np.linalg.norm(np.ptp(Local(*middle(places)).from_geographic(places), axis=0))
    assert extent_m[0] < extent < extent_m[1]
