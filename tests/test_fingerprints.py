import json

from d2sfm.fingerprints import difference


def test_only_what_differs_is_named():
    one = json.dumps({"extractor": "d2sfm", "max_edge": 96, "border": 3})
    other = json.dumps({"max_edge": 128, "extractor": "d2sfm", "relu": True})
    assert difference(one, other) == "max_edge 96, border 3, relu None"
    assert difference(other, one) == "max_edge 128, relu True, border None"
    assert difference(one, one) == ""
