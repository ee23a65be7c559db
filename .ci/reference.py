"""What the library reference shows of options beside their docstrings: an extension of griffe, which reads these.

Of each option what ``--help`` says of it, and its default; of what they choose from, the choices.
"""

from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from importlib import import_module

from griffe import Class, Docstring, Extension

PACKAGE = "d2sfm.options."


class OptionsInReference(Extension):
    """Completes the docstrings of the classes of ``d2sfm.options``."""

    def on_class_members(self, *, cls: Class, **_) -> None:
        """Called for each class whose members have been read."""
        if not cls.module.path.startswith(PACKAGE):
            return
        found = getattr(import_module(cls.module.path), cls.name)
        if issubclass(found, Enum):
            told = f"One of {', '.join(f'`{each}`' for each in found)}."
        elif is_dataclass(found):
            named = [each for each in fields(found) if "help" in each.metadata]
            for each in named:
                if each.name in cls.members:  # and not its base's
                    cls.members[each.name].value = _default(each)
            told = "\n".join(_line(each) for each in named)
        else:
            return
        cls.docstring = Docstring(f"{cls.docstring.value}\n\n{told}", parent=cls)


def _line(field: Field) -> str:
    left_out = "where it is `False`: " if field.default is True else ""  # the help is that of --no-<name>
    return f"- `{field.name}`: {left_out}{field.metadata['help']}"


def _default(field: Field) -> str | None:
    """As Python that a caller may write, None where a value has to be given."""
    if field.default is MISSING:
        return None
    return repr(str(field.default) if isinstance(field.default, Enum) else field.default)
