"""Common to the options of all stages: their base, their fields, and checks."""

from dataclasses import MISSING, asdict, field, fields
from enum import Enum
from numbers import Real
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, get_args, get_origin

from d2sfm.spelling import chosen, did_you_mean

PUBLISHED_WEIGHTS = ("d2_tf", "d2_tf_no_phototourism")  # by the authors of D2-Net, on their site
MAX_STARTS = 1000


class Options:
    """Base of the frozen dataclasses that hold a stage's options.

    Fields take plain values, too: a string for a path or, in any case, for a member of an enumeration, any number for a
    float, a list for a tuple. Raises ValueError for a string that is not one of the choices, and for values that a
    stage can't work with.
    """

    TITLE: ClassVar[str]  # of their group in --help

    def __post_init__(self):
        for each in fields(self):
            object.__setattr__(self, each.name, _converted(each.name, each.type, getattr(self, each.name)))
        self._check()

    def _check(self) -> None:
        """Raise ValueError if a value is invalid, or values contradict each other."""

    def _require_above_zero(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name} must be above 0, found {value:g}")

    def _require_at_least(self, least: int, *names: str, unit: str = "") -> None:
        for name in names:
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be {least}{unit} or more, found {value}")


def value_type(annotation: Any) -> type:
    """``X`` of a field that is annotated as ``X``, ``X | None`` or ``tuple[X, ...]``."""
    return next((kind for kind in get_args(annotation) if kind is not NoneType), annotation)


def is_several(annotation: Any) -> bool:
    """Whether a field holds any number of values."""
    return get_origin(annotation) is tuple


def _converted(name: str, annotation: Any, value: Any) -> Any:
    """The value as a field of this name holds it."""
    kind = value_type(annotation)
    if is_several(annotation):
        return tuple(_converted(name, kind, each) for each in value)
    if value is None and NoneType in get_args(annotation):
        return None
    if issubclass(kind, Enum):
        choice = chosen(kind, value)
        if choice is None:
            *others, last = kind
            hint = did_you_mean(str(value), kind)
            raise ValueError(f"{name} must be {', '.join(others)} or {last}, found {value!r}{hint}")
        return choice
    if issubclass(kind, Path) or (kind is float and isinstance(value, Real)):
        return kind(value)
    return value


def option(default=MISSING, *, help: str, metavar: str | None = None, is_resource: bool = False):
    """A dataclass field with its text for the command line.

    is_resource: whether it changes no result, but what the work takes, or where it is done.
    """
    return field(default=default, metadata={"help": help, "metavar": metavar, "is_resource": is_resource})


def resources(kind: type[Options]) -> frozenset[str]:
    """The options of a class that change no result."""
    return frozenset(each.name for each in fields(kind) if each.metadata["is_resource"])


def deciding(options: Options) -> dict[str, Any]:
    """The values by name, without those that change no result."""
    return {name: value for name, value in asdict(options).items() if name not in resources(type(options))}


def device_option():
    """Where the network or the matching runs."""
    return option("auto", metavar="DEVICE", help="auto (CUDA if available), cpu, cuda or cuda:N", is_resource=True)


def mirror_option():
    """Where else to fetch weights from."""
    return option(
        (),
        metavar="URL",
        is_resource=True,
        help=f"web addresses of folders with {PUBLISHED_WEIGHTS[0]}.pth, tried in this order before the authors' site "
        "(default: none)",
    )


def check_mirror(weights: str, mirror: tuple[str, ...]) -> None:
    """Raise ValueError for what is not a web address, and if these weights need none."""
    for url in mirror:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"mirror must start with http:// or https://, found {url!r}")
    if mirror and weights not in PUBLISHED_WEIGHTS:
        raise ValueError(f"mirror goes with weights {' or '.join(PUBLISHED_WEIGHTS)}, not with {weights}")


def check_extension(name: str, extension: str) -> None:
    """Raise ValueError if the option of this name can't be what a feature file adds to its photograph's name."""
    if not extension or "/" in extension:
        # Without one the features would take the place of the photograph.
        raise ValueError(f"{name} must be a suffix without '/', found {extension!r}")


def check_seed(seed: int) -> None:
    """Raise ValueError if pycolmap could not take the seed, or those of the starts after it."""
    if not 0 <= seed < 2**31 - MAX_STARTS:  # pycolmap takes 32-bit integers, and starts count on from the seed
        raise ValueError(f"seed must be between 0 and {2**31 - MAX_STARTS - 1}, found {seed}")
