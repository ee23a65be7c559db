"""A picture on the disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from d2sfm.show.picture import Picture, require_suffix
from d2sfm.text import printable

LONGEST_NAME = 120  # bytes of a file's name that is made of images' names


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What was drawn, and its path."""

    output: Path
    title: str
    facts: Mapping[str, str]

    def __str__(self) -> str:
        facts = "".join(f"; {label}: {value}" for label, value in self.facts.items())
        return f"show: {self.title}{facts}; in {self.output}"


def write_picture(picture: Picture, output: Path | None, *, light: bool = False) -> Shown:
    """Save a picture (default: as a PNG in the current folder, called after what it shows). Raises as ``Picture.save``,
    and ValueError for a light page, which follows the reader's system."""
    path = require_suffix(output or _file_name(picture.name))
    if light and path.suffix.lower() != ".png":
        raise ValueError("--light is for .png: a page follows the reader's system, dark or light")
    picture.save(path, light=light)
    return Shown(output=path, title=picture.title, facts=picture.facts)


def _file_name(name: str) -> str:
    """A path in the current folder, for any image name."""
    plain = "".join("_" if letter in '/\\:*?"<>|' else letter for letter in printable(name))
    return f"{plain.encode()[:LONGEST_NAME].decode(errors='ignore')}.png"
