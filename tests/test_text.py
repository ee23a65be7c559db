import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2sfm.text import aligned, counted, first_few, first_of, fits, natural_order, one_line, printable


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


@pytest.mark.parametrize(
    ("names", "expected"),
    [([], ""), (["a"], "a"), (["a", "b\n"], "a, b\\n"), (["a", "b", "c", "d"], "a, b and 2 more")],
)
def test_the_first_few_names(names, expected):
    assert first_few(names, 2) == expected


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("left/a.jpg", "left/*", True),
        ("left/b/a.jpg", "left/*", True),
        ("left/b/a.jpg", "left", True),
        ("left/b/a.jpg", "left/", True),
        ("left/b/a.jpg", "*/b", True),
        ("left.jpg", "left", False),
        ("a/left/a.jpg", "left", False),
        ("a.jpg", "*.jpg", True),
        ("a.JPG", "*.jpg", False),
        ("b/a.jpg", "a.jpg", False),
        ("img[1].jpg", "img[1].jpg", True),
        ("img1.jpg", "img[12].jpg", True),
        ("a.jpg", ".", False),
    ],
)
def test_patterns_are_for_names_and_for_folders(name, pattern, expected):
    assert fits(name, pattern) is expected


def test_long_errors_are_cut():
    assert one_line(ValueError("x" * 30), longest=30) == "x" * 30
    assert one_line(ValueError("x" * 31), longest=30) == "x" * 30 + "..."


@pytest.mark.parametrize(
    "name", ["a  b.jpg", " ä/é/e\u0301.png", "名前\u3000.jpg", "👨\u200d👩\u200d👧.jpg", "back\\slash'\".jpg"]
)
def test_names_of_all_languages_are_printed_as_they_are(name):
    assert printable(name) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("new\nline.jpg", "new\\nline.jpg"),
        ("tab\t\r.jpg", "tab\\t\\r.jpg"),
        ("red \x1b[31m\x9b.jpg", "red \\x1b[31m\\x9b.jpg"),
        ("line\u2028.jpg", "line\\u2028.jpg"),
        ("caf\udce9.jpg", "caf\\udce9.jpg"),
    ],
)
def test_what_cannot_stand_in_a_line_is_escaped(name, expected):
    assert printable(name) == expected


def test_names_are_counted_and_the_first_is_shown():
    assert first_of(["a.jpg"], "image") == "1 image (a.jpg)"
    assert first_of(["new\nline.jpg", "b.jpg", "c.jpg"], "photograph") == "3 photographs (new\\nline.jpg the first)"
    assert first_of(["a", "b"], "query") == "2 queries (a the first)"


def test_a_number_has_its_noun():
    assert [counted(number, "match") for number in (0, 1, 2)] == ["0 matches", "1 match", "2 matches"]
    assert counted(2, "epoch") == "2 epochs"
    assert [counted(number, "position", ",") for number in (1, 1000)] == ["1 position", "1,000 positions"]


def test_rows_of_cells_are_aligned_as_they_are():
    rows = [("", "images", "error px"), ("seed 0", "7 of 10", "0.50"), ("1e3", "10", "12.00")]
    assert aligned(rows).splitlines() == [
        "         images  error px",
        "seed 0  7 of 10      0.50",
        "1e3          10     12.00",
    ]


@given(st.lists(st.text("ab01 ٣", max_size=4)))
def test_natural_order_is_that_of_the_numbers(names):
    ordered = sorted(names, key=natural_order)
    assert sorted(ordered) == sorted(names)
    assert sorted(set(names), key=natural_order) == list(dict.fromkeys(ordered))


def test_natural_order_of_frames():
    assert sorted(["f10.jpg", "f9.jpg", "f09.jpg", "e11", "10"], key=natural_order) == [
        *("10", "e11", "f09.jpg", "f9.jpg", "f10.jpg")
    ]
