"""Feature files: round trips, and files that are none."""

import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from d2sfm.features.record import Features
from d2sfm.formats.npz_mat import read_features, read_fingerprint, read_published, tells_convention, write_features
from d2sfm.options import Convention, DescriptorDtype, OutputType

NPZ, MAT = OutputType.NPZ, OutputType.MAT
FLOAT16, FLOAT32 = DescriptorDtype.FLOAT16, DescriptorDtype.FLOAT32


def make_features(count=3, seed=0, **fields):
    rng = np.random.default_rng(seed)
    keypoints = rng.normal(scale=1000, size=(count, 4)).astype(np.float32)
    descriptors = rng.uniform(-1, 1, (count, 512)).astype(np.float32)
    sizes = {"image_size": (640, 480), "input_size": (320, 240)}
    rest = {"convention": Convention.COLMAP, "scales": (1.0,)}
    return Features(keypoints=keypoints, descriptors=descriptors, **{**sizes, **rest, **fields})


def plain_arrays(features):
    """What the file of these features is to hold, all but the strings."""
    return {
        "keypoints": features.keypoints,
        "descriptors": features.descriptors,
        "scores": features.keypoints[:, 3],
        "image_size": np.array(features.image_size),
        "input_size": np.array(features.input_size),
        "scales": np.array(features.scales),
    }


edges = st.integers(1, 2**31)
scales = st.lists(st.floats(0.1, 8), min_size=1, max_size=4, unique=True).map(lambda values: tuple(sorted(values)))


@settings(max_examples=examples(30))
@given(
    count=st.integers(0, 5),
    seed=st.integers(0, 2**32),
    image_size=st.tuples(edges, edges),
    input_size=st.tuples(edges, edges),
    convention=st.sampled_from(Convention),
    scales=scales,
    kind=st.sampled_from([(NPZ, FLOAT16), (NPZ, FLOAT32), (MAT, FLOAT32)]),
)
def test_what_is_written_is_read(count, seed, image_size, input_size, convention, scales, kind):
    output_type, descriptor_dtype = kind
    features = make_features(
        count, seed, image_size=image_size, input_size=input_size, convention=convention, scales=scales
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jpg.d2-net"
        write_features(path, features, output_type, descriptor_dtype)
        stored = read_features(path)
    assert stored.keypoints.dtype == np.float32
    assert np.array_equal(stored.keypoints, features.keypoints)
    assert stored.descriptors.dtype == np.dtype(str(descriptor_dtype))
    assert np.array_equal(stored.descriptors, features.descriptors.astype(str(descriptor_dtype)))
    for field in ("image_size", "input_size", "convention", "scales"):
        assert getattr(stored, field) == getattr(features, field)
    assert isinstance(stored.convention, Convention)


@pytest.mark.parametrize("count", [0, 3])
@pytest.mark.parametrize("suffix", [".d2-net", ".npz", ".mat", ""])
@pytest.mark.parametrize("output_type", [NPZ, MAT])
def test_a_file_has_the_published_keys_and_the_name_that_was_asked_for(tmp_path, output_type, suffix, count):
    path, features = tmp_path / f"a.jpg{suffix}", make_features(count)
    write_features(path, features, output_type, FLOAT32)
    assert os.listdir(tmp_path) == [path.name]
    expected = plain_arrays(features)
    if output_type is NPZ:
        with np.load(path, allow_pickle=False) as archive:
            found = dict(archive)
        assert set(found) == {*expected, "convention"}
    else:
        found = scipy.io.loadmat(path, appendmat=False)
        expected = {key: np.atleast_2d(array) for key, array in expected.items()}
    assert found["convention"] == "colmap"
    for key, array in expected.items():
        assert found[key].shape == array.shape
        assert np.array_equal(found[key], array)


@pytest.mark.parametrize("output_type", [NPZ, MAT])
@pytest.mark.parametrize("fingerprint", ['{"weights": "d2_ots"}', "Füße " * 100])
def test_fingerprint(tmp_path, output_type, fingerprint):
    write_features(tmp_path / "a", make_features(), output_type, FLOAT32, fingerprint)
    write_features(tmp_path / "b", make_features(), output_type, FLOAT32)
    assert read_fingerprint(tmp_path / "a") == fingerprint
    assert read_fingerprint(tmp_path / "b") is None
    assert np.array_equal(read_features(tmp_path / "a").keypoints, make_features().keypoints)
    (tmp_path / "c").write_text("no feature file")
    assert read_fingerprint(tmp_path / "c") is None
    with pytest.raises(FileNotFoundError):
        read_fingerprint(tmp_path / "d")


@pytest.mark.parametrize("value", [["{}", "{}"], 1.0, []])
def test_a_fingerprint_that_is_no_text_is_none(tmp_path, value):
    np.savez(tmp_path / "a.npz", fingerprint=value)
    assert read_fingerprint(tmp_path / "a.npz") is None


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    write_features(path, make_features(2), NPZ, FLOAT32)
    write_features(path, make_features(5), MAT, FLOAT32)
    assert len(read_features(path)) == 5

    def full_disk(stream, **arrays):
        stream.write(b"PK\x03\x04")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_features(path, make_features(9), NPZ, FLOAT32)
    assert len(read_features(path)) == 5
    assert os.listdir(tmp_path) == ["a.npz"]


def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    write_features(tmp_path / "a.npz", make_features())
    assert (tmp_path / "a.npz").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_mat_has_no_float16(tmp_path):
    with pytest.raises(ValueError, match="mat files can't hold float16"):
        write_features(tmp_path / "a.mat", make_features(), MAT, FLOAT16)
    assert os.listdir(tmp_path) == []


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no feature file .*a\.npz"):
        read_features(tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError, match=r"no folder .*none"):
        write_features(tmp_path / "none" / "a.npz", make_features())


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" * 9])
def test_a_file_that_is_neither_npz_nor_mat(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz is not a feature file: expected npz or mat"):
        read_features(tmp_path / "a.npz")


@pytest.mark.parametrize("output_type", [NPZ, MAT])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.97])
def test_a_file_that_is_cut_short_is_refused(tmp_path, output_type, kept):
    path = tmp_path / "a"
    write_features(path, make_features(), output_type, FLOAT32)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=f"{path} (is damaged|lacks)"):
        read_features(path)


@pytest.mark.parametrize("output_type", [NPZ, MAT])
def test_files_of_the_published_tool_are_refused_with_the_missing_keys(tmp_path, output_type):
    arrays = {key: plain_arrays(make_features())[key] for key in ("keypoints", "scores", "descriptors")}
    with (tmp_path / "a.jpg.d2-net").open("wb") as stream:
        np.savez(stream, **arrays) if output_type is NPZ else scipy.io.savemat(stream, arrays)
    with pytest.raises(ValueError, match=r"a\.jpg\.d2-net lacks convention, image_size, input_size, scales: it is not"):
        read_features(tmp_path / "a.jpg.d2-net")
    assert read_fingerprint(tmp_path / "a.jpg.d2-net") is None


def test_pickled_arrays_are_never_loaded(tmp_path):
    arrays = {**plain_arrays(make_features()), "convention": np.array(["colmap", None], object)}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=r"a\.npz is damaged: .*allow_pickle=False"):
        read_features(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("keypoints", np.zeros((3, 2)), r"keypoints have shape \(3, 2\)"),
        ("descriptors", np.zeros((2, 512)), r"descriptors have shape \(2, 512\), expected \(3, 512\)"),
        ("convention", np.array("other"), "'other' is not a valid Convention"),
        ("keypoints", np.zeros((3, 4), complex), "keypoints are complex128, expected floating point"),
        ("descriptors", np.full((3, 512), "1"), "descriptors are <U1, expected floating point"),
        ("image_size", np.array([1, 2, 3]), r"size \[1, 2, 3\], expected width and height"),
        ("image_size", np.array([0.5, 2]), r"size \[0\.5, 2\.0\], expected width and height"),
        ("input_size", np.array([0, 3]), r"size \[0, 3\], expected width and height of 1 or more"),
        ("scales", np.array([1.0, 0]), r"scales \(1\.0, 0\.0\), expected numbers above 0"),
        ("scales", np.zeros(0), r"scales \(\), expected numbers above 0"),
        ("scales", np.array([np.inf]), r"scales \(inf,\), expected numbers above 0"),
    ],
)
def test_contradicting_arrays_are_named_with_the_file(tmp_path, key, value, message):
    arrays = {**plain_arrays(make_features()), "convention": np.array("colmap"), key: value}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=rf"a\.npz: .*{message}"):
        read_features(tmp_path / "a.npz")


def test_a_zip_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match=r"a\.zip lacks keypoints"):
        read_features(tmp_path / "a.zip")


def write_published(path, **changes):
    """A file as the published tool writes it, of three keypoints at two scales; ``changes`` replace its arrays."""
    arrays = {
        "keypoints": np.array([[1, 2, 1], [3, 4, 0.5], [5, 6, 1]], np.float64),
        "scores": np.array([0.5, 0.25, 0.75]),
        "descriptors": np.eye(3, 512, dtype=np.float32),
    } | changes
    arrays = {key: array for key, array in arrays.items() if array is not None}
    with path.open("wb") as stream:
        if path.suffix == ".mat":
            scipy.io.savemat(stream, arrays)
        else:
            np.savez(stream, **arrays)
    return path


@pytest.mark.parametrize("suffix", [".npz", ".mat"])
def test_files_of_the_published_tool(tmp_path, suffix):
    path = write_published(tmp_path / f"a{suffix}")
    assert not tells_convention(path)
    features = read_published(path, Convention.REFERENCE, (64, 48), (32, 24))
    assert features.keypoints.tolist() == [[1, 2, 1, 0.5], [3, 4, 0.5, 0.25], [5, 6, 1, 0.75]]
    np.testing.assert_array_equal(features.descriptors, np.eye(3, 512))
    assert (features.image_size, features.input_size, features.scales) == ((64, 48), (32, 24), (1.0, 2.0))
    assert features.convention is Convention.REFERENCE


@pytest.mark.parametrize("output_type", OutputType)
def test_d2sfms_files_tell_their_convention(tmp_path, output_type):
    write_features(tmp_path / "a", make_features(), output_type)
    assert tells_convention(tmp_path / "a")


def test_a_published_file_without_keypoints(tmp_path):
    empty = {"keypoints": np.zeros((0, 3)), "scores": np.zeros(0), "descriptors": np.zeros((0, 512))}
    features = read_published(write_published(tmp_path / "a.npz", **empty), Convention.REFERENCE, (64, 48), (64, 48))
    assert (features.keypoints.shape, features.scales) == ((0, 4), (1.0,))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": None}, r"a\.npz lacks scores"),
        ({"keypoints": np.zeros((3, 2))}, r"a\.npz: keypoints \(3, 2\) and scores \(3,\), expected \(N, 3\)"),
        ({"scores": np.zeros(2)}, r"a\.npz: keypoints \(3, 3\) and scores \(2,\)"),
        ({"descriptors": np.zeros((3, 128))}, r"a\.npz: descriptors have shape \(3, 128\)"),
        ({"keypoints": np.zeros((3, 3))}, r"a\.npz: scales of keypoints are not above 0"),
        ({"keypoints": np.array([["a"] * 3] * 3)}, r"a\.npz: keypoints are <U1, expected floating point"),
        ({"descriptors": np.zeros((3, 512), complex)}, r"a\.npz: descriptors are complex128, expected floating"),
    ],
)
def test_published_files_that_are_none(tmp_path, changes, message):
    path = write_published(tmp_path / "a.npz", **changes)
    with pytest.raises(ValueError, match=message):
        read_published(path, Convention.REFERENCE, (64, 48), (64, 48))


@pytest.mark.parametrize("output_type", [NPZ, MAT])
def test_the_orientation_of_a_turned_photograph_comes_back(tmp_path, output_type):
    write_features(tmp_path / "f", make_features(orientation=6), output_type)
    write_features(tmp_path / "g", make_features(), output_type)
    assert (read_features(tmp_path / "f").orientation, read_features(tmp_path / "g").orientation) == (6, 1)
    with np.load(tmp_path / "g") if output_type is NPZ else open(tmp_path / "g", "rb") as file:
        assert "orientation" not in (file.files if output_type is NPZ else scipy.io.loadmat(file))


@pytest.mark.parametrize("kind", ["npz", "mat"])
def test_what_unpacks_to_much_more_is_refused_before_memory_is_taken(tmp_path, monkeypatch, kind):
    arrays = {"keypoints": np.zeros((100_000, 3), np.float32)}
    if kind == "npz":
        np.savez_compressed(tmp_path / "f.npz", **arrays)
    else:
        scipy.io.savemat(tmp_path / "f.npz", arrays, do_compression=True)
    for reader in (np.lib.format, "read_array"), (scipy.io, "loadmat"):
        monkeypatch.setattr(*reader, None)
    monkeypatch.setattr("d2sfm.files.ALWAYS_UNPACKED", 0)
    with pytest.raises(ValueError, match=r"f\.npz is damaged: \d+ bytes would unpack to"):
        read_published(tmp_path / "f.npz", Convention.REFERENCE, (640, 480), (320, 240))


def test_cells_of_a_mat_file_are_not_made(tmp_path):
    scipy.io.savemat(tmp_path / "f.mat", {"keypoints": np.array([[1, "a"]], object)})
    with pytest.raises(ValueError, match=r"f\.mat is damaged: keypoints is cell, expected numbers or a text"):
        read_published(tmp_path / "f.mat", Convention.REFERENCE, (640, 480), (320, 240))
