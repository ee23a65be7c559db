import re
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import pytest
from support.helpers import textured_picture

import d2sfm


@pytest.mark.parametrize("name", d2sfm.__all__)
def test_every_public_name_is_there(name):
    assert getattr(d2sfm, name).__name__ == name
    assert name in dir(d2sfm)


@pytest.mark.slow
def test_the_docstrings_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for path in ("photo.jpg", "photos/a.jpg"):
        cv2.imwrite(path, textured_picture(1, (96, 80)))
    names = {}
    exec(textwrap.dedent(d2sfm.__doc__[d2sfm.__doc__.index("    from d2sfm") :]), names)
    assert len(names["features"]) > 0
    with d2sfm.FeatureStore("db.db") as store:
        assert list(store.extracted()) == ["a.jpg"]


def test_its_journeys_name_every_stage():
    packages = {path.parent.name for path in Path(d2sfm.__file__).parent.glob("*/__init__.py")}
    assert packages <= set(re.findall(r"\w+", d2sfm.__doc__))


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="no_such_name"):
        d2sfm.no_such_name  # noqa: B018


def modules_after(code):
    command = [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_importing_d2sfm_loads_nothing_heavy_but_zlib():
    loaded = modules_after("import d2sfm")
    assert "zlib" in loaded
    assert not {"torch", "pycolmap", "numpy", "cv2", "matplotlib"} & loaded


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "warns"), [("pycolmap, d2sfm", True), ("d2sfm, pycolmap", False), ("numpy, pycolmap, d2sfm", False)]
)
def test_an_order_of_imports_that_breaks_compression_is_told(first, warns):
    command = [sys.executable, "-c", f"import {first}"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert ("RuntimeWarning: pycolmap was imported before d2sfm" in told) == warns


@pytest.mark.slow
@pytest.mark.parametrize("first", ["d2sfm, pycolmap", "numpy, pycolmap, d2sfm"])
def test_other_orders_write_pictures(first, tmp_path):
    code = f"import {first}; from PIL import Image; Image.new('RGB', (300, 200)).save('a.png')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


@pytest.mark.slow
def test_the_network_half_needs_no_pycolmap_and_no_torchvision():
    loaded = modules_after("import d2sfm, d2sfm.features.extractor, d2sfm.matching.neighbours, d2sfm.formats.npz_mat")
    assert "torch" in loaded
    assert not {"pycolmap", "torchvision", "cv2", "matplotlib"} & loaded


@pytest.mark.slow
def test_torchvision_is_of_training_alone():
    """Every other module leaves it alone: it takes a second to load."""
    loaded = modules_after(
        "import importlib, pkgutil, d2sfm; names = [m.name for m in pkgutil.walk_packages(d2sfm.__path__, 'd2sfm.')]; "
        "[importlib.import_module(n) for n in names if '__main__' not in n and not n.startswith('d2sfm.training')]"
    )
    assert {"d2sfm.extraction.extract", "d2sfm.refinement.refine", "d2sfm.commands.train", "pycolmap"} <= loaded
    assert "torchvision" not in loaded
    assert "torchvision" in modules_after("import d2sfm.training.trainer")


@pytest.mark.slow
def test_training_needs_no_pycolmap():
    loaded = modules_after("import d2sfm.training.train, d2sfm.commands.train")
    assert {"torch", "h5py"} <= loaded
    assert "pycolmap" not in loaded


def test_the_command_line_loads_nothing_that_computes_or_draws():
    loaded = modules_after("import d2sfm.cli; d2sfm.cli.make_parser()")
    assert "d2sfm.commands.train" in loaded
    assert not {"torch", "pycolmap", "numpy", "cv2", "scipy", "matplotlib", "tabulate", "filelock", "asyncio"} & loaded


@pytest.mark.slow
def test_compressed_writes_after_pycolmap_do_not_abort():
    """zlib loaded after pycolmap aborts the process: d2sfm loads it first."""
    modules_after("import d2sfm.database; import zlib; zlib.compress(b'x' * 10000)")


@pytest.mark.slow
def test_pictures_are_drawn_without_pyplot():
    loaded = modules_after("import d2sfm.demo.show, d2sfm.training.journal")
    assert "matplotlib.figure" in loaded
    assert "matplotlib.pyplot" not in loaded
