"""Fields of options, and checks that several stages share."""

from dataclasses import MISSING, field

PUBLISHED_WEIGHTS = ("d2_tf", "d2_tf_no_phototourism")  # by the authors of D2-Net, on their site
MAX_STARTS = 1000


def option(default=MISSING, *, help: str, metavar: str | None = None):
    """A dataclass field that also carries what the command line says of it."""
    return field(default=default, metadata={"help": help, "metavar": metavar})


def mirror_option():
    """Where else to fetch weights from; it decides nothing about features."""
    return option(
        (),
        metavar="URL",
        help=f"folders on the web with {PUBLISHED_WEIGHTS[0]}.pth, tried in this order before the authors' site "
        "(default: none)",
    )


def check_mirror(weights: str, mirror: tuple[str, ...]) -> None:
    """Raise ValueError where an address is none, or none is needed for these weights."""
    for url in mirror:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"mirror must start with http:// or https://, found {url!r}")
    if mirror and weights not in PUBLISHED_WEIGHTS:
        raise ValueError(f"mirror goes with weights {' or '.join(PUBLISHED_WEIGHTS)}, not with {weights}")


def check_extension(name: str, extension: str) -> None:
    """Raise ValueError where the option of this name can't be what a feature file adds to its photograph's name."""
    if not extension or "/" in extension:
        # Without one the features would take the place of the photograph.
        raise ValueError(f"{name} must be a suffix without '/', found {extension!r}")


def check_seed(seed: int) -> None:
    """Raise ValueError where pycolmap could not take the seed, or those of the starts after it."""
    if not 0 <= seed < 2**31 - MAX_STARTS:  # pycolmap takes 32-bit integers, and starts count on from the seed
        raise ValueError(f"seed must be between 0 and {2**31 - MAX_STARTS - 1}, found {seed}")
