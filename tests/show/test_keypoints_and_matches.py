import numpy as np
import pycolmap
import pytest
from support.helpers import share_of

from d2sfm.database import FeatureStore, MatchStore
from d2sfm.formats.npz_mat import write_features
from d2sfm.plots.palette import INLIER, OUTLIER
from d2sfm.show.keypoints import show_keypoints
from d2sfm.show.matches import show_matches


@pytest.mark.slow
def test_keypoints_of_a_database(shown_scene):
    found = show_keypoints("sub/a.png")
    assert found.title == "sub/a.png: 15 keypoints"
    assert found.pixels().shape[1] == 1600
    assert found.pixels(light=True)[-1, -1].tolist() == [255, 255, 255]


@pytest.mark.slow
def test_keypoints_of_a_feature_file_beside_its_photograph(shown_scene):
    with FeatureStore("db.db") as store:
        features = store.read("a.png")
    write_features(shown_scene / "photographs/a.png.d2-net", features)
    of_file = show_keypoints(shown_scene / "photographs/a.png.d2-net")
    assert of_file.title == "a.png.d2-net: 15 keypoints"
    photograph = slice(None, 1200)
    np.testing.assert_array_equal(of_file.pixels()[photograph], show_keypoints("a.png").pixels()[photograph])
    write_features(shown_scene / "x.npz", features)
    with pytest.raises(FileNotFoundError, match=r"no photograph x for x.npz: a feature file has its photograph's name"):
        show_keypoints("x.npz")


def test_neither_a_file_nor_a_database(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").touch()
    with pytest.raises(FileNotFoundError, match=r"no file b.jpg, and no db.db that has an image of that name"):
        show_matches("a.jpg", "b.jpg")


def test_names_that_are_none(shown_scene):
    with pytest.raises(ValueError, match=r"db.db has no image b-c.png: did you mean b c.png?"):
        show_keypoints("b-c.png")
    (shown_scene / "photographs/new.png").write_bytes((shown_scene / "photographs/a.png").read_bytes())
    with pytest.raises(ValueError, match=r"db.db has no image photographs/new.png"):
        show_keypoints("photographs/new.png", "db.db")
    with pytest.raises(FileNotFoundError, match=r"no database nowhere.db"):
        show_keypoints("a.png", "nowhere.db")


@pytest.mark.slow
def test_matches_tell_which_are_verified(shown_scene):
    found = show_matches("a.png", "b c.png")
    assert found.title == "a.png - b c.png: 8 of 12 matches verified"
    assert share_of(found.pixels(), INLIER) > 2 * share_of(found.pixels(), OUTLIER) > 0
    assert show_matches("a.png", "sub/a.png").title == "a.png - sub/a.png: not matched"
    refused = show_matches("b c.png", "sub/a.png")
    assert refused.facts == {"not verified, because": "chance explains it"}
    assert refused.title.endswith("0 of 4 matches verified")


def test_inliers_that_are_no_matches_are_drawn_too(shown_scene):
    with MatchStore("db.db") as store:
        matches, is_inlier = store.told_matches(1, 2)
        assert is_inlier.tolist() == [True] * 8 + [False] * 4
        geometry = pycolmap.TwoViewGeometry(inlier_matches=np.array([[0, 0], [14, 13]], np.uint32))
        store.write(1, 2, matches[:3], geometry)
        matches, is_inlier = store.told_matches(2, 1)
    assert matches.tolist() == [[0, 0], [1, 1], [2, 2], [13, 14]]
    assert is_inlier.tolist() == [True, False, False, True]


def test_one_image_and_a_wrong_number(shown_scene):
    with pytest.raises(ValueError, match=r"a.png has no matches with itself: give two images"):
        show_matches("a.png", "photographs/a.png")
    with pytest.raises(ValueError, match=r"0 \(all\) or more, found -1"):
        show_matches("a.png", "b c.png", most=-1)
