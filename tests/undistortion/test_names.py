from hypothesis import example, given
from hypothesis import strategies as st

from d2sfm.undistortion.names import as_png, base_names


def test_names_without_a_folder_stay():
    assert base_names(["a.jpg", "left/a.jpg", "left/sub/b.jpg"]) == {
        "a.jpg": "a.jpg",
        "left/a.jpg": "left_a.jpg",
        "left/sub/b.jpg": "left_sub_b.jpg",
    }


@example({"a/b.jpg", "a_b.jpg", "A/B.png", "a_b.heic.jpg", "a_b_2.jpg"})
@given(st.sets(st.text("aAbB_2./", min_size=1, max_size=8).map(lambda text: f"x{text}.jpg")))
def test_no_two_are_equal_up_to_the_first_dot(names):
    found = base_names(names)
    assert set(found) == names
    assert len({name.split(".")[0].casefold() for name in found.values()}) == len(names)
    assert not any("/" in name for name in found.values())
    assert base_names(sorted(names, reverse=True)) == found


def test_as_png():
    assert as_png("a.heic.jpg") == "a.heic.png"
