"""What can't be used, by name, each with its reason: the work continues without it."""

from collections.abc import Iterator
from contextlib import contextmanager


class Skipped(dict[str, str]):
    """Reasons in words by the name of what was skipped, in the order of their coming."""

    @contextmanager
    def catching(self, name: str) -> Iterator[None]:
        """A ValueError or OSError of the block ends it, and its reason is entered under the name."""
        try:
            yield
        except (ValueError, OSError) as error:
            self[name] = reason(error)


def reason(error: Exception) -> str:
    """Why something is skipped, in words: of an OSError only those of the system, without the path."""
    return getattr(error, "strerror", None) or str(error)
