"""Turns of photographs from their pictures."""

import numpy as np
import pytest
from support.helpers import textured_picture

from d2sfm.coordinates import stored_array, upright_array
from d2sfm.options import ExtractionOptions, Precision
from d2sfm.orientation.find import Turns, find_turns

pytestmark = pytest.mark.usefixtures("narrow_network")
AUTO = ExtractionOptions(precision=Precision.AUTO)


def views(count: int, size: tuple[int, int] = (224, 168), step_px: int = 9) -> dict[str, np.ndarray]:
    """Pictures of one textured plane, each seen a few pixels further on, by name."""
    (width, height), plane = size, textured_picture(3, (size[0] + step_px * count, size[1] + step_px * count))
    starts = {f"{k}.png": step_px * k for k in range(count)}
    return {name: plane[start : start + height, start : start + width].copy() for name, start in starts.items()}


@pytest.mark.slow
def test_turned_pictures_of_a_plane_are_turned_back_on_any_number_of_threads():
    pictures = views(4)
    stored = {"0.png": 1, "1.png": 8, "2.png": 3, "3.png": 1}
    turned = {name: stored_array(picture, stored[name]) for name, picture in pictures.items()}
    looked_at = []

    def load(name: str) -> np.ndarray:
        looked_at.append(name)
        return turned[name]

    found = find_turns(list(turned), load, options=AUTO, num_threads=1)
    assert found.orientation == stored
    assert found.unsure == ()
    assert looked_at == list(turned)
    for name, picture in pictures.items():
        np.testing.assert_array_equal(upright_array(turned[name], found.orientation[name]), picture)
    assert find_turns(list(turned), turned.get, options=AUTO, num_threads=2) == found


@pytest.mark.slow
def test_known_photographs_are_followed_and_unlike_ones_stay():
    pictures = views(3)
    turned = {name: stored_array(picture, 6) for name, picture in pictures.items()}
    turned["0.png"] = pictures["0.png"]
    turned |= {
        "other.png": textured_picture(77, (96, 128)),
        "thin.png": textured_picture(5, (1000, 8)),
        "damaged": None,
    }
    found = find_turns(list(turned), turned.get, options=AUTO, known=["0.png"])
    assert [found.orientation[name] for name in pictures] == [1, 6, 6]
    assert {found.orientation[name] for name in found.unsure} == {1}
    assert found.unsure == ("other.png", "thin.png", "damaged")


@pytest.mark.slow
def test_only_pairs_that_are_named_are_looked_at():
    turned = {"0": (pictures := views(2))["0.png"], "1": stored_array(pictures["1.png"], 3)}
    turned["2"] = turned["1"].copy()
    found = find_turns(list(turned), turned.get, options=AUTO, known=["0"], near=[("1", "0"), ("0", "1")])
    assert found.orientation == {"0": 1, "1": 3, "2": 1}
    assert found.unsure == ("2",)
    assert found.margin["2"] == 0


@pytest.mark.parametrize("named", [{"known": ["b"]}, {"near": [("a", "b")]}])
def test_names_that_are_not_there_are_refused(named):
    with pytest.raises(ValueError, match="has b, which is not among the photographs"):
        find_turns(["a"], {"a": views(1)["0.png"]}.get, options=AUTO, **named)


def test_no_photographs_give_no_turns():
    assert find_turns([], {}.get, options=AUTO) == Turns(orientation={}, margin={}, unsure=())


def test_the_text_says_how_many_were_turned_and_how_sure_that_is():
    orientation = {"a": 1, "b": 6, "c": 6, "d": 3, "e": 1}
    turns = Turns(orientation=orientation, margin={"a": 40, "b": 20, "c": 30, "d": 12, "e": 3}, unsure=("e",))
    assert str(turns) == (
        "orientation: 3 of 5 photographs turned (2 to the right, 1 upside down), by 12 matches or more (median 25); "
        "not sure, so left as stored: 1 photograph (e)"
    )
    known = Turns(orientation={"a": 1, "b": 6}, margin={"a": 0, "b": 20}, unsure=())  # a, without neighbours
    assert str(known) == "orientation: 1 of 2 photographs turned (1 to the right), by 20 matches or more (median 20)"
