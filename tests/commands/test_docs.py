"""docs/commands.md tells what is so, and docs/from_colmap.md which commands are known."""

import re
from pathlib import Path

import pytest

from d2sfm.cli import make_parser
from d2sfm.commands.json_output import output_schema
from d2sfm.spelling import ALSO_CALLED, COMMANDS_AFTER, COMMANDS_ELSEWHERE, plain

DOCS = Path(__file__).parents[2] / "docs"


def rows(page):
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| ")]


ROWS = rows("commands.md")


def test_the_table_of_other_tools_names_is_whole_and_right():
    told = [(re.findall(r"`(--\S+)`", row[0]), re.findall(r"`--(\S+)`", row[1])) for row in ROWS if "`--" in row[0]]
    assert {plain(name) for names, _ in told for name in names} == set(ALSO_CALLED)
    for names, meant in told:
        for index, name in enumerate(names):
            options = ALSO_CALLED[plain(name)]
            assert options == (tuple(meant) if len(options) > 1 else (meant[index if len(meant) > 1 else 0],))


def test_each_command_of_colmap_on_its_page_is_known_and_leads_to_the_same_one():
    told = [row for row in rows("from_colmap.md") if "`--" not in row[0]]
    commands = {name: here for there, here in told for name in re.findall(r"`(\w+)`", there)}
    assert {"gui", "model_converter", "stereo_fusion", "mapper"} <= commands.keys()
    for name, here in commands.items():
        meant = (COMMANDS_ELSEWHERE | COMMANDS_AFTER)[name]
        assert f"d2sfm {meant.split()[0]}" in here


@pytest.mark.parametrize("command", make_parser().commands)
def test_the_members_of_results_are_told(command):
    classes = make_parser().commands[command].get_default("result_classes")
    members = output_schema(command, classes)["properties"]["results"]["properties"]
    for name, schema in members.items():
        [told] = [row[2] for row in ROWS if row[0] == f"`{name}`" and len(row) == 3]
        assert re.findall(r"`(\w+)`", told) == list(schema["properties"])
