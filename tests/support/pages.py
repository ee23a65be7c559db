"""The pages of the project, and the code on them."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
}
_INDENTED = r"(?:^    .*\n(?:^\n(?=    ))*)+"
_FENCED = r"^```(?P<language>\w*)\n(?P<fenced>(?:.*\n)*?)```$"
_BLOCK = re.compile(
    rf"(?:^<!-- not-run: (?P<reason>.+) -->\n\n?)?(?:{_FENCED}|(?P<indented>{_INDENTED}))", re.MULTILINE
)


class Block(NamedTuple):
    """Code on a page, the language that its fence names, and why it is not run, "" where it is."""

    code: str
    not_run: str
    language: str = ""


class Command(NamedTuple):
    """A command of d2sfm on a page, without what a shell makes of the rest of its line.

    said: what the page says that it prints, "" where it does not. not_run: as of its block.
    """

    line: str
    said: str
    not_run: str

    @property
    def plain(self) -> str:
        """Without a comment."""
        return self.line.partition(" #")[0].strip()

    @property
    def arguments(self) -> list[str]:
        """Without the program."""
        return shlex.split(self.line, comments=True)[1:]


def blocks(text: str) -> list[Block]:
    """All code on a page: fenced, or set in by four columns. ``<!-- not-run: REASON -->`` may precede."""
    return [
        Block(
            match["fenced"] or re.sub(r"^    ", "", match["indented"] or "", flags=re.MULTILINE),
            match["reason"] or "",
            match["language"] or "",
        )
        for match in _BLOCK.finditer(text)
    ]


def python_blocks(text: str) -> list[Block]:
    """The Python on a page: fenced as such, or set in and with an import."""
    imports = re.compile(r"^(from|import) ", re.MULTILINE)
    return [
        block
        for block in blocks(text)
        if block.language == "python" or (not block.language and imports.search(block.code))
    ]


def commands(text: str) -> list[Command]:
    """The commands of d2sfm on a page, in its order; a prompt ``$`` precedes those whose output follows."""
    found = []
    for block in blocks(text):
        for line, said in re.findall(r"^(?:\$ )?(.*)\n((?:(?<=\n)error: .*\n)*)", block.code, re.MULTILINE):
            for part in re.split(r"&&|\|+", line):
                if part.strip().startswith("d2sfm "):
                    found.append(Command(part.strip(), said.strip(), block.not_run))
    return found
