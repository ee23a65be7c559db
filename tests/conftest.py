"""Fixtures for all tests."""

import os
import shutil
import signal
from pathlib import Path

# Before torch and numpy are there, for the suite and the programs that it starts: the arrays of tests are small, and
# threads that wait for each other's share of one burn more processor time than they save.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import HealthCheck, settings

# How long an example takes is the machine's. The same examples in every run, all of them with `--hypothesis-profile
# thorough`; new ones with `--hypothesis-profile new`.
settings.register_profile("new", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("new"), derandomize=True, max_examples=100)
settings.register_profile("repeatable", settings.get_profile("thorough"), max_examples=33)
settings.load_profile("repeatable")

# A shell makes what it starts in the background deaf to Ctrl-C, and so its children, which some tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real photographs: $D2SFM_SHARED/data, or ../shared/data beside the repository. Skips without it."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("D2SFM_SHARED", beside)) / "data"
    if not folder.is_dir():
        pytest.skip(f"no real photographs: {folder} is missing")
    return folder


@pytest.fixture(scope="session")
def square():
    """The demonstration's scene."""
    from support.town_square import town_square

    return town_square()


@pytest.fixture(scope="session")
def made_shown_scene(tmp_path_factory):
    from support.shown_scene import write_shown_scene

    return write_shown_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def shown_scene(made_shown_scene, tmp_path, monkeypatch):
    """The current folder has photographs, db.db and sparse/0, of which pictures show something; the test may change
    them."""
    shutil.copytree(made_shown_scene, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def one_thread():
    """One torch thread, for numbers that are compared to the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def narrow_weights(tmp_path_factory):
    from support.narrow_network import write_narrow_weights

    return write_narrow_weights(tmp_path_factory.mktemp("weights") / "narrow.pth")


@pytest.fixture(scope="module")
def narrow_network(narrow_weights):
    """A network with few channels, for tests of what is done with features, whatever they are."""
    from support.narrow_network import use_narrow_network

    with pytest.MonkeyPatch.context() as patch:
        use_narrow_network(patch, narrow_weights)
        yield


@pytest.fixture(scope="module")
def narrow_training(narrow_network):
    """The same for training."""
    from support.narrow_network import use_narrow_training_trunk

    with pytest.MonkeyPatch.context() as patch:
        use_narrow_training_trunk(patch)
        yield
