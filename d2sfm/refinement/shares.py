"""A share of the next stage of refinement, in a process of its own, on any machine that sees the folder."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from d2sfm.notebook import Displayed
from d2sfm.options import MapCacheOptions, RefinementOptions
from d2sfm.refinement.pieces import Piece, Pieces
from d2sfm.refinement.plan import read_plan
from d2sfm.refinement.schedule import share_of_tracks
from d2sfm.refinement.stages import Stage, Stages
from d2sfm.text import counted


@dataclass(kw_only=True)
class ShareSummary(Displayed):
    """What ``align_share`` did."""

    number: int
    of: int
    stage: str | None  # that was next; None if all are whole
    aligned: int = 0  # keypoints
    already_there: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        which = f"refine: share {self.number}/{self.of}"
        if self.stage is None:
            return f"{which}: all stages are whole"
        if not self.aligned:
            there = f"all there already, {counted(self.already_there, 'keypoint')}"
            return f"{which} of the stage of {self.stage}: {there if self.already_there else 'has no keypoints'}"
        return (
            f"{which} of the stage of {self.stage}: {counted(self.aligned, 'keypoint')} aligned in {self.seconds:.1f} s"
        )


def align_share(
    folder: Path | str,
    number: int,
    of: int,
    images: Path | str | None = None,
    *,
    options: RefinementOptions | None = None,
    cache: MapCacheOptions | None = None,
    progress: bool = False,
) -> ShareSummary:
    """Align a share of the keypoints of the next stage, and write what is found into the folder.

    folder: where ``gather_shares`` has made the plan; no database is opened. number: of the share, from 1 on; of: the
    number of shares. images: folder of the photographs (default: where they were for the plan). options: those of
    ``gather_shares``, but for the device.

    What is there is not done again. Raises FileNotFoundError if the plan or the photographs are missing, ValueError
    where the plan is damaged or of other options, or a photograph can't be used.
    """
    started = time.perf_counter()
    folder = Path(folder)
    stages = read_plan(folder, images, options or RefinementOptions(), cache or MapCacheOptions(), progress)
    pieces = Pieces(folder, stages.fingerprint)
    share = share_of_tracks(stages.collection, stages.tracks, stages.moving, of)
    stage = next_stage(
        stages, lambda stage: Piece.joined(pieces.read(stage).values(), stage.columns), share == number - 1
    )
    summary = ShareSummary(number=number, of=of, stage=stage and stage.title)
    if stage is None:
        return summary
    there = pieces.read(stage)
    done = Piece.joined(there.values(), stage.columns).of(stage.labels)
    summary.already_there = len(done.labels)
    found = list(stage.parts([stage.nodes_of(done.labels)], progress))
    if found:
        nodes, values = (np.concatenate(column) for column in zip(*found, strict=True))
        own = [there[number, of]] if (number, of) in there else []
        new = Piece(stage.labels_of(nodes), values, time.perf_counter() - started)
        pieces.write(stage, number, of, Piece.joined([*own, new], stage.columns))
        summary.aligned = len(nodes)
    summary.seconds = time.perf_counter() - started
    return summary


def next_stage(stages: Stages, found: Callable[[Stage], Piece], chosen: np.ndarray | None = None) -> Stage | None:
    """The first stage that lacks keypoints, of the chosen tracks ([T] bool, default: all).

    If none does: None where the options leave stages out, and else the last stage, of which the caller finds that it is
    whole. found: what there is of a stage.
    """
    stage = stages.features()
    piece = found(stage)
    if len(piece.labels) < len(stage.labels):
        return stages.features(chosen)
    if not stages.options.grey:
        return None
    start = stages.after_features([(stage.nodes_of(piece.labels), piece.values)])
    stage = stages.grey_values(start)
    piece = found(stage)
    if len(piece.labels) < len(stage.labels):
        return stages.grey_values(start, chosen)
    if not stages.options.continue_:
        return None
    positions, sigmas = stages.after_grey_values(start, [(stage.nodes_of(piece.labels), piece.values)])
    return stages.continuation(positions, sigmas, chosen)[0]
