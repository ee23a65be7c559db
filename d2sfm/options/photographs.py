"""Options of which photographs are read."""

from dataclasses import dataclass

from d2sfm.options.fields import Options, option


@dataclass(frozen=True, kw_only=True)
class PhotographOptions(Options):
    """Which photographs are read."""

    TITLE = "photographs"

    # The largest of one shot have 200; a file of 9 MB can make 650, which take 4.6 GB, and 10 GB with 16 bits.
    max_megapixels: float = option(
        250.0,
        metavar="MP",
        help="skip photographs of more megapixels, and refuse such masks; decoding takes 7 MB a megapixel, 16 MB where "
        "pixels have 16 bits",
    )

    def _check(self):
        self._require_above_zero("max_megapixels")
