"""The JSON object that a command prints under ``--json``, and its schema."""

import argparse
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from d2sfm import __version__
from d2sfm.console import EXIT_DONE, EXIT_ERROR, EXIT_INCOMPLETE, EXIT_INTERRUPTED
from d2sfm.json_text import json_text, schema

VERSION = 1  # of the schemas: counts up where a member goes or means something else, not for new ones


def json_output(
    command: str | None, exit_code: int, error: str | None, warnings: Sequence[str], results: Mapping[str, Any]
) -> str:
    """The object as text. results: what the command gave, by name; warnings: what it warned of, in order."""
    facts = {"version": VERSION, "d2sfm": __version__, "command": command, "exit_code": exit_code, "error": error}
    return json_text({**facts, "warnings": list(warnings), "results": dict(results)})


def output_schema(command: str, result_classes: Mapping[str, str]) -> dict[str, Any]:
    """The JSON Schema of what a command prints. result_classes: as ``add_command`` has them."""
    codes = [EXIT_DONE, EXIT_INCOMPLETE, EXIT_ERROR, EXIT_INTERRUPTED]
    members = {
        "version": {"const": VERSION},
        "d2sfm": {"type": "string", "description": "version of the program"},
        "command": {"const": command},
        "exit_code": {"enum": codes, "description": "0 done, 1 in part, 2 an error, 130 interrupted"},
        "error": {"type": ["string", "null"], "description": "the line that says why, if the exit code is 2 or 130"},
        "warnings": {"type": "array", "items": {"type": "string"}},
        "results": {
            "type": "object",
            "description": "what was finished, by what made it",
            "properties": {name: schema(_loaded(path)) for name, path in result_classes.items()},
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"d2sfm {command} --json",
        "type": "object",
        "properties": members,
        "required": list(members),
    }


class PrintSchema(argparse.Action):
    """Prints the schema of a command, and ends the program."""

    def __call__(self, parser, namespace, values, option_string=None):
        if values not in parser.commands:
            parser.check_command(values)
        chosen = parser.commands[values]
        print(json_text(output_schema(values, chosen.get_default("result_classes"))))
        parser.exit()


def _loaded(path: str) -> type:
    module, _, name = path.rpartition(".")
    return getattr(import_module(f"d2sfm.{module}"), name)
