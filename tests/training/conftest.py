import pytest
from support.helpers import write_plane_scene
from support.training_runs import FEW_PAIRS, run


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """The folder of a dataset with two scenes."""
    root = tmp_path_factory.mktemp("dataset")
    for name in ("0000", "0001"):
        write_plane_scene(root, name)
    return root


@pytest.fixture(scope="module")
def one_epoch(root, tmp_path_factory, one_thread, narrow_training):
    """The output of a run that no test continues."""
    output = tmp_path_factory.mktemp("one epoch") / "out"
    run(root, output, pairs=FEW_PAIRS, num_epochs=1)
    return output
