"""The demonstration's scene, for tests that look at it."""

from functools import cache

import pytest

from d2sfm.demo import lighting
from d2sfm.demo.scene import Scene
from d2sfm.demo.square import build_square

TEXELS_PER_M = 24.0


@cache
def town_square(seed: int = 0) -> Scene:
    """The square with light maps of large cells, which take most of its time; built once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lighting, "SUN_CELLS", (0.5, 60))
        patch.setattr(lighting, "SKY_CELLS", (2.0, 12))
        return build_square(seed, TEXELS_PER_M)
