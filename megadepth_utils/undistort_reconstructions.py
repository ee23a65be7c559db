"""python -m megadepth_utils.undistort_reconstructions: undistorted pictures and models of MegaDepth's scenes.

MegaDepth's depth maps belong to pictures without distortion, which are no longer offered for download. COLMAP's
undistortion makes them again, given the size limit that multi-view stereo had: the longest edge found in dense0/imgs.

Exit codes: 0 done; 1 done, but scenes failed or photographs were left out; 2 a bad argument or a missing folder;
130 interrupted.
"""

import argparse
import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path

from d2sfm.console import EXIT_DONE, EXIT_INCOMPLETE, report, show
from d2sfm.parser import Parser
from d2sfm.progress import Bar
from d2sfm.text import counted, first_line
from d2sfm.undistortion.output import MARKER
from megadepth_utils.undistortion import DENSE, SFM, UNDISTORTED, SceneState, discard_work, scene_state, undistort_scene

logger = logging.getLogger("megadepth_utils")


@dataclass
class Summary:
    """Scenes by result. failed: with the reason; left_out: number of photographs left out, by scene."""

    made: list[str] = field(default_factory=list)
    done_before: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        counts = [f"{len(self.made)} undistorted"]
        counts += [f"{len(self.done_before)} done before"] if self.done_before else []
        counts += [f"{len(self.failed)} failed ({', '.join(self.failed)})"] if self.failed else []
        counts += [f"{counted(sum(self.left_out.values()), 'photograph')} left out"] if self.left_out else []
        return f"scenes: {', '.join(counts)}"


def main(argv: list[str] | None = None) -> int:
    """Run the command line ``argv`` (default: the process's) and return its exit code."""
    arguments = make_parser().parse_args(argv)
    return report(
        logger,
        "undistort_reconstructions",
        lambda: _run_command(arguments),
        on_interrupt="finished scenes are kept, the same command continues from there",
    )


def _run_command(arguments: argparse.Namespace) -> int:
    summary = undistort_reconstructions(
        arguments.base_path,
        arguments.scenes,
        overwrite=arguments.overwrite,
        num_threads=arguments.num_threads,
        progress=sys.stderr is not None and sys.stderr.isatty(),
    )
    show(summary)
    return EXIT_INCOMPLETE if summary.failed or summary.left_out else EXIT_DONE


def make_parser() -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = Parser(
        prog="python -m megadepth_utils.undistort_reconstructions",
        description="Undistorted pictures and models of MegaDepth's scenes. Finished scenes are skipped.",
    )
    parser.add_argument(
        "--base-path", type=Path, required=True, metavar="DIR", help=f"folder of MegaDepth, with {SFM} and {DENSE}"
    )
    parser.add_argument("--scenes", nargs="+", metavar="SCENE", help="some scenes, as 0000 0001 (default: all)")
    parser.add_argument("--overwrite", action="store_true", help=f"make scenes again that are in {UNDISTORTED} already")
    parser.add_argument("--num-threads", type=int, default=-1, metavar="N", help="threads (default: -1, all there are)")
    return parser


def undistort_reconstructions(
    base_path: Path,
    scenes: list[str] | None = None,
    *,
    overwrite: bool = False,
    num_threads: int = -1,
    progress: bool = False,
) -> Summary:
    """Undistort scenes (default: all) of MegaDepth below ``base_path``.

    Failed scenes, and scenes of which photographs were left out, are logged in a line each, and the others continue.

    Raises FileNotFoundError if there is no MegaDepth, ValueError for a scene that it does not have.
    """
    if num_threads != -1 and num_threads < 1:
        raise ValueError(f"num_threads must be 1 or more, or -1 for all, found {num_threads}")
    chosen = _choose(Path(base_path), scenes)
    summary = Summary()
    for scene_id in Bar(chosen, desc="undistorting", unit="scene", disable=not progress):
        discard_work(base_path, scene_id)
        state = scene_state(base_path, scene_id)
        if state is SceneState.DONE and not overwrite:
            summary.done_before.append(scene_id)
        elif state is SceneState.FOREIGN and not overwrite:
            _fail(summary, scene_id, _foreign(Path(base_path) / UNDISTORTED / scene_id))
        else:
            _run(summary, Path(base_path), scene_id, overwrite, num_threads)
    return summary


def _choose(base_path: Path, scenes: list[str] | None) -> list[str]:
    for folder in (base_path / SFM, base_path / DENSE):
        if not folder.is_dir():
            raise FileNotFoundError(f"no folder {folder}: expected MegaDepth unpacked in {base_path}")
    there = sorted(path.name for path in (base_path / SFM).iterdir() if path.is_dir() and path.name[0] != ".")
    unknown = sorted(set(scenes or []) - set(there))
    if unknown:
        raise ValueError(
            f"no scene {', '.join(unknown)} in {base_path / SFM}, which has {counted(len(there), 'scene')}"
        )
    if not there:
        raise FileNotFoundError(f"no scenes in {base_path / SFM}")
    return sorted(set(scenes)) if scenes else there


def _foreign(folder: Path) -> str:
    return (
        f"{folder} was not made by this command (no marker) and stays unchanged: if it is complete, use it as it is, "
        "otherwise move it away or give --overwrite"
    )


def _run(summary: Summary, base_path: Path, scene_id: str, overwrite: bool, num_threads: int) -> None:
    try:
        made = undistort_scene(base_path, scene_id, overwrite, num_threads)
    except Exception as error:  # one scene's trouble, of whatever kind, must not stop the others
        _fail(summary, scene_id, first_line(error))
        return
    finally:
        discard_work(base_path, scene_id)
    summary.made.append(scene_id)
    if made.left_out:
        summary.left_out[scene_id] = len(made.left_out)
        photographs = f"{len(made.left_out)} of {counted(made.images + len(made.left_out), 'photograph')}"
        name, reason = next(iter(made.left_out.items()))
        logger.warning(
            "scene %s: left out %s (all in %s); the first: %s %s", scene_id, photographs, MARKER, name, reason
        )


def _fail(summary: Summary, scene_id: str, reason: str) -> None:
    summary.failed[scene_id] = reason
    logger.error("scene %s: %s", scene_id, reason)


if __name__ == "__main__":
    sys.exit(main())
