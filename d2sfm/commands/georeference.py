"""The command ``d2sfm georeference``."""

import argparse
from pathlib import Path

from d2sfm.commands.arguments import add_command, add_main_input, add_options, add_output, parse_options
from d2sfm.console import finish
from d2sfm.options import GeoreferenceOptions

RESULT = "georeference.result.GeoreferenceResult"
ON_INTERRUPT = "the output is unchanged"


def add(commands) -> None:
    """Add the command's parser."""
    text = "bring a model to metres, upright and to its place, by GPS, control points or lengths"
    parser = add_command(commands, "georeference", run, text, ON_INTERRUPT, RESULT)
    model = parser.add_mutually_exclusive_group(required=True)
    add_main_input(model, "model", "MODEL", metavar="DIR", help="COLMAP model, of any program")
    add_output(parser, "georeferenced", "folder to write: the model, its transform and files for maps")
    group = parser.add_argument_group("positions of photographs, or what is known of the scene")
    group.add_argument(
        "--database",
        type=Path,
        metavar="FILE",
        help="COLMAP database with GPS positions (default: db.db beside the model or here, if no other "
        "source is given)",
    )
    group.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="photographs, for the GPS positions of their EXIF data (default: none)",
    )
    group.add_argument(
        "--positions",
        type=Path,
        metavar="FILE",
        help="CSV file with columns name, latitude, longitude, altitude, or name, x, y, z in metres (default: none)",
    )
    group.add_argument(
        "--control-points",
        type=Path,
        metavar="FILE",
        help="CSV file with columns point, name, x, y (COLMAP's pixels); for places also latitude, longitude, "
        "altitude, or easting, northing, height (default: none)",
    )
    group.add_argument(
        "--upright",
        action="store_true",
        help="clicks of --control-points were made in photographs turned by EXIF (not the same as --up)",
    )
    group.add_argument(
        "--scale-bar",
        nargs=3,
        action="append",
        default=[],
        metavar=("A", "B", "METRES"),
        help="distance between two points of --control-points, which sets the scale; may be given several times "
        "(default: none)",
    )
    add_options(parser, GeoreferenceOptions)


def run(arguments: argparse.Namespace) -> int:
    """``d2sfm georeference``."""
    options, bars = parse_options(GeoreferenceOptions, arguments), [_bar(*each) for each in arguments.scale_bar]
    from d2sfm.georeference.georeference import georeference_model

    result = georeference_model(
        arguments.model,
        arguments.output,
        database=arguments.database,
        images=arguments.images,
        positions=arguments.positions,
        control_points=arguments.control_points,
        upright=arguments.upright,
        scale_bars=bars,
        options=options,
    )
    return finish(arguments, result)


def _bar(first: str, second: str, metres: str) -> tuple[str, str, float]:
    try:
        return first, second, float(metres)
    except ValueError:
        raise ValueError(f"--scale-bar {first} {second}: expected a number of metres, found {metres!r}") from None
