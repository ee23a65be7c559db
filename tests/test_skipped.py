import pytest

from d2sfm.skipped import Skipped


def test_what_cannot_be_used_is_named_and_the_work_goes_on():
    skipped, done = Skipped(), []
    for name, error in (("a", ValueError("is damaged")), ("b", None), ("c", FileNotFoundError(2, "No such file", "c"))):
        with skipped.catching(name):
            if error:
                raise error
            done.append(name)
    assert skipped == {"a": "is damaged", "c": "No such file"}  # without the path, which the name tells
    assert done == ["b"]


def test_other_errors_are_raised():
    skipped = Skipped()
    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error), skipped.catching("a"):
            raise error
    assert not skipped
