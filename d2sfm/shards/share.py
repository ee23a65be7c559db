"""Which part of the work a process does, as ``--shard 2/7`` says it."""

import re
from typing import NamedTuple


class Share(NamedTuple):
    """A share: its number, from 1 on, and how many there are."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Share":
        """From "2/7". ValueError for anything else."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        share = found and cls(*map(int, found.groups()))
        if not share or not 1 <= share.number <= share.of:
            raise ValueError(f"a shard is I/N with I from 1 to N, for example 2/7; found {text!r}")
        return share

    def blocks(self, count: int) -> range:
        """Numbers of the blocks, of ``count`` in all, that belong to the share."""
        return range(self.number - 1, count, self.of)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"
