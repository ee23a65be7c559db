"""How a model was made: noted settings, commands that repeat it, versions and times."""

import json
import platform
import shlex
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from d2sfm import __version__
from d2sfm.database import FeatureStore
from d2sfm.features.fingerprints import settings_of
from d2sfm.files import read_toml
from d2sfm.options import STAGES
from d2sfm.options.fields import value_type
from d2sfm.report.names import shown
from d2sfm.spelling import own_name

LIBRARIES = ("pycolmap", "torch", "numpy", "opencv-python-headless")
PLAIN_NAMES = ("images", "photos", "photographs", "pictures")
FILES = {
    "weights",
    *(
        each.name
        for kinds in STAGES.values()
        for kind in kinds
        for each in fields(kind)
        if value_type(each.type) is Path
    ),
}
LOCATIONS = {"georeference": ("epsg", "utm")}  # a code tells the zone
CONFIG, TIMES = "run.toml", "times.json"  # of a run, beside its database


class History(NamedTuple):
    """The history as texts; parts that were not noted are empty."""

    title: str  # what the collection may be called
    photographs: str  # name of their folder
    settings: dict[str, list[tuple[str, str]]]  # names and values by stage
    commands: list[str]
    versions: list[tuple[str, str]]  # those that read the model now
    seconds: dict[str, float]  # by stage


def read_history(database: Path | None, *, locations: bool = True) -> History:
    """The history from a database and the files that ``d2sfm run`` leaves beside it.

    locations: whether it has settings that tell where on Earth photographs were taken.
    """
    versions = [("d2sfm", __version__), ("Python", platform.python_version()), *_versions()]
    if database is None:
        return History("", "", {}, [], versions, {})
    with FeatureStore(database) as features:
        folder = features.notes.images_folder()
        extracted = list(features.extracted().values())
        noted = {"match": features.notes.match_settings(), "refine": features.notes.refinement()}
    noted["extract"] = _extraction(extracted[0]) if extracted else {}
    settings = {stage: noted[stage] for stage in ("extract", "match", "refine")}
    photographs = shown(folder.name) if folder is not None else ""
    config = database.parent / CONFIG
    if config.is_file():
        of_run = {name: table for name, table in read_toml(config).items() if isinstance(table, dict)}
        settings = {stage: settings.get(stage, {}) | of_run.get(stage, {}) for stage in {**settings, **of_run}}
        commands = [f"d2sfm run {shlex.quote(photographs or 'PHOTOS')} --config {CONFIG}"]
    else:
        commands = _commands(photographs or "PHOTOS", database, noted)
    hidden = {} if locations else LOCATIONS
    rows = {
        stage: [
            (shown(key), _value(key, value)) for key, value in told.items() if not own_name(key, hidden.get(stage, ()))
        ]
        for stage, told in settings.items()
    }
    rows = {stage: told for stage, told in rows.items() if told}
    return History(_title(folder), photographs, rows, commands, versions, read_times(database.parent))


def _extraction(fingerprint: str) -> dict:
    """The settings of features; none if the text is of another program, so that the rest is still shown."""
    try:
        return settings_of(fingerprint)
    except ValueError:
        return {}


def _title(folder: Path | None) -> str:
    """The name of a folder of photographs, or of its parent if its own name says nothing."""
    if folder is None:
        return ""
    return shown(folder.parent.name if folder.name.lower() in PLAIN_NAMES else folder.name)


def read_times(folder: Path) -> dict[str, float]:
    """Seconds by stage, as runs noted them in the folder of their database; empty if none did."""
    path = folder / TIMES
    if not path.exists():
        return {}
    try:
        return {shown(stage): float(seconds) for stage, seconds in json.loads(path.read_text()).items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _commands(photographs: str, database: Path, noted: Mapping[str, Mapping]) -> list[str]:
    """The commands of the stages, with noted options that differ from the default."""
    of_database = "" if database.name == "db.db" else f" --database {shlex.quote(shown(database.name))}"
    commands = [f"d2sfm extract --images {shlex.quote(photographs)}{_options('extract', noted)}{of_database}"]
    commands += [f"d2sfm {each}{_options(each, noted)}{of_database}" for each in ("match", "refine") if noted[each]]
    return [*commands, f"d2sfm reconstruct{of_database}"]


def _options(stage: str, noted: Mapping[str, Mapping]) -> str:
    given = ""
    for field in (field for kind in STAGES[stage] for field in fields(kind)):
        value = noted[stage].get(field.name)
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        if value in (default, None) or (stage, field.name) == ("extract", "weights"):  # of these, a digest is noted
            continue
        name = field.name.rstrip("_").replace("_", "-")
        if isinstance(value, bool):
            given += f" --{name}" if value else f" --no-{name}"
        else:
            values = value if isinstance(value, list) else [value]
            given += " ".join(["", f"--{name}", *(shlex.quote(shown(str(each))) for each in values)])
    return given


def _value(key: str, value: object) -> str:
    """A setting as text; of a path only the last part, as pages are shared."""
    if isinstance(value, list):
        return ", ".join(_value(key, each) for each in value)
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    is_path = own_name(key, FILES) or text.startswith(("/", "~")) or "\\" in text
    return shown(PureWindowsPath(text).name or text if is_path else text)  # which knows both kinds of separators


def _versions() -> list[tuple[str, str]]:
    found = []
    for name in LIBRARIES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found
