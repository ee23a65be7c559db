"""Options of the early feature maps that extraction computes and refinement asks for again."""

from dataclasses import dataclass
from pathlib import Path

from d2sfm.options.fields import Options, option

MAPS_IN_MEMORY_GB, MAPS_IN_FOLDER_GB = 2.0, 20.0  # 1 GB is 1e9 bytes


@dataclass(frozen=True, kw_only=True)
class MapCacheOptions(Options):
    """Where early feature maps are kept, and how much of them."""

    TITLE = "early feature maps, which refinement uses again"

    cache: Path | None = option(
        None,
        metavar="DIR",
        is_resource=True,
        help="folder of feature maps, 150 MB a photograph of 1600 x 1000 px: extract writes them, refine reads them "
        "and adds missing ones (default: none)",
    )
    cache_limit: float | None = option(
        None,
        metavar="GB",
        is_resource=True,
        help=f"most GB of feature maps that are kept (default: {MAPS_IN_FOLDER_GB:g} in --cache; without a folder, "
        f"{MAPS_IN_MEMORY_GB:g} in memory)",
    )

    def _check(self):
        if self.cache_limit is not None and not 0 <= self.cache_limit < float("inf"):
            raise ValueError(f"cache_limit must be 0 or more, found {self.cache_limit}")

    @property
    def limit_bytes(self) -> float:
        """Of the maps that are kept."""
        default = MAPS_IN_FOLDER_GB if self.cache else MAPS_IN_MEMORY_GB
        return 1e9 * (default if self.cache_limit is None else self.cache_limit)
