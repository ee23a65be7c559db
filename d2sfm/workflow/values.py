"""The options of a run of all stages: defaults, a quality, a TOML file; written down so that the run repeats.

A file has a table for each stage, whose keys are the options of its command:

    quality = "high"
    [extract]
    max_edge = 1200
    camera_mode = "single"
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from d2sfm.files import read_toml, replacing
from d2sfm.options import QUALITIES, STAGES, Layout, PairKind, PairSelectionOptions, Quality
from d2sfm.options.fields import Options, is_several, resources, value_type
from d2sfm.options.pairs import KINDS_WITH_NUMBER
from d2sfm.spelling import chosen, did_you_mean, nearest, own_name, plain
from d2sfm.text import errors_at

AnyOptions = TypeVar("AnyOptions", bound=Options)

ONLY = "only"  # patterns of names, which extraction takes beside its options
ENABLED = "enabled"  # whether a run georeferences at all
OF_A_RUN = {"extract": {ONLY: (tuple[str, ...], [])}, "georeference": {ENABLED: (bool, False)}}  # beside the options
OF_FILES = ("output_type", "output_extension")  # a run writes none beside the photographs
WITH_SEEDS = ("match", "refine", "reconstruct")
QUALITY = "quality"  # the key that is in no table


@dataclass(frozen=True)
class RunValues:
    """All values of a run as given, in TOML's types, by stage and option; an option that is not set is missing.

    Two are equal if they stand for the same run.
    """

    stages: Mapping[str, Mapping[str, Any]]

    def of(self, stage: str, kind: type[AnyOptions]) -> AnyOptions:
        """The options of one class of a stage. ValueError with the stage's name if they refuse a value."""
        given = self.stages[stage]
        with errors_at(f"[{stage}]"):
            return kind(**{field.name: given[field.name] for field in fields(kind) if field.name in given})

    def difference(self, other: "RunValues", done: Collection[str] | None = None) -> str:
        """The values that differ there, as 'extract.max_edge 1024 (there 1600)'; empty if none do.

        done: stages of which there are results; then only the values that decide these.
        """
        return ", ".join(
            f"{stage}.{_key(name)} {self.stages[stage].get(name)} (there {other.stages[stage].get(name)})"
            for stage in STAGES
            for name in _kinds(stage)
            if done is None or (stage in done and name not in _resources(stage))
            if self.stages[stage].get(name) != other.stages[stage].get(name)
        )

    def write(self, path: Path) -> None:
        """Write them as a file that ``run_values`` reads; it is written whole or not at all."""
        lines = ["# All options of a run of d2sfm, which d2sfm run --config repeats."]
        for stage, values in self.stages.items():
            lines += ["", f"[{stage}]", *(f"{_key(name)} = {_toml(value)}" for name, value in values.items())]
        with replacing(path, sync=True) as stream:
            stream.write("\n".join([*lines, ""]).encode())


def run_values(
    quality: Quality | str | None = None,
    config: Path | str | Mapping[str, Any] | None = None,
    *,
    seed: int | None = None,
    num_threads: int | None = None,
    georeferenced: bool = False,
    layout: Layout | str | None = None,
) -> RunValues:
    """Defaults, then those of a quality (default: the configuration's, else medium), then the configuration's.

    config: a TOML file, or what such a file holds. A quality, a seed, a number of threads, georeferencing or a layout
    of photographs without distortion that are given besides win over it. Raises FileNotFoundError for a file that is
    missing, ValueError for one that is not TOML, for an unknown table or key (the nearest is named), and for values
    that the option does not take, each with their place.
    """
    place = "config" if isinstance(config, Mapping) else str(config)
    tables = dict(config if isinstance(config, Mapping) else {} if config is None else _tables(Path(config)))
    named = tables.pop(QUALITY, Quality.MEDIUM)
    stages = {stage: {name: default for name, (_, default) in _kinds(stage).items()} for stage in STAGES}
    _update(stages, _of_quality(named if quality is None else quality))
    for stage, table in tables.items():
        with errors_at(place):
            _require_table(stage, table)
        for key, value in table.items():
            with errors_at(f"{place}, [{stage}]"):
                name = own_name(key, _kinds(stage)) or key
                _require_known(name, stage)
            with errors_at(f"{place}, [{stage}], {key}"):
                stages[stage][name] = _checked(_kinds(stage)[name][0], _plain(value))
    if quality is not None:
        _update(stages, _of_quality(quality))
    _update(stages, dict.fromkeys(WITH_SEEDS, {} if seed is None else {"seed": seed}))
    _update(stages, {"reconstruct": {} if num_threads is None else {"num_threads": num_threads}})
    _update(stages, {"georeference": {ENABLED: True} if georeferenced else {}})
    _update(stages, {"undistort": {} if layout is None else {"layout": str(layout)}})
    asked = {own_name(key, _kinds("match")) for key in tables.get("match", ())}
    is_of_quality = quality is not None or "num_neighbours" not in asked
    if is_of_quality and chosen(PairKind, stages["match"]["pairs"]) not in KINDS_WITH_NUMBER:
        # A quality's number is not for these kinds.
        stages["match"]["num_neighbours"] = PairSelectionOptions.num_neighbours
    values = RunValues({stage: {k: v for k, v in given.items() if v is not None} for stage, given in stages.items()})
    for stage, kinds in STAGES.items():
        for kind in kinds:
            values.of(stage, kind)
    return values


def _tables(config: Path) -> dict[str, Any]:
    if not config.is_file():
        raise FileNotFoundError(f"no configuration {config}")
    return read_toml(config)


def _key(name: str) -> str:
    """The name of an option in a file, without the underscore that tells it from Python's words."""
    return name.rstrip("_")


def as_written(option: str) -> str | None:
    """How an option of a command stands in a file, as "max_edge = ... below [extract]"; None if no stage has it."""
    wanted = plain(option)
    if wanted == "multiscale":
        return "scales = [0.5, 1.0, 2.0] below [extract]"
    for name, value in ((wanted, "..."), (wanted.removeprefix("no-"), "false")):
        found = {stage: own_name(name, _kinds(stage)) for stage in STAGES}
        if tables := [f"[{stage}]" for stage in STAGES if found[stage]]:
            [key, *_] = filter(None, found.values())
            return f"{_key(key)} = {value} below {' or '.join(tables)}"
    return None


def _update(stages: dict[str, dict[str, Any]], others: Mapping[str, Mapping[str, Any]]) -> None:
    for stage, values in others.items():
        stages[stage] |= values


def _of_quality(quality: Quality | str) -> Mapping[str, Mapping[str, Any]]:
    found = chosen(Quality, quality)
    if found is None:
        raise ValueError(f"quality must be one of {', '.join(Quality)}, found {quality!r}")
    return QUALITIES[found]


def _kinds(stage: str) -> dict[str, tuple[Any, Any]]:
    """Annotation and default, in TOML's types, of all options of a stage."""
    found = dict(OF_A_RUN.get(stage, {}))
    for kind in STAGES[stage]:
        found |= {field.name: (field.type, _plain(field.default)) for field in fields(kind)}
    return {name: found[name] for name in found if name not in OF_FILES}


def _resources(stage: str) -> frozenset[str]:
    """The options of a stage that change no result."""
    return frozenset().union(*map(resources, STAGES[stage]))


def _plain(value: Any) -> Any:
    """The value in TOML's types."""
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Enum | Path) else value


def _checked(annotation: Any, value: Any) -> Any:
    """The value, if it is of the option's kind. ValueError otherwise."""
    kind = value_type(annotation)
    words, types = {bool: ("true or false", bool), int: ("a whole number", int), float: ("a number", int | float)}.get(
        kind, ("a text", str)
    )
    several = is_several(annotation)
    is_right = several == isinstance(value, list)
    for each in value if isinstance(value, list) else [value]:
        is_right &= isinstance(each, types) and (kind is bool or not isinstance(each, bool))
    if not is_right:
        raise ValueError(f"expected {'a list, each ' if several else ''}{words}, found {value!r}")
    return value


def _require_table(name: str, value: Any) -> None:
    if name not in STAGES and not isinstance(value, Mapping):
        written = as_written(name)
        hint = f": write {written}" if written else did_you_mean(name, [QUALITY])
        raise ValueError(f"the key {name} is not in a table{hint}")
    if name not in STAGES:
        meant = nearest(name, STAGES)
        raise ValueError(
            f"unknown table [{name}]: "
            + (f"did you mean [{meant}]?" if meant else f"expected one of {_listed(STAGES)}")
        )
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a table [{name}], found {value!r}")


def _require_known(name: str, stage: str) -> None:
    known = _kinds(stage)
    if name not in known:
        written = as_written(name)
        hint = f": write {written}" if written else did_you_mean(name, known)
        raise ValueError(f"unknown key {name}{hint or f', expected one of {_listed(known)}'}")


def _listed(names: Collection[str]) -> str:
    return ", ".join(map(_key, names))


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    # JSON's strings are TOML's but for one character, which JSON may leave as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str) else repr(value)
