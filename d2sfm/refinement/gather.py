"""What shares have found, taken into the database by the one process that opens it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from d2sfm.database import RefinementStore, exclusive
from d2sfm.notebook import Displayed
from d2sfm.options import MapCacheOptions, RefinementOptions
from d2sfm.refinement.one_round import Alignment, Read, Run, read_stages
from d2sfm.refinement.pieces import Piece, Pieces, remove_pieces
from d2sfm.refinement.plan import read_plan, remove_plan, write_plan
from d2sfm.refinement.refine import alignments, begin, finish
from d2sfm.refinement.schedule import share_of_tracks
from d2sfm.refinement.shares import next_stage
from d2sfm.refinement.stages import FEATURES, TITLES, Stage, Stages
from d2sfm.refinement.summary import RefinementSummary
from d2sfm.text import counted, first_few

NAMED = 5  # of the missing shares that the sentence names
OF_DATABASE = 0, 0  # in place of a share, for what a run without shares has left in the database


@dataclass(kw_only=True)
class GatherSummary(Displayed):
    """What ``gather_shares`` found: a stage that shares are to align, or that all is refined."""

    database: Path
    folder: Path
    round: int
    stage: str | None  # that is next; None if all is refined
    keypoints: int = 0  # of this stage that are missing
    of: int | None = None  # how many shares there are; None if nothing tells so far
    missing: list[int]  # numbers of the shares that lack keypoints; empty where it is not known how many there are
    is_begun: bool = False  # whether there are pieces of this stage
    refinement: RefinementSummary | None = None  # where all is refined

    def __str__(self) -> str:
        if self.refinement is not None:
            return str(self.refinement)
        which = f"refine: stage {TITLES.index(self.stage) + 1} ({self.stage})"
        which += f" of round {self.round}" if self.round > 1 else ""
        count = "N" if self.of is None else self.of
        command = f"d2sfm refine --database {self.database} --parts {self.folder} --shard"
        missing = counted(self.keypoints, "keypoint")
        if not self.is_begun:
            return f"{which} is next, {missing}: {command} 1/{count}, and so on to {count}/{count}"
        some = first_few([f"{number}/{count}" for number in self.missing], NAMED)
        of = "share" if len(self.missing) == 1 else "shares"
        return f"{which} lacks {missing} of {of} {some}: {command} {self.missing[0]}/{count}"


def gather_shares(
    database: Path | str,
    folder: Path | str,
    images: Path | str | None = None,
    *,
    options: RefinementOptions | None = None,
    cache: MapCacheOptions | None = None,
    of: int | None = None,
    progress: bool = False,
) -> GatherSummary:
    """Make the plan by which ``align_share`` works, and tell what is next; where all shares are done, end as
    ``refine_database`` does.

    folder: of the plan and of what shares have found. It is made if it is missing, and plan and findings are removed
    when all is refined. of: the number of shares (default: that of the findings that are there). All else is as for
    ``refine_database``. Each round has a plan of its own, and so have images that were added since the last one.
    """
    with exclusive(database):
        return gather(Run.of(database, images, options, cache, progress), Path(folder), of)


def gather(run: Run, folder: Path, of: int | None) -> GatherSummary:
    """``gather_shares`` where the caller keeps other runs away (``exclusive``)."""
    summary, about = RefinementSummary(), {"database": run.database, "folder": folder}
    verification = begin(run)
    folder.mkdir(parents=True, exist_ok=True)
    for alignment in alignments(run, verification, summary):
        left, read, seconds = _look(run, alignment, folder, of)
        if read is None:
            return GatherSummary(**about, round=alignment.note.get("rounds", 1), **left)
        finish(run, alignment, read, verification, summary)
        summary.alignment_s += seconds.pop(FEATURES)
        summary.grey_s += sum(seconds.values())
        remove_pieces(folder)
    remove_plan(folder)
    remove_pieces(folder)  # also of a run that was stopped just before that
    return GatherSummary(**about, round=run.options.rounds, stage=None, missing=[], refinement=summary)


def _look(run: Run, alignment: Alignment, folder: Path, of: int | None) -> tuple[dict, Read | None, dict[str, float]]:
    """What is missing, as members of a GatherSummary; or else what ``finish`` is given, for which the database then has
    all parts. The last are seconds that shares have worked, by stage."""
    planned = _planned(run, folder)
    if planned is not None:
        taken = _Taken(planned, folder)
        if left := taken.left(of):
            return left, None, {}
    read = read_stages(run, alignment.new)
    if planned is None or planned.fingerprint != read.stages.fingerprint:
        write_plan(folder, read.stages)
        taken = _Taken(read.stages, folder)
        if left := taken.left(of):
            return left, None, {}
    return {}, read, taken.save()


def _planned(run: Run, folder: Path) -> Stages | None:
    """What tells what is missing without reading the database again; None if the plan is not of what it holds."""
    try:
        return read_plan(folder, run.images, run.options, run.cache, run.progress, of=run.database)
    except (FileNotFoundError, ValueError):
        return None


class _Taken:
    """What shares, and a run without them that was stopped, have found of an alignment."""

    def __init__(self, stages: Stages, folder: Path):
        self._stages, self._pieces = stages, Pieces(folder, stages.fingerprint)
        self._found: list[tuple[Stage, Piece]] = []

    def left(self, of: int | None) -> dict:
        """Members of a GatherSummary that tell what is missing; none where nothing is."""
        stage = next_stage(self._stages, self._take)
        missing = np.zeros(0, np.int64) if stage is None else np.setdiff1d(stage.labels, self._take(stage).labels)
        if not len(missing):
            return {}
        counts = [count for _, count in self._pieces.read(stage).keys() - {OF_DATABASE}]
        of, numbers = max(counts, default=None) if of is None else of, []
        if of is not None:
            share = share_of_tracks(self._stages.collection, self._stages.tracks, self._stages.moving, of)
            numbers = (1 + np.unique(share[stage.tracks.of_node[stage.nodes_of(missing)]])).tolist()
        counted = {"of": of, "missing": numbers, "is_begun": bool(counts)}
        return {"stage": stage.title, "keypoints": len(missing), **counted}

    def save(self) -> dict[str, float]:
        """Keep in the database what it lacks of a whole alignment. Returns seconds of shares by stage."""
        with RefinementStore(self._stages.database) as store:
            for stage, piece in self._found:
                left = np.setdiff1d(piece.labels, self._of_database(store, stage).labels)
                if len(left):
                    store.save_part(self._stages.fingerprint, stage.name, stage.nodes_of(left), piece.of(left).values)
        return {stage.title: piece.seconds for stage, piece in self._found}

    def _take(self, stage: Stage) -> Piece:
        of_shares = Piece.joined(self._pieces.read(stage).values(), stage.columns)
        with RefinementStore(self._stages.database) as store:
            of_database = self._of_database(store, stage)
        piece = Piece.joined([of_shares, of_database], stage.columns)
        if len(piece.labels) > len(of_shares.labels):  # shares go on from there
            self._pieces.write(stage, *OF_DATABASE, of_database)
        self._found.append((stage, piece))
        return piece

    def _of_database(self, store: RefinementStore, stage: Stage) -> Piece:
        parts = store.parts(self._stages.fingerprint, stage.name, stage.columns)
        return Piece.joined([Piece(stage.labels_of(nodes), values) for nodes, values in parts], stage.columns)
