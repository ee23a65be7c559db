"""python -m megadepth_utils.convert_scene_info: scene info in the layout that the D2-Net authors published, to ours.

The published files are made of pickled dictionaries. Loading one runs whatever code its author put in, so it is done
here alone, once, and only on request.
"""

import logging
import sys
from pathlib import Path

from d2sfm.console import EXIT_DONE, EXIT_ERROR, EXIT_INCOMPLETE, report, show
from d2sfm.parser import Parser
from d2sfm.text import counted, first_line
from d2sfm.training.scene_info_file import read_scene_info, write_scene_info

logger = logging.getLogger("megadepth_utils")


def main(argv: list[str] | None = None) -> int:
    """Run the command line ``argv`` (default: the process's) and return its exit code."""
    parser = Parser(
        prog="python -m megadepth_utils.convert_scene_info",
        description="Convert published scene info to the layout that d2sfm train reads.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="published <scene>.npz")
    parser.add_argument("--output-path", type=Path, required=True, metavar="DIR", help="folder to write <scene>.npz to")
    parser.add_argument(
        "--allow-pickle", action="store_true", help="load pickled objects: you trust whoever made these files"
    )
    arguments = parser.parse_args(argv)
    return report(
        logger,
        "convert_scene_info",
        lambda: _convert(arguments.files, arguments.output_path, arguments.allow_pickle),
        on_interrupt="scenes that were converted are whole",
    )


def _convert(files: list[Path], output: Path, allow_pickle: bool) -> int:
    """Convert each file; failures are logged, and the rest continues."""
    failed = 0
    for path in files:
        target = output / path.name
        try:
            if target.exists():
                raise ValueError(f"{target} exists already")
            write_scene_info(target, read_scene_info(path, allow_pickle=allow_pickle))
        except (ValueError, OSError) as error:
            failed += 1
            logger.error("convert_scene_info: %s", first_line(error))
    show(f"{len(files) - failed} of {counted(len(files), 'scene')} converted")
    if failed == len(files):
        return EXIT_ERROR
    return EXIT_INCOMPLETE if failed else EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
