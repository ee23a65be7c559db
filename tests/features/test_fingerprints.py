import json

import pytest

from d2sfm.features.fingerprints import clash, difference, settings_of, stretch_of, with_stretch
from d2sfm.options import Stretch


def test_only_what_differs_is_named():
    one = json.dumps({"extractor": "d2sfm", "max_edge": 96, "border": 3})
    other = json.dumps({"max_edge": 128, "extractor": "d2sfm", "relu": True})
    assert difference(one, other) == "max_edge 96, border 3, relu None"
    assert difference(other, one) == "max_edge 128, relu True, border None"
    assert difference(one, one) == ""


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "[" * 100_000])
def test_what_is_no_fingerprint_is_told_in_a_line(text):
    with pytest.raises(ValueError, match=r"^fingerprint .{1,60} is not a JSON object$"):
        settings_of(text)


def test_a_stretch_that_one_side_does_not_need_is_no_difference():
    plain, other = json.dumps({"max_edge": 96}), json.dumps({"max_edge": 64})
    assert with_stretch(plain, Stretch.FOLDER, None) == plain
    folder, image = with_stretch(plain, Stretch.FOLDER, (10, 20)), with_stretch(plain, Stretch.IMAGE, (10, 20))
    assert [stretch_of(each) for each in (plain, folder, image)] == [Stretch.NONE, (10, 20), Stretch.IMAGE]
    assert image == with_stretch(plain, Stretch.IMAGE, (30, 40))
    for one in (folder, image):
        assert [clash(plain, one), clash(one, plain), clash(one, one)] == [False] * 3
        assert [clash(other, one), clash(one, other)] == [True] * 2
    assert clash(folder, image)
    assert clash(folder, with_stretch(plain, Stretch.FOLDER, (10, 21)))


@pytest.mark.parametrize("told", [[1], [2, 1], ["a", "b"], [0, 70000], "wide", 5])
def test_a_stretch_that_is_none_is_refused(told):
    with pytest.raises(ValueError, match=r"range of grey values|not a valid Stretch"):
        stretch_of(json.dumps({"stretch": told}))
