"""Matches in hloc's layout: what hloc would read of ours, and what we read of hloc's."""

import re

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.hloc import key_of_hloc, matches_of_hloc

from d2sfm.formats.hloc_matches import HlocMatches, require_distinct, write_hloc_matches

NAMES = ["a.jpg", "A.jpg", "sub/a.jpg", "sub/deeper/a b.png", "Süd/ä_ö.jpg", "a_b.jpg", "写真/東.jpg"]


def write_as_hloc(path, key, partners, scores=None):
    """hloc's writer_fn."""
    with h5py.File(str(path), "a", libver="latest") as file:
        group = file.create_group(key)
        group.create_dataset("matches0", data=np.asarray(partners).astype(np.int16))
        group.create_dataset("matching_scores0", data=np.ones(len(partners), np.float16) if scores is None else scores)


def read(path, names, counts):
    """The matches of all pairs; counts: of keypoints by name."""
    with HlocMatches(path, names) as file:
        return {pair: file.read(pair, tuple(counts[name] for name in pair))[0].tolist() for pair in file.pairs()}


def test_hloc_reads_what_we_write(tmp_path):
    matches = np.array([[0, 3], [2, 1], [4, 0]])
    with h5py.File(tmp_path / "m.h5", "w") as file:
        for name in NAMES[1:]:
            write_hloc_matches(file, (NAMES[0], name), matches, 5, np.array([0.5, 0.75, 1]))
    for name in NAMES[1:]:
        found, scores = matches_of_hloc(tmp_path / "m.h5", NAMES[0], name)
        assert found.tolist() == matches.tolist()
        assert scores.tolist() == [0.5, 0.75, 1]
        found, _ = matches_of_hloc(tmp_path / "m.h5", name, NAMES[0])
        assert found.tolist() == matches[:, ::-1].tolist()


@settings(max_examples=examples(40))
@given(st.integers(0, 7), st.integers(0, 7), st.integers(0, 2**32 - 1), st.permutations(NAMES))
def test_what_is_written_is_read(tmp_path_factory, count_a, count_b, seed, names):
    path, generator = tmp_path_factory.getbasetemp() / "m.h5", np.random.default_rng(seed)
    number = generator.integers(0, min(count_a, count_b) + 1)
    matches = np.stack([generator.permutation(count)[:number] for count in (count_a, count_b)], axis=1)
    with h5py.File(path, "w") as file:
        write_hloc_matches(file, (names[0], names[1]), matches, count_a, np.ones(number))
    found = read(path, NAMES, {names[0]: count_a, names[1]: count_b})
    if names[0] > names[1]:
        matches = matches[:, ::-1]
    assert {pair: sorted(of_pair) for pair, of_pair in found.items()} == {
        tuple(sorted(names[:2])): sorted(matches.tolist())
    }


@pytest.mark.parametrize("separator", "/_")
def test_files_of_hloc_of_both_namings_and_orders(tmp_path, separator):
    path = tmp_path / "m.h5"
    write_as_hloc(path, key_of_hloc("a_b.jpg", "sub/a.jpg", separator), [-1, 2, 0])
    write_as_hloc(path, key_of_hloc("sub/a.jpg", "a.jpg", separator), [1, -1, 0])
    counts = {"a_b.jpg": 3, "sub/a.jpg": 3, "a.jpg": 2}
    assert read(path, NAMES, counts) == {
        ("a.jpg", "sub/a.jpg"): [[1, 0], [0, 2]],
        ("a_b.jpg", "sub/a.jpg"): [[1, 2], [2, 0]],
    }


def test_a_pair_that_is_there_twice_counts_as_in_hloc(tmp_path):
    path, counts = tmp_path / "m.h5", {"a.jpg": 1, "b.jpg": 1}
    write_as_hloc(path, "a.jpg_b.jpg", [-1])
    write_as_hloc(path, "b.jpg/a.jpg", [0])
    assert read(path, counts, counts) == {("a.jpg", "b.jpg"): [[0, 0]]}
    write_as_hloc(path, "a.jpg/b.jpg", [-1])
    assert read(path, counts, counts) == {("a.jpg", "b.jpg"): []}


def test_pairs_of_other_images_are_counted(tmp_path):
    path = tmp_path / "m.h5"
    for key in ("a.jpg/b.jpg", "a.jpg/c.jpg", "c.jpg_a.jpg", "d.jpg/c.jpg", "a.jpg/a.jpg"):
        write_as_hloc(path, key, [0])
    with HlocMatches(path, ["a.jpg", "b.jpg"]) as file:
        assert file.pairs() == [("a.jpg", "b.jpg")]
        assert file.unknown == 4


@pytest.mark.parametrize(
    ("partners", "message"),
    [
        ([0, 1], r"m.h5: a.jpg/b.jpg/matches0 has shape (2,), expected (3,)"),
        ([0, 5, -1], r"m.h5: a.jpg/b.jpg names keypoints 0 to 5 of 5"),
        ([0, 1, -32768], r"m.h5: a.jpg/b.jpg names keypoints -32768 to 1 of 5 (more than 16 bits hold)"),
        ([[0], [1], [2]], r"a.jpg/b.jpg/matches0 has shape (3, 1), expected (3,)"),
    ],
)
def test_matches_that_do_not_fit(tmp_path, partners, message):
    write_as_hloc(tmp_path / "m.h5", "a.jpg/b.jpg", partners)
    with pytest.raises(ValueError, match=re.escape(message)):
        read(tmp_path / "m.h5", ["a.jpg", "b.jpg"], {"a.jpg": 3, "b.jpg": 5})


def test_floats_links_and_datasets_in_place_of_groups(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["a.jpg/b.jpg/matches0"] = np.zeros(3)
        file["a.jpg/c.jpg"] = np.zeros(3)
        file["b.jpg/c.jpg"] = h5py.ExternalLink("other.h5", "/x")
    counts = dict.fromkeys(["a.jpg", "b.jpg", "c.jpg"], 3)
    with HlocMatches(tmp_path / "m.h5", counts) as file:
        messages = [
            "matches0 holds float64, expected integers",
            "c.jpg holds float64, expected integers",
            "is a link to another place",
        ]
        for pair, message in zip(file.pairs(), messages, strict=True):
            with pytest.raises(ValueError, match=message):
                file.read(pair, (3, 3))


COUNTS = {"a.jpg": 4, "b.jpg": 9}


def scores_of(path):
    with HlocMatches(path, COUNTS) as file:
        [pair] = file.pairs()
        matches, scores = file.read(pair, tuple(COUNTS[name] for name in pair))
    assert scores is None or (scores.dtype, len(scores)) == (np.float16, len(matches))
    return scores if scores is None else dict(zip(map(tuple, matches.tolist()), scores.tolist(), strict=True))


@pytest.mark.parametrize("names", [("a.jpg", "b.jpg"), ("b.jpg", "a.jpg")])
@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.uint8])
def test_each_match_has_its_score(tmp_path, names, dtype):
    partners, scores = np.full(COUNTS[names[0]], -1), np.arange(COUNTS[names[0]])
    partners[[0, 1, 3]] = [2, 0, 1]
    write_as_hloc(tmp_path / "m.h5", key_of_hloc(*names), partners, scores.astype(dtype))
    found = {(0, 2): 0.0, (1, 0): 1.0, (3, 1): 3.0}
    assert scores_of(tmp_path / "m.h5") == {match[:: 1 if names[0] < names[1] else -1]: s for match, s in found.items()}


@pytest.mark.parametrize(
    "scores", [[1, 1, 0, 1], [0.5, np.nan, 0, 0.5], [1, 1e9, 1, 1], [1, 2], [[1, 2]] * 4, [], None]
)
def test_scores_that_tell_no_match_from_another_count_as_none(tmp_path, scores):
    """Some matchers give all the same; the third of these is of no match."""
    write_as_hloc(tmp_path / "m.h5", "a.jpg/b.jpg", [2, 0, -1, 1], scores)
    assert scores_of(tmp_path / "m.h5") is None
    assert read(tmp_path / "m.h5", COUNTS, COUNTS) == {("a.jpg", "b.jpg"): [[0, 2], [1, 0], [3, 1]]}


def test_a_layout_without_scores(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["a.jpg/b.jpg"] = np.array([[0, 2], [1, 0]])
    assert scores_of(tmp_path / "m.h5") is None


def test_names_that_can_be_split_in_two_ways(tmp_path):
    write_as_hloc(tmp_path / "m.h5", "a_b_c", [0])
    with pytest.raises(ValueError, match=r"m.h5: the name a_b_c fits 2 pairs of images"):
        HlocMatches(tmp_path / "m.h5", ["a", "b_c", "a_b", "c"])


def test_names_that_the_layout_makes_the_same(tmp_path):
    assert require_distinct(NAMES)["sub-deeper-a b.png"] == "sub/deeper/a b.png"
    with pytest.raises(ValueError, match=r"a/b.jpg and a-b.jpg are both called a-b.jpg in hloc's files of matches"):
        require_distinct(["a/b.jpg", "c.jpg", "a-b.jpg"])


def test_two_matches_of_one_keypoint(tmp_path):
    with (
        h5py.File(tmp_path / "m.h5", "w") as file,
        pytest.raises(ValueError, match=r"a keypoint of a.jpg has several matches in b.jpg"),
    ):
        write_hloc_matches(file, ("a.jpg", "b.jpg"), np.array([[0, 1], [0, 2]]), 5, np.ones(2))


def test_a_dense_matchers_pair_ends_at_its_last_match(tmp_path):
    """hloc's match_dense makes matches0 as long as the largest index asks for, whatever keypoints there are."""
    path, counts = tmp_path / "m.h5", {"a.jpg": 6, "b.jpg": 5}
    with h5py.File(path, "w") as file:
        file["a.jpg/b.jpg/matches0"] = np.array([-1, 4, 4], np.int32)  # several of one keypoint: its way to count
        file["a.jpg/b.jpg/keypoints0"] = np.zeros((9, 2))
    assert read(path, counts, counts) == {("a.jpg", "b.jpg"): [[1, 4], [2, 4]]}
    with pytest.raises(ValueError, match="names keypoints 1 to 2 of 2"):
        read(path, counts, {"a.jpg": 2, "b.jpg": 5})


@pytest.mark.parametrize("dtype", [np.int64, np.uint16])
def test_lists_of_matches_as_deep_image_matching_writes_them(tmp_path, dtype):
    path, counts = tmp_path / "m.h5", {"a.jpg": 6, "b.jpg": 5, "c.jpg": 4}
    matches = np.array([[5, 0], [2, 4]], dtype)
    with h5py.File(path, "w") as file:
        file.require_group("b.jpg").create_dataset("a.jpg", data=matches[:, ::-1])
        file.require_group("a.jpg").create_dataset("b.jpg", data=matches)
        file.require_group("c.jpg").create_dataset("a.jpg", data=np.array([[3, 1]], dtype))
        file.require_group("b.jpg").create_dataset("c.jpg", data=np.zeros((0, 2), dtype))
        file.require_group("c.jpg").create_dataset("other.jpg", data=matches)
    assert read(path, counts, counts) == {
        ("a.jpg", "b.jpg"): [[5, 0], [2, 4]],
        ("a.jpg", "c.jpg"): [[1, 3]],
        ("b.jpg", "c.jpg"): [],
    }
    with HlocMatches(path, counts) as file:
        assert file.unknown == 1


@pytest.mark.parametrize(
    ("matches", "message"),
    [
        ([[0, 5]], "a.jpg/b.jpg names keypoints 5 to 5 of 5"),
        ([[-1, 0]], "a.jpg/b.jpg names keypoints -1 to -1 of 6"),
        ([[0.0, 1.0]], "a.jpg/b.jpg holds float64, expected integers"),
        ([[0, 1, 2]], "a.jpg/b.jpg has shape (1, 3), expected (N, 2)"),
    ],
)
def test_lists_of_matches_that_do_not_fit(tmp_path, matches, message):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["a.jpg/b.jpg"] = np.array(matches)
    counts = {"a.jpg": 6, "b.jpg": 5}
    with pytest.raises(ValueError, match=re.escape(message)):
        read(tmp_path / "m.h5", counts, counts)
