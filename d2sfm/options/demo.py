"""Options of the demonstration."""

from dataclasses import dataclass

from d2sfm.options.fields import Options, check_seed, option


@dataclass(frozen=True, kw_only=True)
class DemoOptions(Options):
    """The rendered scene of the newcomer's run."""

    TITLE = "the rendered scene"

    views: int = option(14, help="number of views, 6 to 40; at the default, neighbours are 10 to 15 degrees apart")
    night: bool = option(False, help="every second view at night, under street lamps")
    seed: int = option(0, help="seed of the scene's textures, of RANSAC and of mapping")

    def _check(self):
        if not 6 <= self.views <= 40:  # 9 degrees apart: 40 go all the way round
            raise ValueError(f"views must be between 6 and 40, found {self.views}")
        check_seed(self.seed)
