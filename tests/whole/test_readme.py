import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import cv2
import pytest
from support.helpers import textured_picture

from d2sfm.cli import make_parser
from d2sfm.database import create_database, import_photographs

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:^    .*\n)+", TEXT, flags=re.MULTILINE)
PYTHON = [block for block in BLOCKS if re.search(r"^    (from|import) ", block, re.MULTILINE)]
CODE = [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in PYTHON]
COMMANDS = [line.strip() for block in BLOCKS for line in block.splitlines() if line.strip().startswith("d2sfm ")]
MODULES = sorted(set(re.findall(r"python -m (megadepth_utils\.\w+)", TEXT)))
LINKS = set(re.findall(r"\]\((?!https?:|#)([^)]+)\)", TEXT))
PROGRAMS = set(re.findall(r"\b(?:benchmarks|examples|tests|megadepth_utils)/[\w/]+\.\w+", TEXT))
LAYOUT = (ROOT / "docs/layout.md").read_text(encoding="utf-8")


def test_the_library_examples_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for index, name in enumerate(("photo.jpg", "a.jpg", "b.jpg")):
        cv2.imwrite(name, textured_picture(index, (96, 80)))
    create_database(Path("db.db"))
    import_photographs(Path("db.db"), tmp_path, ["photo.jpg"])
    names = {}
    assert len(CODE) == 3
    for code in CODE:
        exec(code, names)
    assert names["matches"].shape[1] == 2
    assert len(names["features"]) > 0


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_taken(command):
    arguments = shlex.split(command, comments=True)[1:]
    assert make_parser().parse_args(arguments).command == arguments[0]


@pytest.mark.parametrize("path", sorted(LINKS | PROGRAMS))
def test_files_that_are_named_are_there(path):
    assert (ROOT / path).is_file()


def test_every_package_and_every_module_beside_them_is_told_of_by_its_name():
    packages = {path.parent.name for path in (ROOT / "d2sfm").glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)` \|", LAYOUT, flags=re.MULTILINE)) == packages
    [ground] = re.findall(r"^Below all of these.*?\n\n", LAYOUT, flags=re.MULTILINE | re.DOTALL)
    modules = {path.stem for path in (ROOT / "d2sfm").glob("*.py")} - {"__init__", "__main__", "cli"}
    assert set(re.findall(r"`(\w+)`", ground)) == modules


@pytest.mark.parametrize("module", MODULES)
def test_modules_that_are_named_are_programs(module):
    assert "__main__" in Path(find_spec(module).origin).read_text(encoding="utf-8")
