"""The command ``d2sfm show``, with a command of its own for each kind of picture."""

import argparse
import logging
from contextlib import suppress
from pathlib import Path

from d2sfm.commands.arguments import (
    DATABASE,
    add_command,
    add_images,
    add_kind,
    add_multiscale,
    add_options,
    parse_options,
)
from d2sfm.console import EXIT_DONE, finish, shows_progress
from d2sfm.options import ExtractionOptions
from d2sfm.parser import Parser
from d2sfm.system import has_display
from d2sfm.text import counted

RESULT = "show.shown.Shown"
ON_INTERRUPT = "no picture was written"
MODEL, BESIDE = Path("sparse/0"), "db.db beside the model or here"

logger = logging.getLogger(__name__)


def add(commands) -> None:
    """Add the command's parser."""
    text = "pictures of keypoints, matches, residuals, pairs, tracks and models"
    parser = add_command(commands, "show", None, text, ON_INTERRUPT, RESULT)
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    keypoints = _add(kinds, "keypoints", _keypoints, "keypoints of an image, coloured by score")
    keypoints.add_argument("image", metavar="IMAGE", help="name in the database, photograph, or feature file")
    matches = _add(kinds, "matches", _matches, "matches of two images, verified and not")
    for side in "ab":
        matches.add_argument(side, metavar=side.upper(), help="name in the database, or photograph")
    matches.add_argument(
        "--most",
        type=int,
        default=200,
        metavar="N",
        help="number of lines drawn, a sample of all; 0 for all (default: 200)",
    )
    image = _add(kinds, "image", _image, "points that an image sees of a model, with residuals as arrows", BESIDE)
    image.add_argument("image", metavar="IMAGE", help="name in the model")
    _add(kinds, "pairs", _pairs, "the matrix of verified pairs")
    track = _add(kinds, "track", _track, "patches of the images around a point, before and after refinement", BESIDE)
    track.add_argument(
        "point", nargs="?", type=int, metavar="POINT", help="id in the model (default: a point that most images see)"
    )
    for each in (image, track):
        model = {"type": Path, "default": MODEL, "metavar": "DIR"}
        each.add_argument("--model", help=f"COLMAP model (default: {MODEL})", **model)
    _add_model(kinds)
    for each in (keypoints, matches, image, track):
        add_images(each)
    for each in (keypoints, matches):
        add_multiscale(each)
        add_options(each, ExtractionOptions)


def _add(kinds, name: str, draw, text: str, where: str = "db.db") -> Parser:
    """The parser of a kind of picture. draw: makes it of the arguments; where: the database, if none is given."""

    def run(arguments: argparse.Namespace) -> int:
        from d2sfm.show.picture import require_suffix
        from d2sfm.show.shown import write_picture

        if arguments.output is not None:
            require_suffix(arguments.output)  # before the work
        return finish(arguments, write_picture(draw(arguments), arguments.output, light=arguments.light))

    return _add_kind(kinds, name, run, text, where=where)


def _add_kind(
    kinds, name: str, run, text: str, default: str = "a .png in the current folder", where: str = "db.db"
) -> Parser:
    parser = add_kind(kinds, name, run, text)
    parser.add_argument("--database", type=Path, metavar="FILE", help=f"COLMAP database (default: {where})")
    parser.add_argument("--output", type=Path, metavar="FILE", help=f"picture, .png or .html (default: {default})")
    parser.add_argument("--light", action="store_true", help=".png on white")
    return parser


def _add_model(kinds) -> None:
    text = "cameras and points of a model, in 3D"
    parser = _add_kind(kinds, "model", _run_model, text, "model.html", f"{BESIDE}, if it is there")
    parser.add_argument(
        "model",
        nargs="?",
        type=Path,
        default=MODEL,
        metavar="MODEL",
        help=f"folder of a COLMAP model, or of numbered ones (default: {MODEL})",
    )
    add_images(parser, "folder of the photographs, for thumbnails")
    parser.add_argument(
        "--no-thumbnails", dest="thumbnails", action="store_false", help="leave out thumbnails of the photographs"
    )
    parser.add_argument(
        "--serve",
        action="store_true",
        help="show it in a browser on this machine, without a file; also for models too large for one page",
    )
    parser.add_argument(
        "--no-browser", dest="browser", action="store_false", help="with --serve: do not open a browser"
    )


def _run_model(arguments: argparse.Namespace) -> int:
    from d2sfm.database.file import beside
    from d2sfm.report.view import read_view, write_view
    from d2sfm.show.picture import require_suffix
    from d2sfm.show.shown import Shown, write_picture

    output = require_suffix(arguments.output or "model.html")
    if arguments.serve and arguments.output is not None:
        raise ValueError("--serve writes no file: leave --output out")
    if not arguments.browser and not arguments.serve:
        raise ValueError("--no-browser goes with --serve only")
    if output.suffix.lower() == ".png" and not arguments.serve:
        from d2sfm.show.model import show_model

        return finish(arguments, write_picture(show_model(arguments.model), output, light=arguments.light))
    if arguments.light:
        raise ValueError("--light is for .png: a page follows the reader's system, dark or light")
    database = arguments.database or beside(arguments.model, DATABASE)
    view = read_view(arguments.model, database=database, images=arguments.images, thumbnails=arguments.thumbnails)
    if arguments.serve:
        return _serve(view, arguments.browser)
    write_view(view, output)
    title = ", ".join(f"model {model.label}: {counted(model.statistics.images, 'image', ',')}" for model in view.models)
    return finish(arguments, Shown(output=output, title=title, facts={}))


def _serve(view, opens_browser: bool) -> int:
    """Serve until Ctrl-C."""
    import webbrowser

    from d2sfm.report.view import served

    with served(view) as (address, server):
        port = server.server_port
        logger.info("the model is at %s until Ctrl-C", address)
        logger.info("from another machine: ssh -L %d:127.0.0.1:%d HOST there, then the same address", port, port)
        if opens_browser and has_display():
            webbrowser.open(address)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    return EXIT_DONE


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
