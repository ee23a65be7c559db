"""GPS positions of real photographs, read as a model of another program needs it."""

import numpy as np
import pytest

from d2sfm.georeference.frames import Local, middle
from d2sfm.georeference.positions import of_photographs


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
