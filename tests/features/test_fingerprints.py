import json

import pytest

from d2sfm.features.fingerprints import difference, settings_of


def test_only_what_differs_is_named():
    one = json.dumps({"extractor": "d2sfm", "max_edge": 96, "border": 3})
    other = json.dumps({"max_edge": 128, "extractor": "d2sfm", "relu": True})
    assert difference(one, other) == "max_edge 96, border 3, relu None"
    assert difference(other, one) == "max_edge 128, relu True, border None"
    assert difference(one, one) == ""


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "[" * 100_000])
def test_what_is_no_fingerprint_is_told_in_a_line(text):
    with pytest.raises(ValueError, match=r"^fingerprint .{1,60} is no JSON object$"):
        settings_of(text)
