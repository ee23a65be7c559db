"""Options of preparation."""

from dataclasses import dataclass

from d2sfm.options.fields import Options, option


@dataclass(frozen=True, kw_only=True)
class PreparationOptions(Options):
    """Which frames of videos become photographs."""

    TITLE = "frames of videos"

    fps: float = option(2.0, help="frames taken per second, each the sharpest of its interval")
    every: int | None = option(None, help="take the sharpest of every N frames (default: by --fps)")

    def _check(self):
        self._require_above_zero("fps")
        self._require_at_least(1, "every")
        if self.every is not None and self.fps != PreparationOptions.fps:
            raise ValueError("--fps and --every exclude each other: give one of them")

    @property
    def as_given(self) -> str:
        """The intervals as the command line says them."""
        return f"--fps {self.fps:g}" if self.every is None else f"--every {self.every}"
