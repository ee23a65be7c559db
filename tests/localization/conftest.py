import pytest
from support.narrow_network import use_narrow_network
from support.small_map import make_small_map


@pytest.fixture(scope="session")
def small_map(tmp_path_factory, narrow_weights):
    """A map and a query that is not in it. Tests only read it."""
    with pytest.MonkeyPatch.context() as patch:
        use_narrow_network(patch, narrow_weights)
        return make_small_map(tmp_path_factory.mktemp("map"))
