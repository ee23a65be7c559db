"""The command ``d2sfm report``."""

import argparse
from pathlib import Path

from d2sfm.commands.arguments import DATABASE, add_command, add_images, add_main_input
from d2sfm.console import finish, shows_progress

RESULT = "report.report.ReportResult"
ON_INTERRUPT = "no page was written"


def add(commands) -> None:
    """Add the command's parser."""
    text = "a page that shows how good a reconstruction is, with the model in 3D"
    parser = add_command(commands, "report", run, text, ON_INTERRUPT, RESULT)
    add_main_input(
        parser.add_mutually_exclusive_group(),
        "model",
        "MODEL",
        metavar="DIR",
        help="folder of a COLMAP model or of numbered models, or the output of d2sfm run (default: sparse, if it "
        "is there and no --database is given)",
    )
    parser.add_argument(
        "--database",
        type=Path,
        metavar="FILE",
        help=f"COLMAP database of the model (default: {DATABASE} beside the model or here, if it is there)",
    )
    add_images(parser, "folder of the photographs, for thumbnails")
    parser.add_argument(
        "--output", type=Path, default=Path("report.html"), metavar="FILE", help="page to write (default: report.html)"
    )
    parser.add_argument(
        "--no-thumbnails", dest="thumbnails", action="store_false", help="leave out thumbnails of the photographs"
    )
    parser.add_argument(
        "--no-locations", dest="locations", action="store_false", help="leave out where on Earth they were taken"
    )


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm report``."""
    from d2sfm.database.file import beside
    from d2sfm.report.models import MODELS
    from d2sfm.report.report import write_report

    model = arguments.model
    if model is None and arguments.database is None and Path(MODELS).is_dir():
        model = Path(MODELS)
    result = write_report(
        model,
        arguments.output,
        database=arguments.database or beside(model, DATABASE),
        images=arguments.images,
        thumbnails=arguments.thumbnails,
        locations=arguments.locations,
        progress=shows_progress(arguments),
    )
    return finish(arguments, result)
