import pytest
from support.four_views import write_four_views


@pytest.fixture
def make_database(tmp_path):
    """Makes a database of four views of one scene, and one photograph without keypoints."""

    def make(name="db.db"):
        return write_four_views(tmp_path / name)

    return make


@pytest.fixture
def database(make_database):
    return make_database()
