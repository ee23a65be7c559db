"""What results look like in notebooks: their sentence, a picture where they have one, and all that they hold."""

import base64
from collections.abc import Collection, Mapping
from html import escape
from numbers import Real
from pathlib import Path
from typing import Any

from d2sfm.json_text import members
from d2sfm.text import printable, printable_lines

FEW = 4  # members of a collection that are all told


class Displayed:
    """Gives a class of results what notebooks ask for. Texts of files are escaped."""

    def _repr_html_(self) -> str:
        has_sentence = type(self).__str__ is not object.__str__
        text = f'<pre style="white-space: pre-wrap">{_escaped(str(self))}</pre>' if has_sentence else ""
        told = {name: _told(getattr(self, name)) for name in members(type(self))}
        cells = [f"<tr><th>{name}</th><td>{_escaped(value)}</td></tr>" for name, value in told.items() if value]
        rows = "".join(cells)
        opened = "" if has_sentence else " open"
        details = f"<details{opened}><summary>{type(self).__name__}</summary><table>{rows}</table></details>"
        return f"{_image(self._picture())}{text}{details}"

    def _picture(self) -> bytes | None:
        """A PNG of the object; None if there is none."""
        return None


def _image(png: bytes | None) -> str:
    source = base64.b64encode(png or b"").decode()
    return f'<img style="max-width: 100%" src="data:image/png;base64,{source}">' if png else ""


def _escaped(text: str) -> str:
    return escape(printable_lines(text))


def _told(value: Any) -> str:
    """A member's value in a line; empty for None."""
    if value is None or isinstance(value, str | Path):
        return printable(str(value or ""))
    if isinstance(value, Real):
        return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    if isinstance(value, Mapping) or (isinstance(value, Collection) and not hasattr(value, "_fields")):
        each = value if not isinstance(value, Mapping) else [f"{key}: {_told(one)}" for key, one in value.items()]
        few = len(value) <= FEW and all(isinstance(one, str | Path | Real) for one in each)
        return ", ".join(map(_told, each)) if few else f"{len(value):,} entries"
    return printable(str(value).split("\n")[-1])
