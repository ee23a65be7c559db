"""Completion of command lines by shells, through shtab."""

import argparse
from pathlib import Path

from d2sfm.commands.arguments import ChoiceOf

SHELLS = ("bash", "zsh")


class PrintCompletion(argparse.Action):
    """Prints the script for a shell, and ends the program."""

    def __call__(self, parser, namespace, values, option_string=None):
        import shtab  # for this alone

        for each in parser.below:
            for action in each._actions:
                if isinstance(action.type, ChoiceOf):
                    action.choices = [choice.value for choice in action.type.kind]
                elif action.type is Path or "FILE" in str(action.metavar):
                    action.complete = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE
        print(shtab.complete(parser, values))
        parser.exit()
