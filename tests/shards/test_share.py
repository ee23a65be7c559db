"""Shares of blocks: all of them together are all blocks, each once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2sfm.shards.share import Share


@given(st.integers(0, 50), st.integers(1, 9))
def test_shares_are_all_blocks_each_once(count, of):
    shares = [Share(number, of).blocks(count) for number in range(1, of + 1)]
    assert sorted(block for share in shares for block in share) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_share_is_read_as_it_is_written():
    assert Share.parse("2/7") == Share(2, 7)
    assert str(Share(2, 7)) == "2/7"


@pytest.mark.parametrize("text", ["", "2", "0/7", "8/7", "-1/7", "2/7/9", "1/0", "a/b", "1.5/2", " 1/2"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(ValueError, match=r"a shard is I/N with I from 1 to N, for example 2/7; found"):
        Share.parse(text)
