"""The pages of the project, and the code on them."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
}
_INDENTED = r"(?:^    .*\n(?:^\n(?=    ))*)+"
_FENCED = r"^```python\n(?P<fenced>(?:.*\n)*?)```$"
_BLOCK = re.compile(
    rf"(?:^<!-- not-run: (?P<reason>.+) -->\n\n?)?(?:{_FENCED}|(?P<indented>{_INDENTED}))", re.MULTILINE
)


class Python(NamedTuple):
    """A block of Python on a page, and why it is not run, "" where it is."""

    code: str
    not_run: str


def indented_blocks(text: str) -> list[str]:
    """The blocks of code that are set in by four columns, as they stand."""
    return re.findall(_INDENTED, text, flags=re.MULTILINE)


def python_blocks(text: str) -> list[Python]:
    """The Python on a page: fenced as such, or set in and with an import. ``<!-- not-run: REASON -->`` may precede."""
    found = []
    for match in _BLOCK.finditer(text):
        code = match["fenced"] or re.sub(r"^    ", "", match["indented"] or "", flags=re.MULTILINE)
        if match["fenced"] or re.search(r"^(from|import) ", code, re.MULTILINE):
            found.append(Python(code, match["reason"] or ""))
    return found
