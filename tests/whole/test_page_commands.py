"""All commands on the pages run as they stand, in the order of their page, where the files are that it presumes."""

import json
import re
import shlex
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from support.page_steps import BEFORE, begin
from support.page_workspace import make_workspace, shorten_training
from support.pages import PAGES, Command, commands

from d2sfm.cli import main, make_parser

COMMANDS = {str(page): found for page, text in PAGES.items() if (found := commands(text))}
RUN = {page: run for page, found in COMMANDS.items() if (run := [each for each in found if not each.not_run])}
NOT_RUN = [each for found in COMMANDS.values() for each in found if each.not_run]
LANDING_PAGE = "README.md"


@pytest.fixture(scope="module")
def made(tmp_path_factory, narrow_training):
    """What the landing page's commands leave. Tests work in copies."""
    folder = tmp_path_factory.mktemp("workspace")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        shorten_training(patch)
        make_workspace(folder, RUN[LANDING_PAGE])
    return folder


@pytest.fixture
def copied(made, tmp_path, monkeypatch):
    """The folder of the process is a copy of that."""
    shutil.copytree(made, tmp_path / "here", symlinks=True)
    monkeypatch.chdir(tmp_path / "here")
    shorten_training(monkeypatch)


def run(command: Command) -> int:
    try:
        return main(command.arguments)
    except SystemExit as end:
        return end.code


def require_written(command: Command) -> None:
    """What the options and the comment of a command say that it writes is there."""
    named = re.findall(r"--(?:output|plot|cache|database) (\S+)", command.plain)
    named += re.findall(r"[\w./-]+\.(?:png|html|h5|txt)\b", command.line.partition(" #")[2])
    for name in named:
        assert list(Path().rglob(name)), f"{command.line}: no {name}"


@pytest.mark.slow
def test_the_landing_page(made):
    assert {path.name for path in made.iterdir()} >= {"photos-model", "db.db", "sparse", "training"}
    assert (made / "photos-model/sparse/0/points3D.bin").exists()


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(RUN.keys() - {LANDING_PAGE}))
def test_the_page(page, copied, capsys):
    before = dict(BEFORE.get(page, {}))
    for place, command in enumerate(RUN[page]):
        for key in ("", command.plain) if place == 0 else (command.plain,):
            before.pop(key, lambda: None)()
        capsys.readouterr()
        code, errors = run(command), capsys.readouterr().err
        if command.said:
            assert (code, errors.strip()) == (2, command.said)
        else:
            assert code == 0, f"{command.line}: {errors}"
            require_written(command)
    assert not before


@pytest.mark.slow
def test_a_filter_finds_its_number_in_json(copied, capsys):
    [(line, members)] = re.findall(r"^    (d2sfm .*--json.*) \| jq \.([\w.]+)$", PAGES[Path("docs/commands.md")], re.M)
    begin(database="extracted.db")()
    capsys.readouterr()
    assert run(Command(line, "", "")) == 0
    found = json.loads(capsys.readouterr().out)
    for member in members.split("."):
        found = found[member]
    assert found > 0


@pytest.fixture(scope="module")
def parser():
    return make_parser()


@pytest.mark.parametrize("command", NOT_RUN, ids=lambda command: command.plain)
def test_commands_that_are_not_run_are_taken(command, parser):
    assert parser.parse_args(command.arguments).command == command.arguments[0]


def test_commands_in_sentences_and_tables_have_these_options(parser, capsys):
    spans = {" ".join(span.split()) for text in PAGES.values() for span in re.findall(r"`(d2sfm [^`]+)`", text)}
    assert len(spans) > 50
    for span in spans - {"d2sfm COMMAND --help"}:
        # Many stand for what has more options.
        with suppress(SystemExit):
            parser.parse_args(shlex.split(span)[1:])
        assert not re.search("not an option|not a command|did you mean", capsys.readouterr().err), span


def test_as_many_commands_are_not_run_as_is_told():
    assert len(NOT_RUN) == 8
    assert sum(map(len, RUN.values())) > 100


def test_commands_are_found():
    text = """Text with `d2sfm run photos`

    pip install . && d2sfm demo || break        # one, two
    d2sfm match --json | jq .results

<!-- not-run: stays open -->

    d2sfm show model --serve

```console
$ d2sfm extract --onyl a
error: d2sfm extract: no
$ d2sfm match 'a b.db'
```
"""
    assert commands(text) == [
        ("d2sfm demo", "", ""),
        ("d2sfm match --json", "", ""),
        ("d2sfm show model --serve", "", "stays open"),
        ("d2sfm extract --onyl a", "error: d2sfm extract: no", ""),
        ("d2sfm match 'a b.db'", "", ""),
    ]
    assert commands(text)[4].arguments == ["match", "a b.db"]
