"""The qualities of ``d2sfm run``: options of its stages that differ from the stages' own defaults.

The longest edge decides: all of a stage's work grows with the pixels, and poses hardly gain by them. Nor do they by
another round of refinement, which costs pairs that few matches join. Sums of edges are in the proportion of
extraction's own limits. ``docs/run.md`` has what was measured.
"""

from collections.abc import Mapping

from d2sfm.options.choices import Quality


def _quality(max_edge: int, max_sum_edges: int, num_neighbours: int) -> dict[str, dict[str, object]]:
    return {
        "extract": {"max_edge": max_edge, "max_sum_edges": max_sum_edges, "scales": [1.0]},
        "match": {"num_neighbours": num_neighbours},
    }


QUALITIES: Mapping[Quality, Mapping[str, Mapping[str, object]]] = {
    Quality.LOW: _quality(640, 1120, num_neighbours=10),
    Quality.MEDIUM: _quality(1024, 1792, num_neighbours=20),
    Quality.HIGH: _quality(1600, 2800, num_neighbours=20),
    Quality.EXTREME: _quality(2400, 4200, num_neighbours=40),
}
