"""HDF5 files that are damaged, or lead elsewhere."""

import multiprocessing
import re
import resource
import signal
import zlib
from concurrent.futures import ProcessPoolExecutor

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from d2sfm.formats.hdf5 import (
    FLOATS,
    INTEGERS,
    array,
    created,
    groups_with,
    links,
    member,
    number_attribute,
    opened,
    text_attribute,
)


@pytest.fixture
def path(tmp_path):
    """a.jpg/keypoints, sub/b.jpg/keypoints and links of all kinds."""
    with h5py.File(tmp_path / "elsewhere.h5", "w") as file:
        file["c.jpg/keypoints"] = np.zeros((3, 2), np.float32)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["a.jpg/keypoints"] = np.arange(6, dtype=np.float32).reshape(3, 2)
        file["sub/b.jpg/keypoints"] = np.zeros((0, 2), np.float16)
        file["soft.jpg"] = h5py.SoftLink("/a.jpg")
        file["sub/dangling.jpg"] = h5py.SoftLink("/nowhere")
        file["external.jpg"] = h5py.ExternalLink("elsewhere.h5", "/c.jpg")
        file["a.jpg/scores"] = h5py.ExternalLink("elsewhere.h5", "/c.jpg/keypoints")
    return tmp_path / "f.h5"


def test_values_come_as_they_are(path):
    with opened(path) as file:
        found = array(member(file, "a.jpg"), "keypoints", (None, 2), FLOATS, 10)
        assert found.tolist() == [[0, 1], [2, 3], [4, 5]]
        assert array(member(file, "sub/b.jpg"), "keypoints", (None, 2), FLOATS, 10).shape == (0, 2)
        assert member(file, "nowhere") is None
        assert member(file, "a.jpg/keypoints/below") is None
        assert sorted(links(member(file, "a.jpg"))) == ["keypoints", "scores"]


@pytest.mark.parametrize("name", ["soft.jpg", "sub/dangling.jpg", "external.jpg", "a.jpg/scores", "soft.jpg/keypoints"])
def test_links_to_elsewhere_are_not_followed(path, name):
    with opened(path) as file, pytest.raises(ValueError, match="is a link to another place, which is not read"):
        member(file, name)


def test_groups_and_links_by_name(path):
    with opened(path) as file:
        found = groups_with(file, "keypoints")
    assert found == ["a.jpg", "external.jpg", "soft.jpg", "sub/b.jpg", "sub/dangling.jpg"]


def test_names_that_are_not_utf_8(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file[b"\xff.jpg/keypoints"] = np.zeros((1, 2))
        file["a.jpg/keypoints"] = np.zeros((1, 2))
    with opened(tmp_path / "f.h5") as file:
        assert links(file) == groups_with(file, "keypoints") == ["a.jpg"]


def test_a_group_within_itself_is_visited_once(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["sub/a.jpg/keypoints"] = np.zeros((1, 2))
        file["sub/again"] = file["sub"]
    with opened(tmp_path / "f.h5") as file:
        assert groups_with(file, "keypoints") == ["sub/a.jpg"]


def test_datasets_with_their_values_elsewhere(tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("raw", (4, 2), "f4", external=[(str(tmp_path / "secret.bin"), 0, 32)])
        layout = h5py.VirtualLayout((4, 2), "f4")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "keypoints", (4, 2))
        file.create_virtual_dataset("virtual", layout)
    with opened(tmp_path / "f.h5") as file:
        for name in ("raw", "virtual"):
            with pytest.raises(ValueError, match=f"f.h5: /{name} has its values in another file"):
                array(file, name, (None, 2), FLOATS, 10)


def write(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((3, 3)), r"x has shape \(3, 3\), expected \(N, 2\)"),
        (np.zeros(6), r"x has shape \(6,\), expected \(N, 2\)"),
        (np.float32(1), r"x has shape \(\), expected \(N, 2\)"),
        (h5py.Empty("f4"), r"x has shape None, expected \(N, 2\)"),
        (np.zeros((11, 2)), r"x has shape \(11, 2\), expected \(N, 2\) with 10 or fewer"),
        (np.zeros((3, 2), np.int32), "x holds int32, expected floats"),
        (np.zeros((3, 2), np.longdouble), "x holds float128, expected floats"),
        (np.zeros((3, 2), [("a", "f4")]), "x holds .*, expected floats"),
        (np.full((3, 2), b"text"), r"x holds \|S4, expected floats"),
    ],
)
def test_other_shapes_and_types_are_refused(tmp_path, values, message):
    write(tmp_path / "f.h5", x=values)
    with opened(tmp_path / "f.h5") as file, pytest.raises(ValueError, match=message):
        array(file, "x", (None, 2), FLOATS, 10)


def test_object_references_are_refused(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["x"] = np.array([[file.ref, file.ref]], h5py.ref_dtype)
    with opened(tmp_path / "f.h5") as file, pytest.raises(ValueError, match="x holds object, expected integers"):
        array(file, "x", (None, 2), INTEGERS, 10)


@pytest.mark.parametrize("chunks", [None, (64, 2)])
def test_declared_values_that_are_not_there(tmp_path, chunks):
    """Nothing of the gigabytes is allocated: the sum of all tests' memory would show it."""
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("x", (10**9, 2), "f8", chunks=chunks)
        file.create_dataset("y", (10**5, 2), "f8", chunks=chunks)
    with opened(tmp_path / "f.h5") as file:
        with pytest.raises(ValueError, match=r"expected .* with 1000000 or fewer"):
            array(file, "x", (None, 2), FLOATS, 10**6)
        with pytest.raises(ValueError, match="y declares 200000 values but holds none"):
            array(file, "y", (None, 2), FLOATS, 10**6)


def test_attributes(tmp_path):
    values = {"text": np.bytes_("tä".encode()), "number": np.float32(2.5), "zero": 0, "many": [1, 2], "nan": np.nan}
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_group("a").attrs.update(values | {"other": np.bytes_(b"\xff"), "variable": "text"})
    with opened(tmp_path / "f.h5") as file:
        group = file["a"]
        assert (text_attribute(group, "text"), text_attribute(group, "none")) == ("tä", None)
        assert (number_attribute(group, "number"), number_attribute(group, "none")) == (2.5, None)
        for name in ("number", "variable"):
            with pytest.raises(ValueError, match=f"the attribute {name} of a is not a text of fixed length"):
                text_attribute(group, name)
        with pytest.raises(ValueError, match="can't decode byte"):
            text_attribute(group, "other")
        for name, said in (("text", "not a number"), ("many", "not a number"), ("zero", "0"), ("nan", "nan")):
            with pytest.raises(ValueError, match=f"the attribute {name} of a is {said}"):
                number_attribute(group, name)


def test_files_that_are_none(tmp_path):
    (tmp_path / "text.h5").write_text("keypoints")
    with pytest.raises(ValueError, match=r"text.h5 is not an HDF5 file, or is damaged"), opened(tmp_path / "text.h5"):
        pass
    with pytest.raises(FileNotFoundError, match=r"no file .*nowhere.h5"), opened(tmp_path / "nowhere.h5"):
        pass
    with pytest.raises(FileNotFoundError, match="no folder"), created(tmp_path / "nowhere" / "f.h5", 1):
        pass


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write(tmp_path / "f.h5", x=1)

    def cut_off():
        with created(tmp_path / "f.h5", 10_000) as file:
            file["y"] = 2
            raise RuntimeError("cut off")

    with pytest.raises(RuntimeError, match="cut off"):
        cut_off()
    with opened(tmp_path / "f.h5") as file:
        assert links(file) == ["x"]
    assert [each.name for each in tmp_path.iterdir()] == ["f.h5"]


def write_beyond_the_limit(path):
    """In a process of its own, in which no file may be larger than 100 kB."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        with created(path, 8_010_000) as file:
            file["x"] = np.ones(10**6)
    except RuntimeError as error:
        return str(error)
    return "written"


@pytest.mark.slow
def test_a_full_disk(tmp_path):
    (tmp_path / "f.h5").write_text("old")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        message = pool.submit(write_beyond_the_limit, tmp_path / "f.h5").result()
    assert message == f"{tmp_path / 'f.h5'} can't be written: the disk is full or over its quota, and 9 MB are needed"
    assert [each.name for each in tmp_path.iterdir()] == ["f.h5"]
    assert (tmp_path / "f.h5").read_text() == "old"


def test_the_disk_has_all_of_the_file_before_and_gets_back_the_rest(tmp_path):
    with created(tmp_path / "f.h5", 1_000_000) as file:
        [part] = tmp_path.glob("*.part")
        for number in range(50):
            file[f"{number}/x"] = np.arange(1000.0)
        assert part.stat().st_size == 1_000_000
        assert part.stat().st_blocks * 512 >= 1_000_000
    assert 400_000 < (tmp_path / "f.h5").stat().st_size < 500_000
    with opened(tmp_path / "f.h5") as file:
        assert array(file, "49/x", (1000,), FLOATS, 1000)[-1] == 999


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "f.h5"
    with h5py.File(path, "w") as file:
        for name in ("a.jpg", "sub/b.jpg"):
            file[f"{name}/keypoints"] = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
            file.create_dataset(f"{name}/scores", data=np.zeros(30), compression="gzip")
            file[name].attrs["text"] = np.bytes_("t")
    return path.read_bytes()


def read_all(path):
    """Read what the whole file has; the file that the error names, where there is one and it is one line."""
    try:
        with opened(path) as file:
            for name in groups_with(file, "keypoints"):
                group = member(file, name)
                array(group, "keypoints", (None, 2), FLOATS, 1000)
                array(group, "scores", (None,), FLOATS, 1000)
                text_attribute(group, "text")
    except ValueError as error:
        return next(iter(re.findall(rf"^{re.escape(str(path))}(?=:? .+$)", str(error))), f"other: {error}")
    return ""


@settings(max_examples=examples(300))
@given(data=st.data())
def test_damaged_files_are_one_line(whole, tmp_path_factory, data):
    """Cut short, or with some bytes changed: read without an error or refused with the file's name."""
    path = tmp_path_factory.getbasetemp() / "damaged.h5"
    damaged = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for place in data.draw(st.lists(st.integers(0, max(0, len(damaged) - 1)), max_size=4)) if damaged else []:
        damaged[place] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    assert read_all(path) in ("", f"{path}")


@pytest.mark.parametrize("chunks", [(1000, 2), (20_000_000, 2)], ids=["most is not there", "a chunk is larger"])
def test_what_unpacks_to_gigabytes_is_not_read(tmp_path, chunks):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        rows = 10 if chunks[0] > 1000 else 20_000_000
        kind = {"chunks": chunks, "maxshape": (None, 2), "compression": "gzip"}
        made = file.create_dataset("a/keypoints", (rows, 2), np.float64, **kind)
        made.id.write_direct_chunk((0, 0), zlib.compress(bytes(16_000)))
    with opened(tmp_path / "f.h5") as file, pytest.raises(ValueError, match=r"f\.h5 .* would unpack to 320000000"):
        array(file["a"], "keypoints", (None, 2), FLOATS, 30_000_000)


def test_lists_of_few_matches_are_read_however_well_they_were_packed(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        made = file.create_dataset("a/matches0", data=np.full(100_000, -1), compression="gzip")
        assert made.nbytes > 300 * made.id.get_storage_size()
    with opened(tmp_path / "f.h5") as file:
        assert (array(file["a"], "matches0", (None,), INTEGERS, 100_000) == -1).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("_" * 5000, "a name of 5000 characters, _{40}\\.\\.\\."),
        ("/".join(["abc"] * 1030), "nested groups with names of 4"),
    ],
)
def test_names_that_no_photograph_has_are_refused(tmp_path, name, message):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_group(name)
    with opened(tmp_path / "f.h5") as file, pytest.raises(ValueError, match=rf"f\.h5 .*{message}"):
        groups_with(file, "keypoints")
