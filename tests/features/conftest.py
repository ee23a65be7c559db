import pytest
from support.helpers import textured_picture

from d2sfm.features.extractor import Extractor


@pytest.fixture(scope="session")
def textured():
    return textured_picture(5, (120, 88))


@pytest.fixture(scope="module")
def extractor(narrow_network):
    return Extractor()
