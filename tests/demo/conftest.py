"""Town squares that several modules look at, built once."""

import pytest

from d2sfm.demo import lighting
from d2sfm.demo.scene import Scene
from d2sfm.demo.square import build_square


@pytest.fixture(scope="session")
def coarse_squares() -> tuple[Scene, Scene, Scene]:
    """Of the seeds 0, 0 and 1, with large texels and light maps of few cells, where these do not matter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lighting, "SUN_CELLS", (1.0, 24))
        patch.setattr(lighting, "SKY_CELLS", (4.0, 6))
        return tuple(build_square(seed, texels_per_m=6) for seed in (0, 0, 1))
