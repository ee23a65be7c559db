"""Which options of cameras are for which photographs: by patterns in a TOML file, and by the prefixes of rigs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from d2sfm.database.given_camera import given_camera
from d2sfm.database.rig_config import RigCamera, read_rig_config
from d2sfm.files import read_toml
from d2sfm.options import CameraMode, CameraOptions
from d2sfm.spelling import nearest
from d2sfm.text import errors_at, fits

# Keys of a table: the option that each stands for, and its kind, in Python and in words.
_KEYS = {
    "model": ("camera_model", str, "a string"),
    "params": ("camera_params", list, "a list of numbers"),
    "mode": ("camera_mode", str, "a string"),
    "focal_length_factor": ("default_focal_length_factor", (int, float), "a number"),
    "existing_camera": ("existing_camera", int, "a whole number"),
}
_OPTIONS = {option: key for key, (option, *_) in _KEYS.items()}  # as the command line calls them


@dataclass(frozen=True)
class CameraRule:
    """Options for the photographs that no earlier rule covers.

    pattern: of the file; None for the rule of a rig, and for the rule of all others.
    """

    options: CameraOptions
    is_for: Callable[[str], bool]
    pattern: str | None = None


def camera_rules(options: CameraOptions) -> list[CameraRule]:
    """The rules of all photographs in the order in which they count: of the file, of rigs, and one for the rest.

    Raises FileNotFoundError for a file that is missing, ValueError for one that can't be read, for an unknown camera
    model or wrong parameters.
    """
    others = replace(options, cameras=None, rig_config=None)
    given_camera(others)
    rules = [] if options.cameras is None else _read_rules(options.cameras)
    if options.rig_config is not None:
        for camera in (camera for rig in read_rig_config(options.rig_config) for camera in rig):
            rules.append(CameraRule(_of_rig(others, camera), camera.has))
    return [*rules, CameraRule(others, lambda name: True)]


def by_rule(options: CameraOptions, names: Iterable[str]) -> list[tuple[CameraRule, list[str]]]:
    """Each rule with the names that it covers, in their order. Raises as ``camera_rules``."""
    found = [(rule, []) for rule in camera_rules(options)]
    for name in names:
        next(members for rule, members in found if rule.is_for(name)).append(name)
    return found


def _of_rig(others: CameraOptions, camera: RigCamera) -> CameraOptions:
    """Photographs of one camera of a rig share it; options of other photographs fill in what the configuration leaves
    open."""
    if camera.camera is not None:
        params = ",".join(map(repr, camera.camera.params.tolist()))
        return CameraOptions(camera_mode=CameraMode.SINGLE, camera_model=camera.camera.model_name, camera_params=params)
    return others if others.existing_camera is not None else replace(others, camera_mode=CameraMode.SINGLE)


def _read_rules(path: Path) -> list[CameraRule]:
    if not path.is_file():
        raise FileNotFoundError(f"no file of cameras {path}")
    tables = read_toml(path)
    if not tables:
        raise ValueError(f'{path} is empty: expected tables named by patterns, such as ["left/*"]')
    return [
        CameraRule(_options(path, pattern, table), lambda name, pattern=pattern: fits(name, pattern), pattern)
        for pattern, table in tables.items()
    ]


def _options(path: Path, pattern: str, table: object) -> CameraOptions:
    """The options of one table; each key is checked by itself, so that messages name it."""
    if not isinstance(table, dict):
        raise ValueError(f'{path}: the key {pattern} is in no table, expected a pattern above it, such as ["left/*"]')
    values, place = {}, f'{path}, ["{pattern}"]'
    for key, value in table.items():
        with errors_at(f"{place}, {key}"):
            name, value = _option(key, value)
            values[name] = value
            if key != "params":  # which are those of a model
                given_camera(CameraOptions(**{name: value}))
    with errors_at(f"{place}, existing_camera"):
        options = CameraOptions(**values)
    with errors_at(f"{place}, params"):
        given_camera(options)
    return options


def _option(key: str, value: object) -> tuple[str, object]:
    """Name and value of the option that a key stands for."""
    if key not in _KEYS:
        if isinstance(value, dict):
            raise ValueError('unknown key (patterns are quoted: ["left/*"])')
        meant = nearest(key, {**_OPTIONS, **dict.fromkeys(_KEYS)})
        hint = f": did you mean {_OPTIONS.get(meant, meant)}?" if meant else f", expected one of {', '.join(_KEYS)}"
        raise ValueError(f"unknown key{hint}")
    name, kind, words = _KEYS[key]
    if not isinstance(value, kind) or isinstance(value, bool) or value == []:
        raise ValueError(f"expected {words}, found {value!r}")
    return name, ",".join(map(repr, value)) if isinstance(value, list) else value
