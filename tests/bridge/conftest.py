import shutil

import pytest
from support.narrow_network import use_narrow_network
from support.sift_scene import make_sift_scene

from d2sfm.bridge.bridge import bridge_database


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    """Photographs, and a database of SIFT in which some are apart."""
    return make_sift_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="session")
def bridged(scene, narrow_weights, tmp_path_factory):
    """The same bridged: its database and the summary."""
    database = shutil.copy(scene.database, tmp_path_factory.mktemp("bridged") / "db.db")
    with pytest.MonkeyPatch.context() as patch:
        use_narrow_network(patch, narrow_weights)
        return database, bridge_database(database, scene.images)
