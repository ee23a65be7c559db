"""Bad pairs files: an error of one line or pairs, nothing else."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.all_tests import ALL_TESTS

from d2sfm.pairs.pair_files import read_pairs

IDS = {"a.jpg": 1, "b.jpg": 2, "my view.jpg": 3, "sub/é.png": 4, " a.jpg": 5, "#c": 6, "a.jpg b.jpg": 7}

pieces = st.sampled_from([*(name.encode() for name in IDS), b" ", b"\t", b"\n", b"\r\n", b"\r", b"#", b"\0"])
odd_pieces = st.sampled_from(
    [b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3", b"\x85", "\u2028".encode(), b" " * 9000, b"a" * 9000]
)
contents = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(st.one_of(pieces, pieces, odd_pieces, st.binary(max_size=3)), max_size=20).map(b"".join),
    st.lists(st.lists(pieces, max_size=4).map(b"".join), max_size=20).map(b"\n".join),
)


def read_fuzzed(path, content):
    path.write_bytes(content)
    try:
        pairs, message = read_pairs(path, IDS), None
    except ValueError as error:
        pairs, message = np.zeros((0, 2), np.uint32), str(error)
    assert message is None or (message.startswith(str(path)) and len(message.splitlines()) == 1)
    assert pairs.dtype == np.uint32
    assert pairs.shape == (len(pairs), 2)
    listed = list(map(tuple, pairs.tolist()))
    assert len(set(listed)) == len(listed)
    assert all(a < b and {a, b} <= set(IDS.values()) for a, b in listed)


def fuzz(tmp_path, max_examples):
    @given(contents)
    # The deadline, in ms, is what tells a hang.
    @settings(deadline=5000, max_examples=max_examples, suppress_health_check=list(HealthCheck))
    def run(content):
        read_fuzzed(tmp_path / "pairs.txt", content)

    run()


@pytest.mark.slow
def test_bad_pairs_files(tmp_path):
    fuzz(tmp_path, 300)


@pytest.mark.slow
def test_many_bad_pairs_files(tmp_path):
    """Ten thousand with D2SFM_ALL_TESTS."""
    examples = 10_000 if ALL_TESTS else 1500
    fuzz(tmp_path, examples)


@pytest.mark.parametrize("path", ["", ".", "nowhere.txt", "nowhere/pairs.txt", "x" * 300, "nul\0byte"])
def test_bad_paths(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as error:
        read_pairs(path, IDS)
    assert len(str(error.value).splitlines()) == 1
