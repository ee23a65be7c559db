"""Keypoints of a database refined by the workers of a cluster, stage by stage, a share of the tracks for each.

The client makes the plan, takes in what the shares have found, from a folder beside the database, and verifies the
pairs. The folder goes at the end; with that of a killed client the next one goes on.
"""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from d2sfm.database import exclusive
from d2sfm.options import MapCacheOptions, RefinementOptions
from d2sfm.progress import Bar
from d2sfm.refinement.gather import gather_shares
from d2sfm.refinement.one_round import Run
from d2sfm.refinement.refine import begin
from d2sfm.refinement.shares import ShareSummary, align_share
from d2sfm.refinement.summary import RefinementSummary
from d2sfm.shards.cluster import Cluster


def refine_on_cluster(
    cluster: Cluster,
    database: Path | str,
    images: Path | str | None = None,
    *,
    options: RefinementOptions | None = None,
    cache: MapCacheOptions | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> RefinementSummary:
    """``refine_database`` with the same arguments and the same result. The workers have to see the photographs and the
    database's folder at the same paths.

    Raises as that does, ValueError for a folder of maps, and as ``Cluster.run``.
    """
    cache, options, folder = cache or MapCacheOptions(), options or RefinementOptions(), Path(f"{database}.parts")
    if cache.cache is not None:
        raise ValueError("--cache is of one machine: the workers of a cluster keep no maps")
    given, folder = {"options": options, "cache": cache}, folder.absolute()
    if overwrite:
        with exclusive(database):
            begin(Run(database=Path(database), images=images, progress=progress, **given), overwrite=True)
    photographs = None if images is None else Path(images).absolute()
    while True:
        found = gather_shares(database, folder, images, of=cluster.workers, progress=progress, **given)
        if found.refinement is not None:
            break
        of_worker = replace(cache, cache_limit=cache.limit_bytes / 1e9 / cluster.workers_here)
        calls = [(folder, number, found.of, photographs, options, of_worker) for number in found.missing]
        with Bar(total=found.keypoints, desc=f"refine: {found.stage}", unit="keypoint", disable=not progress) as bar:
            for _, share in cluster.run(align_piece, calls):
                bar.update(share.aligned)
    with suppress(OSError):  # somebody keeps something in it
        folder.rmdir()
    return found.refinement


def align_piece(
    folder: Path, number: int, of: int, images: Path | None, options: RefinementOptions, cache: MapCacheOptions
) -> ShareSummary:
    """``align_share``: what a worker does."""
    return align_share(folder, number, of, images, options=options, cache=cache)
