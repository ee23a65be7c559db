"""Optional libraries, installed on demand."""

from importlib import import_module
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """The module of an extra of d2sfm. ValueError, with the command that installs it, if it is missing."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ValueError(f'needs {module.replace("_", "-")}: pip install "d2sfm[{extra}]"') from error
