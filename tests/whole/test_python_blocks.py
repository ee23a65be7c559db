"""All Python on the pages runs as it stands, block after block, where the files are there that it names."""

from pathlib import Path

import cv2
import pytest
from support.feature_database import say_verified
from support.helpers import textured_picture
from support.narrow_network import use_narrow_network
from support.pages import PAGES, python_blocks
from support.small_map import camera, make_small_map

from d2sfm import Pose
from d2sfm.database import create_database, import_photographs
from d2sfm.extraction.extract import extract_to_database
from d2sfm.matching.match import match_database

BLOCKS = {str(page): blocks for page, text in PAGES.items() if (blocks := python_blocks(text))}
NOT_RUN = 0  # blocks that are marked so, with the reason


def run_blocks(page: str, **names) -> dict:
    """Run the blocks of a page one after the other, with these names; returns all names."""
    for block in BLOCKS[page]:
        if not block.not_run:
            exec(compile(block.code, page, "exec"), names)
    return names


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def photographs():
    for index, name in enumerate(("photo.jpg", "a.jpg", "b.jpg")):
        cv2.imwrite(name, textured_picture(index, (96, 80)))


def test_the_landing_page(photographs):
    names = run_blocks("README.md")
    assert names["matches"].shape[1] == 2
    assert len(names["a"]) > 0


@pytest.mark.slow
def test_the_page_of_the_library(photographs, folder):
    create_database(Path("db.db"))
    import_photographs(Path("db.db"), folder, ["photo.jpg"])
    names = run_blocks("docs/library.md")
    assert names["matches"].shape[1] == 2
    assert names["features"].keypoints.shape[1] == 4


@pytest.mark.slow
def test_the_page_of_localization(folder, narrow_weights, monkeypatch, capsys):
    use_narrow_network(monkeypatch, narrow_weights)
    small_map = make_small_map(folder)
    (folder / "model").rename("map")
    cv2.imwrite("photo.jpg", cv2.imread(str(small_map.query)), [cv2.IMWRITE_JPEG_QUALITY, 98])
    assert isinstance(run_blocks("docs/localization.md", camera=camera())["pose"], Pose)
    assert "Rigid3d" in capsys.readouterr().out


@pytest.mark.slow
def test_the_page_of_refinement(folder, narrow_weights, monkeypatch):
    use_narrow_network(monkeypatch, narrow_weights)
    (folder / "photos").mkdir()
    whole = textured_picture(3, (136, 96))
    for index in range(2):
        cv2.imwrite(str(folder / "photos" / f"{index}.png"), whole[:, 8 * index : 8 * index + 128])
    extract_to_database(Path("db.db"), folder / "photos")
    match_database("db.db", verification=None)
    say_verified(Path("db.db"), step=1)
    assert run_blocks("docs/refinement.md")["state"].refinement.tracks > 0


def test_every_page_with_python_has_its_test():
    tested = {"README.md", "docs/library.md", "docs/localization.md", "docs/refinement.md"}
    assert {page for page, blocks in BLOCKS.items() if any(not block.not_run for block in blocks)} == tested


def test_as_many_blocks_are_not_run_as_is_told():
    assert sum(bool(block.not_run) for blocks in BLOCKS.values() for block in blocks) == NOT_RUN


def test_blocks_are_found():
    text = """Text

    from a import b
    b()

    c()

<!-- not-run: needs a GPU -->

    import d

    d2sfm run photos

```python
e()
```

<!-- not-run: takes a day -->
```python
f()

g()
```

```json
{"import": 1}
```
"""
    assert python_blocks(text) == [
        ("from a import b\nb()\n\nc()\n", "", ""),
        ("import d\n\nd2sfm run photos\n", "needs a GPU", ""),
        ("e()\n", "", "python"),
        ("f()\n\ng()\n", "takes a day", "python"),
    ]
