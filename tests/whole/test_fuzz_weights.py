"""Bad checkpoints: an error of one line or whole weights, and never code."""

import io
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.all_tests import ALL_TESTS
from support.mutations import cut, mutated

import d2sfm.network.weights.load
from d2sfm.network.trunk import CONVOLUTIONS
from d2sfm.network.weights.load import D2NET_PREFIX, LAYER_INDEX, TORCHVISION_PREFIX, load_weights

SMALL = [(name, 3 if not i else 2, 2) for i, (name, _, _) in enumerate(CONVOLUTIONS)]  # files of 10 kB, not 15 MB
SHAPES = {
    f"{name}.{kind}": shape
    for name, channels_in, channels_out in SMALL
    for kind, shape in (("weight", (channels_out, channels_in, 3, 3)), ("bias", (channels_out,)))
}
KEYS = {key: f"{LAYER_INDEX[key.split('.')[0]]}.{key.split('.')[1]}" for key in SHAPES}
MARKER = "code-was-run"  # in the working folder

pytestmark = pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # of the archives that are made here


class Runs:
    """A pickle of it makes the folder MARKER when it is loaded by pickle."""

    def __reduce__(self):
        return Path.mkdir, (Path(MARKER),)


def state(prefix):
    return {prefix + KEYS[key]: torch.ones(shape) for key, shape in SHAPES.items()}


def saved(content, **options):
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


GOOD = [
    saved({"model": state(D2NET_PREFIX), "preprocessing": "caffe"}),
    saved(state(TORCHVISION_PREFIX)),
    saved({"model": state(D2NET_PREFIX)}, _use_new_zipfile_serialization=False),
]
BAD = [
    saved({"model": state(D2NET_PREFIX), "args": Runs()}, _use_new_zipfile_serialization=new) for new in (True, False)
]


def pickle_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read("archive/data.pkl")


def repacked(change, method=zipfile.ZIP_STORED, content=GOOD[0]):
    """The archive with its members changed by change(name, data), which returns what to write for it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(stream, "w", method) as written:
        for name in archive.namelist():
            for new_name, data in change(name, archive.read(name)):
                written.writestr(new_name, data)
    return stream.getvalue()


def with_pickle(data, method=zipfile.ZIP_STORED):
    return repacked(lambda name, old: [(name, data if name.endswith("data.pkl") else old)], method)


MEMBERS = zipfile.ZipFile(io.BytesIO(GOOD[0])).namelist()
NAMES = st.one_of(
    st.sampled_from([*MEMBERS, "/", "../data.pkl", "archive/code/a.py", "archive/constants.pkl"]),
    st.text().map("x".__add__),
)


def member_changed(member, names, data):
    """The member under other names, several ones of the same perhaps, with other data if that is not None."""

    def change(name, old):
        return [(name, old)] if name != member else [(new, old if data is None else data) for new in names]

    return repacked(change)


GLOBALS = [
    *(b"os system", b"posix mkdir", b"builtins eval", b"builtins exec", b"builtins getattr", b"pathlib Path"),
    *(b"argparse Namespace", b"numpy dtype", b"numpy.core.multiarray scalar", b"numpy._core.multiarray scalar"),
    *(b"torch._utils _rebuild_tensor_v2", b"torch FloatStorage", b"torch Size", b"torch Tensor", b"torch.nn Parameter"),
    *(b"collections OrderedDict", b"collections Counter", b"builtins set", b"builtins bytearray", b"_codecs encode"),
    *(b"torch._utils _rebuild_parameter", b"torch._utils _rebuild_sparse_tensor", b"torch._utils _rebuild_qtensor"),
    *(b"torch._tensor _rebuild_from_type_v2", b"torch._utils _rebuild_meta_tensor_no_storage", b"torch device"),
]
OPCODES = [
    *(b"c" + name.replace(b" ", b"\n") + b"\n" for name in GLOBALS),
    b"(X\x0c\0\0\0" + MARKER.encode() + b"tR",
    *(bytes([code]) for code in b"(.tRbaesu)]}N\x85\x86\x87\x88\x89\x8f\x90\x81Q0210d"),
    *(
        b"K\x02",
        b"J\xff\xff\xff\x7f",
        b"J\xff\xff\xff\xff",
        b"G" + b"\x7f\xf8" + b"\0" * 6,
        b"X\x05\0\0\0model",
        b"U\x01a",
    ),
    *(
        b"q\0",
        b"h\0",
        b"h\x01",
        b"r\0\0\0\1",
        b"j\0\0\0\1",
        b"\x8a\x01\x05",
        b"\x8a\x08" + b"\xff" * 7 + b"\x7f",
        b"\x80\x02",
    ),
    b"X\x07\0\0\0storage",
]
pickles = st.lists(st.sampled_from(OPCODES), max_size=30).map(lambda codes: b"\x80\x02" + b"".join(codes) + b".")

DTYPES = [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn, torch.int64, torch.bool, torch.complex64]
ODD_TENSORS = {
    "empty": lambda shape: torch.empty(0),
    "turned": lambda shape: torch.ones(shape[::-1]),
    "larger": lambda shape: torch.ones([size + 1 for size in shape]),
    "expanded": lambda shape: torch.ones(()).expand(shape),
    "sparse": lambda shape: torch.ones(shape).to_sparse(),
    "meta": lambda shape: torch.ones(shape, device="meta"),
    "quantized": lambda shape: torch.quantize_per_tensor(torch.ones(shape), 0.1, 0, torch.quint8),
    "nested": lambda shape: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "nan": lambda shape: torch.full(shape, torch.nan),
    "infinite": lambda shape: torch.full(shape, -torch.inf),
    "too large": lambda shape: torch.full(shape, 1e300, dtype=torch.float64),
    "negative view": lambda shape: torch.complex(torch.ones(shape), torch.ones(shape)).conj().imag,
    "parameter": lambda shape: torch.nn.Parameter(torch.ones(shape)),
    "text": lambda shape: "weights",
    "nothing": lambda shape: None,
    "dict": lambda shape: {"weight": torch.ones(shape)},
}
odd_tensors = st.one_of(
    st.sampled_from(sorted(ODD_TENSORS)).map(ODD_TENSORS.__getitem__),
    st.sampled_from(DTYPES).map(lambda dtype: lambda shape: torch.ones(shape, dtype=dtype)),
)


def with_entries(entries, wrapped, preprocessing, new_format):
    content = state(D2NET_PREFIX)
    for key, new_key, make in entries:
        del content[D2NET_PREFIX + KEYS[key]]
        content[D2NET_PREFIX + KEYS[key] if new_key is None else new_key] = make(SHAPES[key])
    content = {"model": content, "preprocessing": preprocessing} if wrapped else content
    return saved(content, _use_new_zipfile_serialization=new_format)


plain_values = st.one_of(st.none(), st.text(), st.integers(), st.just(torch.ones(3)), st.tuples(st.integers()))
# Not sampled_from, which would spell out all of their bytes where a test fails.
good = st.integers(0, len(GOOD) - 1).map(lambda index: GOOD[index])
good_or_bad = st.integers(0, len(GOOD + BAD) - 1).map(lambda index: (GOOD + BAD)[index])
entries = st.tuples(st.sampled_from(sorted(KEYS)), st.none() | st.text(), odd_tensors)
contents = st.one_of(
    st.binary(max_size=300),
    st.builds(bytes.__add__, st.sampled_from([b"PK\x03\x04", b"\x80\x02", GOOD[2][:30], GOOD[0][:60]]), st.binary()),
    st.builds(mutated, good_or_bad, st.integers(0, 2**32)),
    st.builds(mutated, good_or_bad, st.integers(0, 2**32)),
    st.builds(cut, good, st.floats(0, 1)),
    st.builds(
        member_changed, st.sampled_from(MEMBERS), st.lists(NAMES, max_size=2), st.none() | st.binary(max_size=100)
    ),
    st.builds(lambda seed: with_pickle(mutated(pickle_of(GOOD[0]), seed)), st.integers(0, 2**32)),
    st.builds(lambda seed: with_pickle(mutated(pickle_of(BAD[0]), seed)), st.integers(0, 2**32)),
    st.builds(with_pickle, pickles, st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])),
    pickles,
    st.builds(
        with_entries,
        st.lists(entries, max_size=2, unique_by=lambda entry: entry[0]),
        st.booleans(),
        plain_values,
        st.booleans(),
    ),
)


def load_fuzzed(path, content):
    path.write_bytes(content)
    try:
        weights = load_weights(path)
    except ValueError as error:
        message = str(error)
        assert message.startswith(str(path))
        assert len(message.splitlines()) == 1
        assert len(message) < len(str(path)) + 300
        message.encode()  # no half characters, which can't be printed
        return False
    assert {key: tuple(tensor.shape) for key, tensor in weights.items()} == SHAPES
    for tensor in weights.values():
        assert tensor.dtype == torch.float32
        assert tensor.isfinite().all()
        assert tensor.numpy().flags.c_contiguous
    return True


def fuzz(folder, max_examples):
    loaded = []

    @given(contents)
    # The deadline, in ms, is what tells a hang.
    @settings(deadline=5000, max_examples=max_examples, suppress_health_check=list(HealthCheck))
    def run(content):
        loaded.append(load_fuzzed(folder / "weights.pth", content))
        assert not Path(MARKER).exists()

    run()
    return loaded


@pytest.fixture
def folder(tmp_path, monkeypatch):
    bundled = tmp_path / "bundled.pth"
    bundled.write_bytes(GOOD[0])
    monkeypatch.setitem(d2sfm.network.weights.load.BUNDLED, "d2_ots", bundled)
    monkeypatch.setattr(d2sfm.network.weights.load, "CONVOLUTIONS", SMALL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("content", GOOD, ids=range(len(GOOD)))
def test_what_is_made_worse_below_is_good(folder, content):
    assert load_fuzzed(folder / "weights.pth", content)


@pytest.mark.parametrize("content", BAD, ids=range(len(BAD)))
def test_code_that_would_be_run_by_pickle_is_not(folder, content):
    (folder / "weights.pth").write_bytes(content)
    with pytest.raises(ValueError, match="code from a checkpoint is never run"):
        load_weights(folder / "weights.pth")
    assert not Path(MARKER).exists()
    torch.load(folder / "weights.pth", weights_only=False)
    assert Path(MARKER).exists()


@pytest.mark.slow
def test_bad_checkpoints(folder):
    fuzz(folder, 200)


@pytest.mark.slow
def test_many_bad_checkpoints(folder):
    """Ten thousand with D2SFM_ALL_TESTS."""
    examples = 10_000 if ALL_TESTS else 1500
    loaded = fuzz(folder, examples)
    assert loaded.count(False) > examples // 2
