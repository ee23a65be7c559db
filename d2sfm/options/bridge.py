"""Options of which photographs get D2 features beside those of another extractor."""

from dataclasses import dataclass
from pathlib import Path

from d2sfm.options.fields import Options, option


@dataclass(frozen=True, kw_only=True)
class BridgeOptions(Options):
    """Which photographs get D2 features, and with which others each is matched."""

    TITLE = "which photographs are bridged"

    model: Path | None = option(
        None,
        metavar="DIR",
        help="COLMAP model of the database: photographs missing in it are bridged (default: those that no verified "
        "pairs connect with most others)",
    )
    num_neighbours: int = option(
        20, metavar="N", help="most similar photographs that each photograph to be bridged is matched with"
    )
    pairs: Path | None = option(
        None, metavar="FILE", help="match the pairs of this file, two image names a line, instead of choosing some"
    )
    all_: bool = option(
        False, help="bridge all photographs: up to 200 in all pairs, more in the pairs that d2sfm match chooses"
    )

    def _check(self):
        self._require_at_least(1, "num_neighbours")
        given = [f"--{name.rstrip('_')}" for name in ("model", "pairs", "all_") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"expected one of --model, --pairs and --all, found {' and '.join(given)}")
