import pytest

from d2sfm.errors import one_line


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("as it is"), "as it is"),
        (ValueError(" two\n\tlines\r\n"), "two lines"),
        (MemoryError(), "MemoryError"),
        (ValueError("\udc80 half"), "\\udc80 half"),
        ("Ä 名", "Ä 名"),
    ],
)
def test_errors_in_one_line(error, expected):
    assert one_line(error) == expected


def test_long_errors_are_cut():
    assert one_line(ValueError("x" * 30), longest=30) == "x" * 30
    assert one_line(ValueError("x" * 31), longest=30) == "x" * 30 + "..."
