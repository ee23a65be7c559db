"""docs/commands.md tells what is so."""

import re
from pathlib import Path

import pytest

from d2sfm.cli import make_parser
from d2sfm.commands.json_output import output_schema
from d2sfm.spelling import ALSO_CALLED, plain

TEXT = (Path(__file__).parents[2] / "docs/commands.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in TEXT.splitlines() if line.startswith("| ")]


def test_the_table_of_other_tools_names_is_whole_and_right():
    told = [(re.findall(r"`(--\S+)`", row[0]), re.findall(r"`--(\S+)`", row[1])) for row in ROWS if "`--" in row[0]]
    assert {plain(name) for names, _ in told for name in names} == set(ALSO_CALLED)
    for names, meant in told:
        for index, name in enumerate(names):
            options = ALSO_CALLED[plain(name)]
            assert options == (tuple(meant) if len(options) > 1 else (meant[index if len(meant) > 1 else 0],))


@pytest.mark.parametrize("command", make_parser().commands)
def test_the_members_of_results_are_told(command):
    classes = make_parser().commands[command].get_default("result_classes")
    members = output_schema(command, classes)["properties"]["results"]["properties"]
    for name, schema in members.items():
        [told] = [row[2] for row in ROWS if row[0] == f"`{name}`" and len(row) == 3]
        assert re.findall(r"`(\w+)`", told) == list(schema["properties"])
