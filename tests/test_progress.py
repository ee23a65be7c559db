import io
import logging
import re
import sys

import pytest

from d2sfm.progress import Bar


class Clock:
    """Time as tqdm sees it."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)  # tests of notebooks in this process import it
    clock = Clock()
    monkeypatch.setattr("tqdm.std.time", clock)
    return clock


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records]


def test_where_nobody_watches_a_line_tells_now_and_then(clock, said, capsys):
    with Bar(total=90, desc="extract", unit="image") as bar:
        for _ in range(90):
            clock.now += 2
            bar.update()
    lines = said()
    assert len(lines) == 5
    assert lines[0] == "extract: 15 of 90 images, 0.5 a second, 02:30 left"
    assert capsys.readouterr() == ("", "")


def test_a_line_has_the_noun_for_several(clock, said):
    with Bar(total=3, desc="localize", unit="query") as bar:
        clock.now += 40
        bar.update(2)
    assert said() == ["localize: 2 of 3 queries, 0.05 a second, 00:20 left"]


def test_bytes_are_told_in_their_own_sizes(clock, said):
    with Bar(total=30_000_000, desc="d2_tf.pth", unit="B", unit_scale=True) as bar:
        clock.now += 40
        bar.update(12_000_000)
    assert said() == ["d2_tf.pth: 12.0M of 30.0M B, 300k a second, 01:00 left"]


def test_what_is_soon_done_says_nothing(clock, said, capsys):
    for _ in Bar(range(20), desc="match", unit="pair"):
        clock.now += 1
    assert said() == []
    assert capsys.readouterr() == ("", "")


def test_a_bar_that_is_not_wanted(clock, said, capsys):
    for _ in Bar(range(5), desc="match", unit="pair", disable=True):
        clock.now += 100
    assert said() == []
    assert capsys.readouterr() == ("", "")


def test_people_who_watch_get_a_bar_with_rate_and_time_left(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Bar(total=4, desc="extract", unit="image", mininterval=0, file=terminal) as bar:
        for _ in range(4):
            bar.update()
    assert re.search(r"extract: +50%\|.*\| 2/4 \[\d\d:\d\d<\d\d:\d\d, +[\d.?]+image/s\]", terminal.getvalue())
