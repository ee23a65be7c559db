import shutil

import pytest
from support.shown_scene import write_shown_scene


@pytest.fixture(scope="session")
def made_scene(tmp_path_factory):
    return write_shown_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def scene(made_scene, tmp_path, monkeypatch):
    """The current folder has photographs, db.db and sparse/0; the test may change them."""
    shutil.copytree(made_scene, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path
