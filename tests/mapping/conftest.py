import pytest
from support.bridged_scene import OLD, BridgedScene


@pytest.fixture(scope="session")
def bridged_scene(tmp_path_factory):
    """Images that an extractor leaves apart, and keypoints of another one that join them."""
    return BridgedScene(tmp_path_factory.mktemp("scene"), 11)


@pytest.fixture
def old(bridged_scene, tmp_path):
    """The model of the images that the first extractor joins."""
    return bridged_scene.model(tmp_path / "old" / "0", OLD)
