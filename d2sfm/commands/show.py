"""The command ``d2sfm show``, with a command of its own for each kind of picture."""

import argparse
from pathlib import Path

from d2sfm.commands.arguments import add_command, add_images, add_options, parse_options
from d2sfm.console import finish, shows_progress
from d2sfm.options import ExtractionOptions
from d2sfm.parser import Parser

RESULT = "show.shown.Shown"
ON_INTERRUPT = "no picture was written"


def add(commands) -> None:
    """Add the command's parser."""
    text = "pictures of keypoints, matches, residuals, pairs and tracks"
    parser = commands.add_parser("show", help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.set_defaults(result_classes={"show": RESULT})
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    keypoints = _add(kinds, "keypoints", _keypoints, "where the keypoints of an image are, by their scores")
    keypoints.add_argument("image", metavar="IMAGE", help="name in the database, photograph, or feature file")
    matches = _add(kinds, "matches", _matches, "matches of two images, and which of them are verified")
    for side in "ab":
        matches.add_argument(side, metavar=side.upper(), help="name in the database, or photograph")
    matches.add_argument(
        "--most", type=int, default=200, metavar="N", help="lines, a sample of more; 0 for all (default: 200)"
    )
    image = _add(kinds, "image", _image, "what an image sees of a model, with residuals as arrows")
    image.add_argument("image", metavar="IMAGE", help="name in the model")
    pairs = _add(kinds, "pairs", _pairs, "the matrix of verified pairs")
    track = _add(kinds, "track", _track, "what images see around a point, before and after refinement")
    track.add_argument(
        "point", nargs="?", type=int, metavar="POINT", help="id in the model (default: one that most images see)"
    )
    for each in (image, track):
        model = {"type": Path, "default": Path("sparse/0"), "metavar": "DIR"}
        each.add_argument("--model", help="COLMAP model (default: sparse/0)", **model)
    for each in (keypoints, matches, image, track):
        add_images(each)
    for each in (keypoints, matches, image, pairs, track):
        each.add_argument("--database", type=Path, metavar="FILE", help="COLMAP database (default: db.db)")
        each.add_argument(
            "--output", type=Path, metavar="FILE", help="picture, .png or .html (default: a .png here, by its name)"
        )
        each.add_argument("--light", action="store_true", help="on white, of a .png")
    for each in (keypoints, matches):
        add_options(each, ExtractionOptions)


def _add(kinds, name: str, draw, text: str) -> Parser:
    """The parser of a kind of picture. draw: makes it of the arguments."""

    def run(arguments: argparse.Namespace) -> int:
        from d2sfm.show.picture import require_suffix
        from d2sfm.show.shown import write_picture

        if arguments.output is not None:
            require_suffix(arguments.output)  # before the work
        return finish(arguments, write_picture(draw(arguments), arguments.output, light=arguments.light))

    parser = add_command(kinds, name, run, text, ON_INTERRUPT, RESULT)
    parser.set_defaults(result_classes={"show": RESULT})
    return parser


def _keypoints(arguments: argparse.Namespace):
    from d2sfm.show.keypoints import show_keypoints

    return show_keypoints(arguments.image, arguments.database, **_of_photographs(arguments))


def _matches(arguments: argparse.Namespace):
    from d2sfm.show.matches import show_matches

    settings = _of_photographs(arguments)
    return show_matches(arguments.a, arguments.b, arguments.database, most=arguments.most, **settings)


def _of_photographs(arguments: argparse.Namespace) -> dict:
    options = parse_options(ExtractionOptions, arguments)
    given = None if options == ExtractionOptions() else options
    return {"images": arguments.images, "options": given, "progress": shows_progress(arguments)}


def _image(arguments: argparse.Namespace):
    from d2sfm.show.image import show_image

    return show_image(arguments.image, arguments.model, database=arguments.database, images=arguments.images)


def _pairs(arguments: argparse.Namespace):
    from d2sfm.show.pairs import show_pairs

    return show_pairs(arguments.database)


def _track(arguments: argparse.Namespace):
    from d2sfm.show.track import show_track

    return show_track(arguments.point, arguments.model, database=arguments.database, images=arguments.images)
