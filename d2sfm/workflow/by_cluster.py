"""What does the long work of a run: this process, or the workers of a cluster."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from d2sfm.extraction.extract import extract_to_database
from d2sfm.extraction.summary import ExtractionSummary
from d2sfm.matching.match import match_database
from d2sfm.matching.summary import MatchSummary
from d2sfm.refinement.refine import refine_database
from d2sfm.refinement.summary import RefinementSummary
from d2sfm.shards.cluster import Cluster
from d2sfm.shards.cluster_extraction import extract_on_cluster
from d2sfm.shards.cluster_matching import match_on_cluster
from d2sfm.shards.cluster_refinement import refine_on_cluster


class StageFunctions(NamedTuple):
    """Functions with the arguments of ``extract_to_database``, ``match_database`` and ``refine_database``."""

    extract: Callable[..., ExtractionSummary]
    match: Callable[..., MatchSummary]
    refine: Callable[..., RefinementSummary]


def stage_functions(cluster: Cluster | None) -> StageFunctions:
    """What does the work on a cluster; without one, in this process."""
    if cluster is None:
        return StageFunctions(extract_to_database, match_database, refine_database)
    return StageFunctions(
        *(partial(each, cluster) for each in (extract_on_cluster, match_on_cluster, refine_on_cluster))
    )
