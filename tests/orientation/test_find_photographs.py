"""Turns of photographs from their pictures: real ones, with the real network."""

import cv2
import numpy as np
import pytest

from d2sfm.coordinates import stored_array
from d2sfm.options import ExtractionOptions, Precision
from d2sfm.orientation.find import find_turns
from d2sfm.photographs.reading import list_photographs, load_photograph

AUTO = ExtractionOptions(precision=Precision.AUTO)


@pytest.mark.slow
@pytest.mark.photographs
def test_photographs_are_turned_back(shared_data):
    folder = shared_data / "fountain_p11" / "images"
    names = list_photographs(folder)
    generator = np.random.default_rng(0)
    stored = dict(zip(names, generator.choice([1, 1, 6, 3, 8], len(names)).tolist(), strict=True))
    stored |= dict.fromkeys(names[::2], 1)

    def load(name: str) -> np.ndarray:
        small = cv2.resize(load_photograph(folder / name), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        return stored_array(small, stored[name])

    found = find_turns(names, load, options=AUTO)
    assert found.orientation == stored
    assert found.unsure == ()
