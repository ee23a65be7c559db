"""Photographs and model without distortion, in the layout of another program.

d2sfm undistort sparse/0 --images photos --output dense
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from d2sfm import __version__
from d2sfm.colmap import model_files, placed_images, quiet_pycolmap, read_model
from d2sfm.notebook import Displayed
from d2sfm.options import Layout, MaskOptions, PhotographOptions, UndistortionOptions
from d2sfm.photographs.masks import Masks
from d2sfm.photographs.reading import list_photographs
from d2sfm.progress import Bar
from d2sfm.skipped import Skipped, reason
from d2sfm.system import processors
from d2sfm.text import counted, first_few
from d2sfm.undistortion.layouts import write_layout
from d2sfm.undistortion.model import undistorted_model
from d2sfm.undistortion.output import MARKER, files_below, fingerprint, finish, read_marker, recover, unfinished
from d2sfm.undistortion.pictures import Shot, write_picture
from d2sfm.undistortion.shots import make_shots

NAMES_SHOWN = 20  # of photographs without a pose

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class UndistortionSummary(Displayed):
    """What a run did. ``skipped`` holds the reason for each image of the model that could not be used."""

    output: Path
    layout: Layout
    images: int
    already_there: int  # of these
    without_pose: tuple[str, ...] = ()  # photographs that the model does not have, sorted
    renamed: Mapping[str, str] = field(default_factory=dict)  # names in the model by those in the output
    skipped: Skipped = field(default_factory=Skipped)

    def __str__(self) -> str:
        text = f"undistort: {counted(self.images, 'photograph')} without distortion in {self.output} ({self.layout})"
        for count, what in (
            (self.already_there, "there already"),
            (len(self.without_pose), "without a pose left out"),
            (len(self.skipped), "skipped"),
        ):
            text += f", {count} {what}" if count else ""
        return text


def undistort(
    model: Path | str,
    images: Path | str,
    output: Path | str,
    *,
    options: UndistortionOptions | None = None,
    masks: MaskOptions | None = None,
    limits: PhotographOptions | None = None,
    overwrite: bool = False,
    update: bool = False,
    progress: bool = False,
) -> UndistortionSummary:
    """Write the photographs of a COLMAP model, of any program, and the model, all with PINHOLE cameras.

    model: folder of a binary or text model; images: of the photographs, which the model's names are relative to;
    output: gets ``images``, the files of the layout and ``undistorted.json``. It appears when it is complete; a stopped
    run continues. A whole result of the same inputs is taken as it is. overwrite: what d2sfm has written there is made
    anew. update: only what was made of another model, other photographs or options is. Without either, that is refused,
    and photographs that could not be used are tried again. Files of others are never replaced.

    Raises FileNotFoundError for missing folders, ValueError if the output holds something else or masks can't be used,
    RuntimeError for a damaged model, if no photograph can be used, or if the disk is full.
    """
    work = Undistortion(model, images, output, options, masks, limits)
    return work.there(overwrite, update) or work.make(progress)


def require_own(output: Path) -> dict[str, Any] | None:
    """What the marker of an existing output tells; None if it is absent or empty, ValueError if it is of others."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return None
    facts = read_marker(output) if output.is_dir() else None
    if facts is None or "files" not in facts:
        raise ValueError(
            f"{output} was not made by d2sfm undistort (no {MARKER} with its files): give another --output"
        )
    return facts


class Undistortion:
    """Photographs to be undistorted, and those that already are. See ``undistort``."""

    def __init__(
        self,
        model: Path | str,
        images: Path | str,
        output: Path | str,
        options: UndistortionOptions | None = None,
        masks: MaskOptions | None = None,
        limits: PhotographOptions | None = None,
    ):
        self.images, self.output = Path(images), Path(output)
        if self.output.name in ("", ".."):
            self.output = Path(os.path.abspath(output))
        self.options = options or UndistortionOptions()
        self.layout = self.options.layout or Layout.COLMAP
        photographs = list_photographs(self.images)
        if self.output.resolve().is_relative_to(self.images.resolve()):
            raise ValueError(f"{self.output} lies inside of the photographs {images}: give an --output outside of it")
        self.model = read_model(Path(model))
        self.max_megapixels = (limits or PhotographOptions()).max_megapixels
        self.masks = Masks.of(masks, self.max_megapixels)
        names = [image.name for image in placed_images(self.model)]
        if names:
            self.masks.check(self.images, names)
            self.masks.warn_of_lacking(names)
        self.facts = {
            "layout": self.layout,
            "max_edge": self.options.max_edge,
            "without_pose": sorted(set(photographs) - set(names)),
            "d2sfm": __version__,
        }
        stamps = [self.images / name for name in names]
        stamps += [path for name in names if (path := self.masks.path(name))]
        settings = self.facts | self.masks.settings
        self.facts["fingerprint"] = fingerprint(settings, model_files(Path(model)), stamps)
        _tell(self.facts["without_pose"])
        recover(self.output)

    def there(self, overwrite: bool, update: bool) -> UndistortionSummary | None:
        """The existing output, see ``undistort``; None if it has to be made.

        Raises ValueError if the output holds something that must not be replaced.
        """
        output = self.output
        if (facts := require_own(output)) is None:
            return None
        if facts["fingerprint"] != self.facts["fingerprint"]:
            if not (overwrite or update):
                raise ValueError(
                    f"{output} was made from another model, other photographs or other options, or by another version "
                    "of d2sfm: give --overwrite or another --output"
                )
        elif not overwrite and (update or not facts["skipped"]) and _is_whole(output, facts["files"]):
            return self._summary(facts, facts["images"])
        own = set(facts["files"])
        if others := [name for name in files_below(output) if name not in own]:
            raise ValueError(
                f"{output} holds {others[0]}, which d2sfm did not write: move it away, or give another --output"
            )
        return None

    def make(self, progress: bool = False) -> UndistortionSummary:
        """Make the output; it replaces an existing one."""
        skipped, layout = Skipped(), self.layout
        with unfinished(self.output, self.facts["fingerprint"]) as work, quiet_pycolmap():
            shots = make_shots(self.model, layout, self.options.max_edge, self.images, self.masks, skipped)
            write = partial(
                write_picture,
                images=self.images,
                output=work,
                masks=self.masks,
                has_alpha=layout is Layout.GAUSSIANS,
                max_megapixels=self.max_megapixels,
            )
            done, already_there = _write_pictures(shots, work, write, self.options.num_threads, skipped, progress)
            if not done:
                name, why = next(iter(sorted(skipped.items())), ("the model", "has no images with a pose"))
                raise RuntimeError(f"no photograph in {self.images} can be used; {name} {why}")
            write_layout(layout, undistorted_model(self.model, done), work, self.output)
            renamed = {shot.new_name: shot.name for shot in done if shot.new_name != shot.name}
            facts = self.facts | {"images": len(done), "renamed": renamed, "skipped": skipped}
            finish(work, self.output, facts)
        return self._summary(facts, already_there)

    def _summary(self, facts: Mapping[str, Any], already_there: int) -> UndistortionSummary:
        """The content of the marker."""
        return UndistortionSummary(
            output=self.output,
            layout=self.layout,
            images=facts["images"],
            already_there=already_there,
            without_pose=tuple(facts["without_pose"]),
            renamed=facts["renamed"],
            skipped=Skipped(facts["skipped"]),
        )


def _is_whole(output: Path, files: Sequence[str]) -> bool:
    return all((output / name).exists() for name in files)


def _tell(without_pose: Sequence[str]) -> None:
    if without_pose:
        logger.info("not in the model, and left out: %s", first_few(without_pose, NAMES_SHOWN))


def _write_pictures(
    shots: Sequence[Shot], work: Path, write: Callable[[Shot], None], num_threads: int, skipped: Skipped, progress: bool
) -> tuple[list[Shot], int]:
    """Write the missing pictures. Returns the shots of all pictures, and the number of earlier ones."""
    pending = [shot for shot in shots if not (work / "images" / shot.new_name).exists()]
    there = len(shots) - len(pending)
    bar = Bar(total=len(shots), initial=there, desc="undistort", unit="image", disable=not progress)
    with bar, ThreadPoolExecutor(processors() if num_threads == -1 else num_threads) as pool:
        futures = {pool.submit(write, shot): shot for shot in pending}
        try:
            for future in as_completed(futures):
                name = futures[future].name
                try:
                    future.result()
                except FileNotFoundError:
                    skipped[name] = "is missing"
                except ValueError as error:
                    skipped[name] = reason(error)
                bar.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [shot for shot in shots if shot.name not in skipped], there
