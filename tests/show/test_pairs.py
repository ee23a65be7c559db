import numpy as np
import pytest
from support.feature_database import write_feature_database

from d2sfm.show.pairs import show_pairs


def test_pairs_are_told_with_the_reason_of_those_that_are_not_verified(shown_scene):
    found = show_pairs()
    assert found.title == "1 of 2 matched pairs verified, 3 images"
    assert found.table[1:] == [
        ("a.png", "b c.png", "12", "8", ""),
        ("b c.png", "sub/a.png", "4", "0", "chance explains it"),
    ]
    assert found.facts == {"in no verified pair": "sub/a.png"}


def test_images_are_in_the_order_that_people_count_in(tmp_path):
    names = [f"frame_{number}.png" for number in (10, 9, 2)]
    database = write_feature_database(tmp_path / "db.db", {name: np.zeros((0, 512)) for name in names})
    found = show_pairs(database)
    assert found.facts["in no verified pair"] == "frame_2.png, frame_9.png, frame_10.png"
    assert found.title == "0 of 0 matched pairs verified, 3 images"
    assert found.pixels().ndim == 3


def test_a_database_without_images(tmp_path):
    with pytest.raises(RuntimeError, match="has no images: d2sfm extract --images DIR"):
        show_pairs(write_feature_database(tmp_path / "db.db", {}))
    with pytest.raises(FileNotFoundError, match="no database"):
        show_pairs(tmp_path / "none.db")
