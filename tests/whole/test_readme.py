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
PAGES = {
    path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
}
TEXT = "\n".join(PAGES.values())
README = PAGES[Path("README.md")]
BLOCKS = {page: re.findall(r"(?:^    .*\n)+", text, flags=re.MULTILINE) for page, text in PAGES.items()}
# Each part of a line, and without what a shell makes of it.
COMMANDS = sorted(
    {
        part.strip()
        for blocks in BLOCKS.values()
        for line in "".join(blocks).splitlines()
        for part in re.split(r"&&|\|", line)
        if part.strip().startswith("d2sfm ")
    }
)
MODULES = sorted(set(re.findall(r"python -m (megadepth_utils\.\w+)", TEXT)))
LINKS = sorted(
    {(str(page), target) for page, text in PAGES.items() for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text)}
)
PROGRAMS = sorted(set(re.findall(r"\b(?:benchmarks|examples|tests|megadepth_utils)/[\w/]+\.\w+", TEXT)))


def python_of(page: str) -> list[str]:
    blocks = [block for block in BLOCKS[Path(page)] if re.search(r"^    (from|import) ", block, re.MULTILINE)]
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in blocks]


def anchors(text: str) -> set[str]:
    """Of the headings of a page, as GitHub and static sites make them."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_the_landing_page_stays_short():
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize(
    ("page", "count"), [("README.md", 1), pytest.param("docs/library.md", 3, marks=pytest.mark.slow)]
)
def test_the_library_examples_run_one_after_the_other(page, count, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for index, name in enumerate(("photo.jpg", "a.jpg", "b.jpg")):
        cv2.imwrite(name, textured_picture(index, (96, 80)))
    create_database(Path("db.db"))
    import_photographs(Path("db.db"), tmp_path, ["photo.jpg"])
    names = {}
    assert len(python_of(page)) == count
    for code in python_of(page):
        exec(code, names)
    assert names["matches"].shape[1] == 2
    assert len(names["a"]) > 0


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_taken(command):
    arguments = shlex.split(command, comments=True)[1:]
    if not arguments[0].startswith("--print"):
        assert make_parser().parse_args(arguments).command == arguments[0]


@pytest.mark.parametrize("program", PROGRAMS)
def test_files_that_are_named_are_there(program):
    assert (ROOT / program).is_file()


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_links_lead_somewhere(page, target):
    path, _, anchor = target.partition("#")
    linked = ((ROOT / page).parent / path).resolve() if path else ROOT / page
    assert linked.is_file()
    assert not anchor or anchor in anchors(linked.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", sorted(str(page) for page in PAGES if page.parent.name == "docs"))
def test_the_landing_page_leads_to_every_page(page):
    assert f"({page}" in README


def test_every_package_and_every_module_beside_them_is_told_of_by_its_name():
    packages = {path.parent.name for path in (ROOT / "d2sfm").glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)` \|", PAGES[Path("docs/layout.md")], flags=re.MULTILINE)) == packages
    [ground] = re.findall(r"^Below all of these.*?\n\n", PAGES[Path("docs/layout.md")], flags=re.MULTILINE | re.DOTALL)
    modules = {path.stem for path in (ROOT / "d2sfm").glob("*.py")} - {"__init__", "__main__", "cli"}
    assert set(re.findall(r"`(\w+)`", ground)) == modules


@pytest.mark.parametrize("module", MODULES)
def test_modules_that_are_named_are_programs(module):
    assert "__main__" in Path(find_spec(module).origin).read_text(encoding="utf-8")
