from pathlib import Path

import pytest
from support.dotted_scene import write_dotted_scene


@pytest.fixture(scope="session")
def scene(tmp_path_factory) -> Path:
    """A folder of photographs of dots, and their model."""
    folder = tmp_path_factory.mktemp("dots")
    write_dotted_scene(folder)
    return folder
