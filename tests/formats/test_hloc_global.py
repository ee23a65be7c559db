import h5py
import numpy as np
import pytest

from d2sfm.formats.hloc_global import read_global_descriptors


@pytest.fixture
def write(tmp_path):
    def write_file(**changes):
        path = tmp_path / "global.h5"
        with h5py.File(path, "w") as file:
            for name, descriptor in {"a.jpg": [3.0, 4], "sub folder/b.jpg": [0.0, 2], **changes}.items():
                file.create_group(name)["global_descriptor"] = descriptor
        return path

    return write_file


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_reading_hloc_layout(write, dtype):
    path = write(**{"a.jpg": np.array([3, 4], dtype)})
    found = read_global_descriptors(path, ["sub folder/b.jpg", "a.jpg"])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0, 1], [0.6, 0.8]], rtol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([1.0, 2, 3], r"h5: b/global_descriptor has shape \(3,\), expected \(2,\)"),
        ([[1.0, 2]], r"h5: b/global_descriptor has shape \(1, 2\), expected \(2,\)"),
        ([1, 2], r"h5: b/global_descriptor holds int64, expected floats"),
        ([0.0, 0], r"h5: b/global_descriptor is zero, empty or not finite"),
        ([1.0, np.nan], r"h5: b/global_descriptor is zero, empty or not finite"),
        (b"text", r"h5: b/global_descriptor holds object, expected floats"),
        (h5py.ExternalLink("other.h5", "/b"), "global_descriptor is a link to another place"),
    ],
)
def test_bad_descriptors_are_named(write, wrong, message):
    with pytest.raises(ValueError, match=message):
        read_global_descriptors(write(b=wrong), ["a.jpg", "b"])


def test_a_descriptor_that_fits_into_no_memory_is_refused(tmp_path):
    with h5py.File(tmp_path / "global.h5", "w") as file:
        file.create_dataset("a.jpg/global_descriptor", (10**13,), "f4", chunks=(1024,))[:3] = 1
    with pytest.raises(ValueError, match=r"a\.jpg/global_descriptor has shape \(10000000000000,\)"):
        read_global_descriptors(tmp_path / "global.h5", ["a.jpg"])


def test_missing_images_and_files(write, tmp_path):
    with pytest.raises(ValueError, match=r"has no global_descriptor of 3 images \(sub the first\)"):
        read_global_descriptors(write(), ["a.jpg", "sub", "sub folder", "a.jpg/global_descriptor"])
    with pytest.raises(FileNotFoundError, match=r"no file .*nowhere"):
        read_global_descriptors(tmp_path / "nowhere.h5", ["a.jpg"])
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(ValueError, match=r"text\.h5 is not an HDF5 file"):
        read_global_descriptors(tmp_path / "text.h5", ["a.jpg"])
