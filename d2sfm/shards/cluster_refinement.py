"""Keypoints of a database refined by the workers of a cluster, stage by stage, a share of the tracks for each.

The client makes the plan, takes in what the shares have found, from a folder beside the database, and verifies the
pairs. The folder goes at the end; from that of a killed client the next one continues. Workers without GPUs share the
maps of photographs there, as shares of few photographs each need nearly all.
"""

import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from d2sfm.database import exclusive
from d2sfm.network.device import resolve_device
from d2sfm.options import MapCacheOptions, RefinementOptions
from d2sfm.progress import Bar
from d2sfm.refinement.gather import gather
from d2sfm.refinement.one_round import Run
from d2sfm.refinement.refine import begin
from d2sfm.refinement.shares import ShareSummary, align_share
from d2sfm.refinement.summary import RefinementSummary
from d2sfm.shards.cluster import Cluster

MAPS = "maps"  # folder in that of the shares
MOST_OF_DISK = 0.5  # share of what is free


def refine_on_cluster(
    cluster: Cluster, database: Path | str, images: Path | str | None = None, *, overwrite: bool = False, **given: Any
) -> RefinementSummary:
    """``refine_database`` with the same arguments and the same result. The workers have to see the photographs and the
    database's folder at the same paths.

    Raises as that does, and as ``Cluster.run``.
    """
    run, folder = Run.of(database, images, **given), Path(f"{database}.parts")
    cluster.require_device(run.options.device)
    with exclusive(database):
        if overwrite:
            begin(run, overwrite=True)
        refinement = _refined(cluster, run, folder.absolute())
        shutil.rmtree(folder / MAPS, ignore_errors=True)
        with suppress(OSError):  # somebody keeps something in it
            folder.rmdir()
    return refinement


def _refined(cluster: Cluster, run: Run, folder: Path) -> RefinementSummary:
    images = None if run.images is None else Path(run.images).absolute()
    cache = _shared_maps(cluster, run, folder)
    while (found := gather(run, folder, cluster.workers)).refinement is None:
        calls = [(folder, number, found.of, images, run.options, cache) for number in found.missing]
        bar = Bar(total=found.keypoints, desc=f"refine: {found.stage}", unit="keypoint", disable=not run.progress)
        with bar:
            for _, share in cluster.run(align_piece, calls):
                bar.update(share.aligned)
    return found.refinement


def _shared_maps(cluster: Cluster, run: Run, folder: Path) -> MapCacheOptions:
    """Where workers keep maps: in the folder that was asked for, or else on this machine's disk if it is they that have
    to compute them, or in the memory of each, as a GPU computes maps faster than a disk reads them."""
    if run.cache.cache is not None:
        return replace(run.cache, cache=run.cache.cache.absolute())
    if not cluster.is_here or resolve_device(run.options.device).type != "cpu":
        return replace(run.cache, cache_limit=run.cache.limit_bytes / 1e9 / cluster.workers_here)
    shared, room = replace(run.cache, cache=folder / MAPS), shutil.disk_usage(folder.parent).free
    return replace(shared, cache_limit=min(shared.limit_bytes, MOST_OF_DISK * room) / 1e9)


def align_piece(
    folder: Path, number: int, of: int, images: Path | None, options: RefinementOptions, cache: MapCacheOptions
) -> ShareSummary:
    """``align_share``: what a worker does."""
    return align_share(folder, number, of, images, options=options, cache=cache)
