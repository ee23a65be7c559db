"""Bad scene info: an error of one line or a scene that can be drawn from, and never code."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from support.all_tests import ALL_TESTS
from support.mutations import cut, mutated
from support.published_scene_info import ARRAYS, Touch, objects, published_arrays

from d2sfm.options import PairOptions
from d2sfm.training.dataset import crop_corner
from d2sfm.training.draws import draw_epoch
from d2sfm.training.scene_info import SCENE_KEYS
from d2sfm.training.scenes import load_scene

MARKER = Path("code-was-run")  # in the working folder
OPTIONS = PairOptions(min_overlap=0.0)

pytestmark = [
    pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning"),  # of the archives that are made here
    pytest.mark.filterwarnings("ignore:Stored array in format 3.0:UserWarning"),
]


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npz(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


MEMBERS = {key: npy(array) for key, array in ARRAYS.items()}
PUBLISHED = {key: npy(array) for key, array in published_arrays(marker=MARKER).items()}
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    return npz([(f"{key}.npy", content) for key, content in members.items()], method)


GOOD = [packed(MEMBERS, method) for method in METHODS]
EVIL = npy(objects([Touch(MARKER), 1, 2]))
BAD = [packed({**MEMBERS, "angles": EVIL}), packed(PUBLISHED), packed({**MEMBERS, "angles": EVIL[EVIL.index(b"\n") :]})]

keys = st.sampled_from(SCENE_KEYS)
methods = st.sampled_from(METHODS)
seeds = st.integers(0, 2**32)
# Not sampled_from, which would spell out all of their bytes where a test fails.
good = st.integers(0, len(GOOD) - 1).map(lambda index: GOOD[index])
good_or_bad = st.integers(0, len(GOOD + BAD) - 1).map(lambda index: (GOOD + BAD)[index])


def with_member(key: str, content: bytes, method: int) -> bytes:
    return packed({**MEMBERS, key: content}, method)


def with_names(key: str, names: list[str], content: bytes | None) -> bytes:
    """A member under other names, several of the same perhaps."""
    members = [(f"{other}.npy", data) for other, data in MEMBERS.items() if other != key]
    return npz(members + [(name, MEMBERS[key] if content is None else content) for name in names])


def with_values(changes: list[tuple[str, int, object]], kind: str | None) -> bytes:
    """Single values changed, or all of an array in another dtype."""
    found = {key: array.copy() for key, array in ARRAYS.items()}
    for key, index, value in changes:
        flat = found[key].reshape(-1)
        try:
            with np.errstate(all="ignore"):
                flat[index % flat.size] = value
                found[key] = found[key] if kind is None else found[key].astype(kind)
        except (ValueError, OverflowError, TypeError):
            continue
    return packed({key: npy(array) for key, array in found.items()})


def npy_head(text: bytes, version: tuple[int, int], length: int | None, data: bytes) -> bytes:
    length = len(text) if length is None else length
    size = struct.pack("<H", length & 0xFFFF) if version[0] == 1 else struct.pack("<I", length)
    return b"\x93NUMPY" + bytes(version) + size + text + data


values = st.one_of(
    st.floats(width=64),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0, 1, -1, 2, 3, 2**31, 1e308, -1e308, 5e-324, np.nan, np.inf, -np.inf]),
    st.text(max_size=5),
    st.sampled_from(["", "\0", "\n\n", "../../x", "/dev/zero", "\udc80", "a" * 5000]),
)
shapes = st.sampled_from(
    [
        "()",
        "(3,)",
        "(3, 3)",
        "(3, 3, 3)",
        "(5, 2)",
        "(10000000000000,)",
        "(10**30,)",
        "(-1,)",
        "(3.0,)",
        "None",
        "(2**62, 8)",
    ]
)
kinds = st.sampled_from(
    [
        *("'<f8'", "'>f8'", "'<i8'", "'>i8'", "'<U4'", "'>U4'", "'<U99999999'", "'|O'", "'|S5'", "'|V0'", "'<M8[ns]'"),
        *("'f8, O'", "[('a', '<f8')]", "[('a', '|O')]", "('<f8', (3,))", "''", "None", "0", "'<U0'", "'|b1'", "'<c16'"),
    ]
)
heads = st.builds(
    lambda kind, fortran, shape, more: (
        f"{{'descr': {kind}, 'fortran_order': {fortran}, 'shape': {shape}, {more}}}\n".encode()
    ),
    kinds,
    st.sampled_from(["True", "False", "1", "None"]),
    shapes,
    st.sampled_from(["", "'a': 1", "'descr': '<f8'", "'a': " + "(" * 50, "#" * 20000, "'\n\n': "]),
)
contents = st.one_of(
    st.binary(max_size=300),
    st.builds(
        bytes.__add__, st.sampled_from([b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY\1\0", GOOD[0][:60]]), st.binary()
    ),
    st.builds(mutated, good_or_bad, seeds),
    st.builds(mutated, good_or_bad, seeds),
    st.builds(cut, good, st.floats(0, 1)),
    st.builds(with_member, keys, st.binary(max_size=100) | st.just(EVIL), methods),
    st.builds(lambda key, seed, method: with_member(key, mutated(MEMBERS[key], seed), method), keys, seeds, methods),
    st.builds(
        lambda key, seed: packed({**PUBLISHED, key: mutated(PUBLISHED[key], seed)}),
        st.sampled_from(sorted(PUBLISHED)),
        seeds,
    ),
    st.builds(
        with_names,
        keys,
        st.lists(st.one_of(keys, keys.map(lambda key: f"{key}.npy"), st.text().map("x".__add__)), max_size=2),
        st.none() | st.binary(max_size=50) | st.just(EVIL),
    ),
    st.builds(
        with_values,
        st.lists(st.tuples(keys, st.integers(0, 100), values), min_size=1, max_size=3),
        st.sampled_from([None, None, None, ">f8", "f4", "i4", ">i8", "S9", "U9", ">U9", "c16", "?"]),
    ),
    st.builds(
        lambda key, array: with_member(key, npy(array), zipfile.ZIP_STORED),
        keys,
        arrays_of.arrays(
            arrays_of.scalar_dtypes() | arrays_of.array_dtypes(),
            arrays_of.array_shapes(min_dims=0, min_side=0, max_side=5),
        ),
    ),
    st.builds(
        lambda key, head, version, length, data, method: with_member(
            key, npy_head(head, version, length, data), method
        ),
        *(keys, heads, st.sampled_from([(1, 0), (2, 0), (3, 0), (9, 9)])),
        st.none() | st.integers(0, 2**32 - 1),
        *(st.integers(0, 300).map(bytes), methods),
    ),
)


def read_fuzzed(path: Path, content: bytes) -> bool:
    path.write_bytes(content)
    try:
        scene = load_scene(path, OPTIONS)
    except ValueError as error:
        message = str(error)
        assert message.startswith(str(path))
        assert len(message.splitlines()) == 1
        assert len(message) < len(str(path)) + 300
        message.encode()  # no half characters, which can't be printed
        return False
    assert scene.pairs.shape == (len(scene.pairs), 2)
    for draw in draw_epoch([scene], pairs_per_scene=3, max_scale_ratio=np.inf, seed=0, epoch=0):
        for image, xy in ((draw.image1, draw.xy1), (draw.image2, draw.xy2)):
            assert all(0 <= corner <= 36 for corner in crop_corner(xy, (100, 100), 64))
            if scene.depth_paths[image] != "":
                assert np.isfinite(np.linalg.inv(scene.intrinsics[image])).all()
                assert str(scene.image_paths[image]) != ""
    return True


def fuzz(folder: Path, max_examples: int) -> list[bool]:
    read = []

    @given(contents)
    # The deadline, in ms, is what tells a hang.
    @settings(deadline=5000, max_examples=max_examples, suppress_health_check=list(HealthCheck))
    def run(content):
        read.append(read_fuzzed(folder / "scene.npz", content))
        assert not MARKER.exists()

    run()
    return read


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("index", range(len(GOOD)))
def test_what_is_made_worse_below_is_good(folder, index):
    assert read_fuzzed(folder / "scene.npz", GOOD[index])


@pytest.mark.parametrize("index", range(2))
def test_code_that_would_be_run_by_pickle_is_not(folder, index):
    assert not read_fuzzed(folder / "scene.npz", BAD[index])
    assert not MARKER.exists()
    with np.load(folder / "scene.npz", allow_pickle=True) as archive:
        [archive[key] for key in archive.files]
    assert MARKER.exists()


@pytest.mark.slow
def test_bad_scenes(folder):
    fuzz(folder, 100)


@pytest.mark.slow
def test_many_bad_scenes(folder):
    """Ten thousand with D2SFM_ALL_TESTS."""
    examples = 10_000 if ALL_TESTS else 1500
    read = fuzz(folder, examples)
    assert read.count(False) > examples // 2
    assert read.count(True) > examples // 20
