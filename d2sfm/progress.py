"""Progress of long work: a bar where people watch, a line now and then where it goes into a file."""

import io
import logging
import sys

from tqdm import tqdm

from d2sfm.text import plural

LINE_S = 30.0  # between two lines: those of a night are read at once

logger = logging.getLogger(__name__)


class Bar(tqdm):
    """tqdm's bar. Where standard error is no terminal and no notebook, lines of the log in its place."""

    def __init__(self, *arguments, **settings):
        self._is_told = not settings.get("disable") and not _is_watched()
        if self._is_told:
            settings |= {"file": io.StringIO(), "leave": False, "delay": LINE_S, "mininterval": LINE_S, "miniters": 1}
        super().__init__(*arguments, **settings)

    def display(self, msg=None, pos=None):
        """Show where it is; tqdm calls this when it is time, and at the end with an empty text to clear the line."""
        if not self._is_told:
            return super().display(msg, pos)
        if msg is None and self.n != self.total:  # the end is told by the stage itself
            logger.info("%s", self.line())
        return True

    def line(self) -> str:
        """What is done, how fast, and how long the rest takes: "extract: 30 of 90 images, 1.5 a second, 00:40 left"."""
        told = self.format_dict
        rate = told["rate"] or self.n / max(told["elapsed"], 1e-9)
        numbers = self.n, self.total or 0
        n, total = (tqdm.format_sizeof(each) if self.unit_scale else f"{each:,}" for each in numbers)
        speed = tqdm.format_sizeof(rate) if self.unit_scale else f"{rate:.3g}"
        unit = self.unit if self.unit_scale else plural(self.unit)
        done = f"{n} of {total} {unit}" if self.total else f"{n} {unit}"
        left = f", {tqdm.format_interval((self.total - self.n) / rate)} left" if self.total and rate else ""
        return f"{self.desc.removesuffix(': ')}: {done}, {speed} a second{left}"


def _is_watched() -> bool:
    return "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())
