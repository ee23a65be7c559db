"""Names of pictures for readers that know no subfolders."""

from collections.abc import Collection
from pathlib import PurePosixPath


def base_names(names: Collection[str]) -> dict[str, str]:
    """A file name for each name of an image, "left_a.jpg" for "left/a.jpg"; a name without a folder stays.

    No two are equal up to the first dot, ignoring case, as some readers cut there; otherwise a number is added.
    """
    found, taken = {}, set()
    for name in sorted(names, key=lambda name: ("/" in name, name)):
        stem, dot, rest = name.replace("/", "_").partition(".")
        count, numbered = 1, stem
        while numbered.casefold() in taken:
            count += 1
            numbered = f"{stem}_{count}"
        taken.add(numbered.casefold())
        found[name] = f"{numbered}{dot}{rest}"
    return found


def as_png(name: str) -> str:
    """The name with the suffix of a format that has alpha, for a picture that gets it."""
    return f"{PurePosixPath(name).with_suffix('')}.png"
