import pytest

from d2sfm.show.given import meant

NAMES = ["a.jpg", "left/b.jpg", "left/c.jpg", "right/c.jpg"]


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("a.jpg", "a.jpg"),
        ("photos/a.jpg", "a.jpg"),
        ("b.jpg", "left/b.jpg"),
        ("photos/right/c.jpg", "right/c.jpg"),
        ("/home/me/photos/left/c.jpg", "left/c.jpg"),
    ],
)
def test_images_are_meant_by_names_and_by_paths(word, name):
    assert meant(word, NAMES, "db.db") == name


@pytest.mark.parametrize(
    ("word", "end"), [("c.jpg", "c.jpg"), ("left/b.jpeg", "left/b.jpeg: did you mean left/b.jpg?")]
)
def test_what_is_none_of_them_or_several_is_told(word, end):
    with pytest.raises(ValueError, match=f"db.db has no image {end}".replace("?", r"\?")):
        meant(word, NAMES, "db.db")
