"""Pairs of a database, matched and verified by the workers of a cluster.

The client chooses the pairs and cuts them into blocks of few images. Workers only read the database, and write the rows
of each block into a file in a folder beside it; when all are there, the client takes them in. The files that a killed
client has left are not made again.
"""

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from d2sfm.database import MatchStore, Note
from d2sfm.database.pair_ids import pair_ids
from d2sfm.estimate import Estimate
from d2sfm.matching.match import match_database
from d2sfm.matching.settings import settings_of
from d2sfm.matching.summary import MatchSummary
from d2sfm.matching.work import SHORTER, Work
from d2sfm.options import MatchingOptions, VerificationOptions
from d2sfm.pairs.arrays import among
from d2sfm.pairs.blocks import pair_blocks
from d2sfm.progress import Bar
from d2sfm.shards.cluster import Cluster, pieces_folder
from d2sfm.shards.folder import pieces
from d2sfm.shards.matching import add, match_block_of_database

MOST_PAIRS, MOST_IMAGES = 500, 128  # of a block: what is done again where a worker is lost, and what it reads


def match_on_cluster(cluster: Cluster, database: Path | str, **given: Any) -> MatchSummary:
    """``match_database`` with the same arguments and the same result, but that a worker has one thread. The workers
    have to see the database's folder at the same path.

    Raises as that does, and as ``Cluster.run``.
    """
    cluster.require_device((given.get("options") or MatchingOptions()).device)
    folder = Path(f"{database}.shards").absolute()
    return match_database(database, by=partial(_do_work, cluster, folder), **given)


def _do_work(
    cluster: Cluster, folder: Path, store: MatchStore, work: Work, num_threads: int | None, progress: bool
) -> MatchSummary:
    """``work.do_work`` by the workers, whatever the number of threads, by pieces in a folder, which goes at the end."""
    summary = MatchSummary(pairs=0, already_there=0, verified=None if work.verification is None else 0)
    with pieces_folder(folder):
        if len(work.todo):
            _match(cluster, folder, store, work, summary, progress)
        for file in pieces(folder, r"matches-[0-9a-f]{16}\.db"):  # a killed client may have left some that are taken in
            file.unlink()
    summary.already_there += len(work.asked) - len(work.todo)
    summary.pairs = len(work.asked)
    return summary


def _match(
    cluster: Cluster, folder: Path, store: MatchStore, work: Work, summary: MatchSummary, progress: bool
) -> None:
    """What is to be done, block by block, into the database when all blocks are there."""
    store.settle()
    matched = np.sort(pair_ids(*work.todo[work.has_matches].T))
    blocks = pair_blocks(work.todo, cluster.piece(len(work.todo), MOST_PAIRS), MOST_IMAGES)
    states = store.states(np.unique(work.todo).tolist())
    thresholds = work.thresholds and [*work.thresholds[:2], sorted(work.thresholds.new)]
    settings = [settings_of(work.options, work.verification), thresholds, store.notes.read(Note.POSES)]
    settings = json.dumps(settings, sort_keys=True)
    kept = [among(block, matched) for block in blocks]
    files = [_file(folder, *each, states, settings) for each in zip(blocks, kept, strict=True)]
    path = store.path.absolute()
    calls = [(path, *each, work.options, work.verification) for each in zip(blocks, files, kept, strict=True)]
    left = Estimate("match", len(work.todo), "pairs", SHORTER)
    with Bar(total=len(work.todo), desc="match", unit="pair", disable=not progress) as bar:
        for number, found in cluster.run(match_piece, calls):
            add(summary, found)
            bar.update(len(blocks[number]))
            left.update(len(blocks[number]))
    for file in files:
        store.take_in(file)
        file.unlink()


def _file(folder: Path, block: np.ndarray, kept: np.ndarray, states: dict[int, bytes], settings: str) -> Path:
    """Named by all that decides what is in it."""
    digest = hashlib.sha256(settings.encode())
    digest.update(block.astype("<u4").tobytes() + kept.tobytes())
    for image_id in np.unique(block).tolist():
        digest.update(states[image_id])
    return folder / f"matches-{digest.hexdigest()[:16]}.db"


def match_piece(
    database: Path,
    pairs: np.ndarray,
    file: Path,
    has_matches: np.ndarray,
    options: MatchingOptions,
    verification: VerificationOptions | None,
) -> MatchSummary:
    """``match_block_of_database``: what a worker does."""
    given = {"has_matches": has_matches, "options": options, "verification": verification}
    return match_block_of_database(database, pairs, file, num_threads=1, **given)
