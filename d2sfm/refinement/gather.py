"""What shares have found, taken into the database by the one process that opens it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from d2sfm.database import RefinementStore, exclusive
from d2sfm.notebook import Displayed
from d2sfm.options import MapCacheOptions, RefinementOptions
from d2sfm.refinement.one_round import Run, read_stages
from d2sfm.refinement.pieces import Piece, Pieces, remove_pieces
from d2sfm.refinement.plan import remove_plan, write_plan
from d2sfm.refinement.refine import alignments, begin, finish
from d2sfm.refinement.schedule import share_of_tracks
from d2sfm.refinement.shares import next_stage
from d2sfm.refinement.stages import TITLES, Stage, Stages
from d2sfm.refinement.summary import RefinementSummary

NAMED = 5  # of the missing shares that the sentence names


@dataclass(kw_only=True)
class GatherSummary(Displayed):
    """What ``gather_shares`` found: a stage that shares are to align, or that all is refined."""

    database: Path
    folder: Path
    round: int
    stage: str | None  # that is next; None where all is refined
    keypoints: int = 0  # of this stage that are missing
    of: int | None = None  # how many shares there are; None where nothing tells so far
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
        if not self.is_begun:
            return f"{which} is next, {self.keypoints} keypoints: {command} 1/{count}, and so on to {count}/{count}"
        some = ", ".join(f"{number}/{count}" for number in self.missing[:NAMED])
        some += f" and {len(self.missing) - NAMED} more" if len(self.missing) > NAMED else ""
        return f"{which} lacks {self.keypoints} keypoints of shares {some}: {command} {self.missing[0]}/{count}"


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
    """Make the plan that ``align_share`` works by, tell what is next, and end as ``refine_database`` does where shares
    have aligned everything.

    folder: of the plan and of what shares have found, which is made where it is missing; the plan and the pieces go
    when all is refined. of: how many shares there are (default: as many as those that are there). Else as
    ``refine_database``. Each round, and images that came after the others were refined, take plans of their own.
    """
    database, folder, options = Path(database), Path(folder), options or RefinementOptions()
    cache = cache or MapCacheOptions()
    run = Run(database=database, images=images, options=options, cache=cache, progress=progress)
    summary, about = RefinementSummary(), {"database": database, "folder": folder}
    with exclusive(database):
        verification = begin(run)
        folder.mkdir(parents=True, exist_ok=True)
        for alignment in alignments(run, verification, summary):
            read = read_stages(run, alignment.new)
            write_plan(folder, read.stages)
            if (left := _left(read.stages, folder, of)) is not None:
                return GatherSummary(**about, round=alignment.note.get("rounds", 1), **left)
            finish(run, alignment, read, verification, summary)
        remove_plan(folder)
        remove_pieces(folder)
    return GatherSummary(**about, round=options.rounds, stage=None, missing=[], refinement=summary)


def _left(stages: Stages, folder: Path, of: int | None) -> dict | None:
    """What is missing, for a GatherSummary; where nothing is, None, and the database has all parts then."""
    pieces, whole = Pieces(folder, stages.fingerprint), []

    def found(stage: Stage) -> Piece:
        there = pieces.read(stage)
        with RefinementStore(stages.database) as store:
            parts = store.parts(stages.fingerprint, stage.name, stage.columns)
        stopped = [Piece(stage.labels_of(nodes), values) for nodes, values in parts]
        joined, of_pieces = (
            Piece.joined(each, stage.columns) for each in ([*there.values(), *stopped], there.values())
        )
        if len(joined.labels) > len(of_pieces.labels):  # a run without shares was stopped: they go on from there
            pieces.write(stage, 0, 0, Piece.joined(stopped, stage.columns))
        whole.append((stage, joined, [nodes for nodes, _ in parts]))
        return joined

    stage = next_stage(stages, found)
    if stage is not None:
        missing = np.setdiff1d(stage.labels, found(stage).labels)
        if len(missing):
            counts = [of for _, of in pieces.read(stage) if of]
            of = max(counts, default=None) if of is None else of
            share = np.zeros(0, int)
            if of is not None:
                share = share_of_tracks(stages.collection, stages.tracks, stages.moving, of)
                share = np.unique(share[stage.tracks.of_node[stage.nodes_of(missing)]])
            numbers = (share + 1).tolist()
            return {
                "stage": stage.title,
                "keypoints": len(missing),
                "of": of,
                "missing": numbers,
                "is_begun": bool(counts),
            }
    with RefinementStore(stages.database) as store:
        for stage, piece, saved in whole:
            nodes = stage.nodes_of(piece.labels)
            is_new = ~np.isin(nodes, np.concatenate([np.zeros(0, np.int64), *saved]))
            if is_new.any():
                store.save_part(stages.fingerprint, stage.name, nodes[is_new], piece.values[is_new])
    return None
