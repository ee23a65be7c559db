"""A command and its terminal: exit codes, the log on standard error, the result on standard output.

Names of files and their texts may hold control characters. All output goes through here, and is escaped here.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping

from d2sfm.text import first_line, printable, printable_lines

EXIT_DONE, EXIT_INCOMPLETE, EXIT_ERROR, EXIT_INTERRUPTED = 0, 1, 2, 130

logger = logging.getLogger(__name__)


def report(log: logging.Logger, name: str, run: Callable[[], int], on_interrupt: str) -> int:
    """Run a command and return its exit code; its log goes to standard error, and what stops it becomes one line."""
    from tqdm.contrib.logging import logging_redirect_tqdm  # it brings asyncio, which --help can do without

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LevelFirst())
    log.addHandler(handler)
    try:
        with logging_redirect_tqdm([log]):
            return _exit_code(log, name, run, on_interrupt)
    finally:
        log.removeHandler(handler)


def shows_progress(arguments: argparse.Namespace) -> bool:
    """If standard error is not a terminal, progress is a line now and then, see ``progress``."""
    return not arguments.quiet and sys.stderr is not None


def print_result(arguments: argparse.Namespace, result: object) -> None:
    """Results go to standard output, progress and warnings to standard error; those for programs wait for the end."""
    if arguments.json:
        kind = type(result).__name__
        [name] = [name for name, path in arguments.result_classes.items() if path.rpartition(".")[2] == kind]
        arguments.results[name] = result
    elif not arguments.quiet:
        show(result)


def show(result: object) -> None:
    """Print a result. Letters that standard output does not know are escaped."""
    text, encoding = printable_lines(str(result)), getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)  # the work is done: print it
    except BrokenPipeError:
        # The reader (head, say) has seen enough; the work is done, and Python's own flush must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def finish(
    arguments: argparse.Namespace, result: object, *, is_whole: bool = True, skipped: Mapping[str, str] | None = None
) -> int:
    """Name what was skipped with the reason, print the result, and return the exit code."""
    for name, reason in (skipped or {}).items():
        logger.warning("skipped %s: %s", name, reason)
    print_result(arguments, result)
    return EXIT_DONE if is_whole and not skipped else EXIT_INCOMPLETE


class Heard(logging.Handler):
    """Remembers warnings and errors on standard error."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.warnings: list[str] = []
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        (self.errors if record.levelno >= logging.ERROR else self.warnings).append(record.getMessage())


class _LevelFirst(logging.Formatter):
    """One line for each message, with "warning: " or "error: " in front, and nothing before information."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        traceback = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return prefix + printable(record.getMessage()) + printable_lines(traceback)


def _exit_code(log: logging.Logger, name: str, run: Callable[[], int], on_interrupt: str) -> int:
    try:
        return run()
    except KeyboardInterrupt:
        log.error("interrupted: %s", on_interrupt)
        return EXIT_INTERRUPTED
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        log.debug("traceback", exc_info=True)
        log.error("%s: %s", name, first_line(error))
        return EXIT_ERROR
