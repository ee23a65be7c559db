import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.pages import PAGES, ROOT

import d2sfm

TEXT = "\n".join(PAGES.values())
README = PAGES[Path("README.md")]
MODULES = sorted(set(re.findall(r"python -m (megadepth_utils\.\w+)", TEXT)))
LINKS = sorted(
    {(str(page), target) for page, text in PAGES.items() for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text)}
)
PROGRAMS = sorted(set(re.findall(r"\b(?:benchmarks|examples|tests|megadepth_utils)/[\w/]+\.\w+", TEXT)))


def anchors(text: str) -> set[str]:
    """Of the headings of a page, as GitHub and static sites make them."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_the_landing_page_stays_short():
    assert len(README.splitlines()) <= 150


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
def test_the_landing_page_and_the_site_lead_to_every_page(page):
    assert f"({page}" in README
    assert f": {Path(page).name}\n" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_the_reference_has_every_public_name_once():
    named = re.findall(r"^::: (.+)$", PAGES[Path("docs/reference.md")], flags=re.MULTILINE)
    assert sorted(named) == sorted(f"d2sfm.{module}.{name}" for name, module in d2sfm._HOME.items())


def test_every_package_and_every_module_beside_them_is_told_of_by_its_name():
    packages = {path.parent.name for path in (ROOT / "d2sfm").glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)` \|", PAGES[Path("docs/layout.md")], flags=re.MULTILINE)) == packages
    [ground] = re.findall(r"^Below all of these.*?\n\n", PAGES[Path("docs/layout.md")], flags=re.MULTILINE | re.DOTALL)
    modules = {path.stem for path in (ROOT / "d2sfm").glob("*.py")} - {"__init__", "__main__", "cli"}
    assert set(re.findall(r"`(\w+)`", ground)) == modules


@pytest.mark.parametrize("module", MODULES)
def test_modules_that_are_named_are_programs(module):
    assert "__main__" in Path(find_spec(module).origin).read_text(encoding="utf-8")
