"""The command ``d2sfm match``."""

import argparse
from pathlib import Path

from d2sfm.commands.arguments import GOES_ON, add_command, add_main_database, add_no_verify, add_options, parse_options
from d2sfm.console import finish, shows_progress
from d2sfm.options import STAGES, MatchingOptions, PairSelectionOptions, VerificationOptions

RESULT = "matching.summary.MatchSummary"


def add(commands) -> None:
    """Add the command's parser."""
    parser = add_command(commands, "match", run, "mutual nearest neighbours of image pairs, verified", GOES_ON, RESULT)
    add_main_database(parser)
    parser.add_argument(
        "--write-pairs",
        type=Path,
        metavar="FILE",
        help="write the chosen pairs, two names a line with a tab between (default: none)",
    )
    parser.add_argument("--overwrite", action="store_true", help="match and verify pairs again that are there already")
    add_no_verify(parser)
    add_options(parser, *STAGES["match"])


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm match``."""
    pairs = parse_options(PairSelectionOptions, arguments)
    options = parse_options(MatchingOptions, arguments)
    verification = parse_options(VerificationOptions, arguments)
    from d2sfm.matching.match import match_database

    summary = match_database(
        arguments.database,
        options=options,
        verification=verification if arguments.verify else None,
        pairs=pairs,
        write_pairs_to=arguments.write_pairs,
        overwrite=arguments.overwrite,
        progress=shows_progress(arguments),
    )
    return finish(arguments, summary, skipped=summary.skipped)
