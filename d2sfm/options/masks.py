"""Options of masks."""

from dataclasses import dataclass
from pathlib import Path

from d2sfm.options.fields import Options, option


@dataclass(frozen=True, kw_only=True)
class MaskOptions(Options):
    """Pixels left out of photographs: black ones of masks in COLMAP's layout."""

    TITLE = "masks"

    masks: Path | None = option(
        None,
        metavar="DIR",
        help="masks in COLMAP's layout: black pixels of DIR/a.jpg.png exclude those of a.jpg (default: none)",
    )
    camera_mask: Path | None = option(None, metavar="FILE", help="one mask for all photographs (default: none)")
