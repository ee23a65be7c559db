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


def test_a_file_means_the_image_of_that_very_file(tmp_path):
    for folder in ("photos/left", "other/left"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "b.jpg").write_text(folder)
    (tmp_path / "link.jpg").symlink_to(tmp_path / "photos")
    for path in ("photos/left/b.jpg", "link.jpg/left/b.jpg", "moved/b.jpg"):
        assert meant(str(tmp_path / path), NAMES, "db.db", tmp_path / "photos") == "left/b.jpg"
    other = str(tmp_path / "other/left/b.jpg")
    with pytest.raises(ValueError, match=r"has no image of the file .*other/left/b\.jpg: its left/b\.jpg is another"):
        meant(other, NAMES, "db.db", tmp_path / "photos")
    assert meant(other, NAMES, "db.db", tmp_path / "gone") == "left/b.jpg"


@pytest.mark.parametrize(
    ("word", "end"), [("c.jpg", "c.jpg"), ("left/b.jpeg", "left/b.jpeg: did you mean left/b.jpg?")]
)
def test_what_is_none_of_them_or_several_is_told(word, end):
    with pytest.raises(ValueError, match=f"db.db has no image {end}".replace("?", r"\?")):
        meant(word, NAMES, "db.db")
