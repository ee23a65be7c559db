"""The command ``d2sfm bridge``."""

import argparse
from dataclasses import dataclass

from d2sfm.commands.arguments import (
    CAN_CONTINUE,
    add_command,
    add_copy,
    add_images,
    add_main_database,
    add_multiscale,
    add_options,
    database_or_copy,
    parse_options,
)
from d2sfm.console import finish, shows_progress
from d2sfm.options import BridgeOptions, ExtractionOptions, MapCacheOptions
from d2sfm.text import counted

RESULT, RESTORATION = "bridge.bridge.BridgeSummary", "commands.bridge.UnbridgedSummary"
OPTIONS = (BridgeOptions, ExtractionOptions, MapCacheOptions)


@dataclass(frozen=True, kw_only=True)
class UnbridgedSummary:
    """What --restore did."""

    images: int  # from which D2 keypoints were taken out

    def __str__(self) -> str:
        return f"bridge: D2 features taken out of {counted(self.images, 'image')}"


def add(commands) -> None:
    """Add the command's parser."""
    text = "connect photographs that another extractor has left apart, by D2 features in its database"
    parser = add_command(commands, "bridge", run, text, CAN_CONTINUE, RESULT, restore=RESTORATION)
    add_main_database(parser)
    add_images(parser)
    add_copy(parser, "bridge")
    parser.add_argument(
        "--restore", action="store_true", help="remove what was added: all rows are as they were before"
    )
    add_multiscale(parser)
    add_options(parser, *OPTIONS)


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm bridge``."""
    options, features, cache = (parse_options(kind, arguments) for kind in OPTIONS)
    if arguments.restore and (arguments.images or (options, features, cache) != tuple(kind() for kind in OPTIONS)):
        raise ValueError("--restore needs neither photographs nor other options")
    from d2sfm.bridge.bridge import bridge_database, unbridge_database

    database = database_or_copy(arguments)
    if arguments.restore:
        return finish(arguments, UnbridgedSummary(images=unbridge_database(database)))
    given = {"options": options, "features": features, "cache": cache, "progress": shows_progress(arguments)}
    summary = bridge_database(database, arguments.images, **given)
    return finish(arguments, summary, skipped=summary.skipped)
