import shutil

import pytest
from support.matched_square import match_square, refined
from support.seen_tracks import tracks_in_images


@pytest.fixture(scope="session")
def matched(tmp_path_factory, square):
    return match_square(tmp_path_factory.mktemp("square"), square)


@pytest.fixture
def database(matched, tmp_path):
    """A copy of the matched database."""
    return shutil.copy(matched.database, tmp_path / "db.db")


@pytest.fixture(scope="module")
def refined_once(matched, tmp_path_factory, one_thread):
    path = shutil.copy(matched.database, tmp_path_factory.mktemp("refined") / "db.db")
    refined(path, matched)
    return path


@pytest.fixture
def seen():
    """Which images see which tracks."""
    return tracks_in_images()


@pytest.fixture
def refined_database(refined_once, tmp_path):
    """A copy of the matched database after refinement with the options of most tests."""
    return shutil.copy(refined_once, tmp_path / "refined.db")
