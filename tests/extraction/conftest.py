import pytest
from support.photograph_folder import write_photograph_folder


@pytest.fixture
def photographs(tmp_path):
    return write_photograph_folder(tmp_path / "photographs")
