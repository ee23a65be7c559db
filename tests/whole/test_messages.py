"""The page of messages has what the code says, whatever its parts were put together from."""

import re

import pytest
from support.messages import of_code, of_page

pytestmark = pytest.mark.slow  # all of the code is parsed


@pytest.fixture(scope="module")
def code():
    return of_code()


def test_the_page_lists_each_message_once_and_no_other(code):
    page = of_page()
    assert sorted(code.keys() - set(page)) == []
    assert sorted(set(page) - code.keys()) == []
    assert len(set(page)) == len(page)


def test_each_message_of_the_page_has_words_to_search_for():
    assert [text for text in of_page() if len(re.findall("[a-z]{2,}", text)) < 2] == []


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ("no database ...: d2sfm extract --images DIR --database ... makes one", "d2sfm/database/file.py"),  # in pieces
        ("has no list of scales: extract or import it again", "d2sfm/database/rows.py"),  # of a kind of our own
        ("... is not an option of this command: here that is ...", "d2sfm/parser.py"),  # from a function
        ("... can't be read: the disk is damaged", "d2sfm/database/patience.py"),  # by a table
        ("no pair to draw from ... scenes; ...: ...", "d2sfm/training/scenes.py"),  # from a name in a function
    ],
)
def test_messages_are_found_however_they_are_made(code, message, path):
    assert code[message] == path
