"""The command ``d2sfm``: parsers made from the options, one driver call for each command.

Exit codes: 0 done; 1 done, but inputs were skipped or nothing could be reconstructed; 2 a bad argument, a missing
file or contradicting data; 130 interrupted.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from d2sfm import __version__
from d2sfm.arguments import add_options, parse_options
from d2sfm.options import (
    CameraOptions,
    DemoOptions,
    ExtractionOptions,
    MatchingOptions,
    ReconstructionOptions,
    RefinementOptions,
    StorageOptions,
    VerificationOptions,
)
from d2sfm.training import command as training_command

EXIT_DONE, EXIT_INCOMPLETE, EXIT_ERROR, EXIT_INTERRUPTED = 0, 1, 2, 130
DATABASE = Path("db.db")

ON_INTERRUPT = {
    **dict.fromkeys(("extract", "match", "refine"), "what was finished is saved, the same command goes on from there"),
    **dict.fromkeys(("reconstruct", "demo"), "nothing was written of this run's models"),
    "train": "the same command with --resume goes on from the last checkpoint, if there is one yet",
}

logger = logging.getLogger("d2sfm")


def main(argv: list[str] | None = None) -> int:
    """Run the command line ``argv`` (default: the process's) and return its exit code."""
    arguments = make_parser().parse_args(argv)
    logger.setLevel(logging.WARNING if arguments.quiet else logging.DEBUG if arguments.verbose else logging.INFO)
    name, on_interrupt = f"d2sfm {arguments.command}", ON_INTERRUPT[arguments.command]
    return report(logger, name, lambda: arguments.run(arguments), on_interrupt)


def report(log: logging.Logger, name: str, run: Callable[[], int], on_interrupt: str) -> int:
    """Run a command and return its exit code; its log goes to standard error, and what stops it becomes one line."""
    handler = TqdmHandler()
    log.addHandler(handler)
    try:
        return run()
    except KeyboardInterrupt:
        log.error("interrupted: %s", on_interrupt)
        return EXIT_INTERRUPTED
    except (ValueError, OSError, RuntimeError) as error:
        log.debug("traceback", exc_info=True)
        message = str(error).strip().splitlines() or [type(error).__name__]
        log.error("%s: %s", name, message[0])
        return EXIT_ERROR
    finally:
        log.removeHandler(handler)


class TqdmHandler(logging.Handler):
    """Writes log lines to standard error above a progress bar rather than through it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        prefix = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        tqdm.write(prefix + self.format(record), file=sys.stderr)


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="d2sfm", description="D2-Net features for COLMAP, from photographs to a model."
    )
    parser.add_argument("--version", action="version", version=f"d2sfm {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    extract = _command(commands, "extract", run_extract, "features of photographs, into a COLMAP database or files")
    _add_database(extract)
    source = extract.add_mutually_exclusive_group(required=True)
    source.add_argument("--images", type=Path, metavar="DIR", help="import every photograph below this folder")
    source.add_argument(
        "--image-list", type=Path, metavar="FILE", help="write a feature file beside each photograph named in this file"
    )
    for options in (ExtractionOptions, CameraOptions, StorageOptions):
        add_options(extract, options)
    _add_cache(extract, "keep the early feature maps in this folder for d2sfm refine (150 MB for 1600 x 1000 px)")
    extract.add_argument(
        "--cache-limit", type=float, default=20.0, metavar="GB", help="most that --cache may hold, GB (default: 20)"
    )
    extract.add_argument(
        "--multiscale",
        dest="scales",
        action="store_const",
        const=[0.5, 1.0, 2.0],
        default=argparse.SUPPRESS,
        help="short for --scales 0.5 1 2",
    )

    match = _command(commands, "match", run_match, "mutual nearest neighbours of image pairs, verified")
    _add_database(match)
    match.add_argument(
        "--pairs", type=Path, metavar="FILE", help="text file with two image names a line (default: all pairs)"
    )
    match.add_argument("--overwrite", action="store_true", help="match and verify pairs again that are there already")
    match.add_argument("--no-verify", dest="verify", action="store_false", help="write matches only, no geometries")
    for options in (MatchingOptions, VerificationOptions):
        add_options(match, options)

    refine = _command(commands, "refine", run_refine, "keypoints of verified matches, exact to a fraction of a pixel")
    _add_database(refine)
    refine.add_argument(
        "--images", type=Path, metavar="DIR", help="folder of the photographs (default: the one that extract recorded)"
    )
    refine.add_argument(
        "--output", type=Path, metavar="FILE", help="leave the database as it is and refine a copy of it, in this file"
    )
    _add_cache(refine, "folder of feature maps, as extract fills it; what it lacks is computed and kept there")
    refine.add_argument("--restore", action="store_true", help="put the original keypoints back and verify their pairs")
    add_options(refine, RefinementOptions)

    reconstruct = _command(commands, "reconstruct", run_reconstruct, "cameras and points from a matched database")
    _add_database(reconstruct)
    reconstruct.add_argument(
        "--output", type=Path, default=Path("sparse"), metavar="DIR", help="folder of the models (default: sparse)"
    )
    reconstruct.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder of the photographs, for point colours and --refine (default: the one that extract recorded)",
    )
    reconstruct.add_argument(
        "--refine", action="store_true", help="refine the keypoints first, with d2sfm refine's defaults and this seed"
    )
    add_options(reconstruct, ReconstructionOptions)

    train = _command(commands, "train", run_train, "tune the network on scenes with known cameras and depth")
    training_command.add_arguments(train)

    demo = _command(commands, "demo", run_demo, "render a scene, reconstruct it, and compare with the truth")
    demo.add_argument(
        "--output", type=Path, default=Path("d2sfm_demo"), metavar="DIR", help="folder to write (default: d2sfm_demo)"
    )
    add_options(demo, DemoOptions)
    return parser


def _command(commands, name: str, run: Callable, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(run=run)
    noise = parser.add_mutually_exclusive_group()
    noise.add_argument("--quiet", action="store_true", help="only warnings and errors")
    noise.add_argument("--verbose", action="store_true", help="more about what is done, and tracebacks of errors")
    return parser


def _add_database(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--database", type=Path, default=DATABASE, metavar="FILE", help=f"COLMAP database (default: {DATABASE})"
    )


def _add_cache(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--cache", type=Path, metavar="DIR", help=text)


def _shows_progress(arguments: argparse.Namespace) -> bool:
    """Bars are for people who watch: in a log file each step would become a line."""
    return not arguments.quiet and sys.stderr is not None and sys.stderr.isatty()


def _report(arguments: argparse.Namespace, result: object) -> None:
    """Results go to standard output, progress and warnings to standard error."""
    if not arguments.quiet:
        try:
            print(result, flush=True)
        except BrokenPipeError:
            # The reader (head, say) has seen enough; the work is done, and Python's own flush must not fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run_extract(arguments: argparse.Namespace) -> int:
    """``d2sfm extract``."""
    options = parse_options(ExtractionOptions, arguments)
    storage = parse_options(StorageOptions, arguments)
    cameras = parse_options(CameraOptions, arguments)
    from d2sfm.extraction import extract_to_database, extract_to_files

    _refuse_unused(arguments, cameras, storage)
    show = {"options": options, "storage": storage, "progress": _shows_progress(arguments)}
    if arguments.image_list:
        summary = extract_to_files(arguments.image_list, **show)
    else:
        cache = {"cache": arguments.cache, "cache_limit": arguments.cache_limit}
        summary = extract_to_database(arguments.database, arguments.images, cameras=cameras, **cache, **show)
    for name in summary.without_keypoints:
        logger.warning("%s has no keypoints", name)
    for name, reason in summary.skipped.items():
        logger.warning("skipped %s: %s", name, reason)
    _report(arguments, summary)
    return EXIT_INCOMPLETE if summary.skipped else EXIT_DONE


def _refuse_unused(arguments: argparse.Namespace, cameras: CameraOptions, storage: StorageOptions) -> None:
    """An option that would be passed over in silence is a misunderstanding."""
    of_files = (storage.output_type, storage.output_extension)
    if arguments.image_list and (cameras != CameraOptions() or arguments.database != DATABASE):
        raise ValueError("--database and the options of cameras go with --images, not with --image-list")
    if arguments.image_list and arguments.cache:
        raise ValueError("--cache goes with --images, not with --image-list")
    if arguments.images and of_files != (StorageOptions.output_type, StorageOptions.output_extension):
        raise ValueError("--output-type and --output-extension go with --image-list, not with --images")


def run_match(arguments: argparse.Namespace) -> int:
    """``d2sfm match``."""
    options = parse_options(MatchingOptions, arguments)
    verification = parse_options(VerificationOptions, arguments)
    from d2sfm.matching import match_database

    summary = match_database(
        arguments.database,
        options=options,
        verification=verification if arguments.verify else None,
        pairs_file=arguments.pairs,
        overwrite=arguments.overwrite,
        progress=_shows_progress(arguments),
    )
    _report(arguments, summary)
    return EXIT_DONE


def run_refine(arguments: argparse.Namespace) -> int:
    """``d2sfm refine``."""
    options = parse_options(RefinementOptions, arguments)
    from d2sfm.database import copy_database
    from d2sfm.refinement.run import refine_database, restore_database

    database, progress = arguments.database, _shows_progress(arguments)
    if arguments.output:
        copy_database(database, arguments.output)
        database = arguments.output
    if arguments.restore:
        restored = restore_database(database, progress=progress)
        _report(arguments, f"refine: original keypoints of {restored} images restored")
    else:
        _report(
            arguments,
            refine_database(database, arguments.images, options=options, cache=arguments.cache, progress=progress),
        )
    return EXIT_DONE


def run_reconstruct(arguments: argparse.Namespace) -> int:
    """``d2sfm reconstruct``."""
    options = parse_options(ReconstructionOptions, arguments)
    from d2sfm.reconstruction import reconstruct

    if arguments.refine:
        from d2sfm.refinement.run import refine_database

        refinement = RefinementOptions(seed=options.seed)
        progress = _shows_progress(arguments)
        _report(arguments, refine_database(arguments.database, arguments.images, options=refinement, progress=progress))
    result = reconstruct(
        arguments.database,
        arguments.output,
        images=arguments.images,
        options=options,
        progress=_shows_progress(arguments),
    )
    _report(arguments, result)
    return EXIT_DONE if result.models else EXIT_INCOMPLETE


def run_train(arguments: argparse.Namespace) -> int:
    """``d2sfm train``."""
    if os.environ.get("RANK", "0") != "0":  # set by torchrun: one process speaks for all
        arguments.quiet = True
        logger.setLevel(logging.ERROR)
    summary = training_command.run(arguments, _shows_progress(arguments))
    _report(arguments, summary)
    return EXIT_DONE if summary.is_whole else EXIT_INCOMPLETE


def run_demo(arguments: argparse.Namespace) -> int:
    """``d2sfm demo``."""
    options = parse_options(DemoOptions, arguments)
    from d2sfm.demo.run import run

    result = run(arguments.output, options=options, progress=_shows_progress(arguments))
    _report(arguments, result)
    return EXIT_DONE if result.errors is not None else EXIT_INCOMPLETE
