"""All that shares of an alignment need to know of the database, in one file, so that none of them opens it."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from d2sfm.files import replacing
from d2sfm.options import MapCacheOptions, RefinementOptions
from d2sfm.parts import SQLITE_SUFFIXES
from d2sfm.refinement.collection import Collection, ImageKeypoints
from d2sfm.refinement.pieces import read_arrays
from d2sfm.refinement.stages import Stages, of_alignment, other_options
from d2sfm.refinement.standing import Standing
from d2sfm.refinement.tracks import Edges, Tracks

_ABOUT = ("fingerprint", "alignment", "database", "state", "folder", "images")
_OF_IMAGE = ("image_id", "name", "image_size", "input_size", "orientation", "grey_range")
_ARRAYS = ("counts", "xy", "scale", "warps", *Edges._fields, *Tracks._fields, *Standing._fields)


def write_plan(folder: Path, stages: Stages) -> None:
    """Write the plan of an alignment. No connection to the database is open."""
    collection = stages.collection
    about = {
        "fingerprint": stages.fingerprint,
        "alignment": of_alignment(asdict(stages.options)),
        "database": str(stages.database.resolve()),
        "state": _state(stages.database),
        "folder": str(stages.folder.resolve()),
        "images": [{name: getattr(image, name) for name in _OF_IMAGE} for image in collection.images],
    }
    counts = np.diff(collection.first_node)
    arrays = {"counts": counts, "xy": collection.xy, "scale": collection.scale, "warps": collection.warps}
    tuples = (collection.edges, stages.tracks, stages.standing)
    for each in tuples:
        arrays |= each._asdict()
    with replacing(_path(folder)) as stream:
        np.savez(stream, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)


def read_plan(
    folder: Path,
    images: Path | str | None,
    options: RefinementOptions,
    cache: MapCacheOptions,
    progress: bool,
    of: Path | None = None,
) -> Stages:
    """The stages of the plan in a folder. images: of the photographs (default: where they were for the plan).

    Raises FileNotFoundError if there is no plan or no such folder of photographs, ValueError if the plan is
    damaged, of other options, or, with a database ``of``, not of this one as it is.
    """
    path = _path(folder)
    if not path.is_file():
        raise FileNotFoundError(f"no plan {path}: d2sfm refine --database FILE --parts {folder} makes it")
    found = read_arrays(path, ("about", *_ARRAYS))
    about = json.loads(found["about"].tobytes())
    if about.keys() != set(_ABOUT) or any(image.keys() != set(_OF_IMAGE) for image in about["images"]):
        raise _of_another_version(path)
    if others := other_options(about["alignment"], options):
        raise ValueError(f"{path} was made with {others}: give all shares the same options, or another folder")
    if of is not None and [str(of.resolve()), _state(of)] != [about["database"], about["state"]]:
        raise ValueError(f"{path} is of another database")
    photographs = Path(images or about["folder"])
    if not photographs.is_dir():
        raise FileNotFoundError(f"no folder of photographs {photographs}: give --images")
    stages = Stages(
        database=Path(about["database"]),
        folder=photographs,
        collection=_collection(about["images"], found),
        tracks=_tuple_of(Tracks, found),
        options=options,
        cache=cache,
        progress=progress,
        standing=_tuple_of(Standing, found),
        scratch=Path(tempfile.gettempdir()),
    )
    if stages.fingerprint != about["fingerprint"]:
        raise _of_another_version(path)
    return stages


def _of_another_version(path: Path) -> ValueError:
    return ValueError(f"{path} is of another version of d2sfm: d2sfm refine --parts {path.parent} makes a new one")


def remove_plan(folder: Path) -> None:
    """Remove the plan in a folder."""
    _path(folder).unlink(missing_ok=True)


def _collection(images: list[dict], found: dict[str, np.ndarray]) -> Collection:
    of_images = np.cumsum(found["counts"])[:-1]
    keypoints = zip(images, np.split(found["xy"], of_images), np.split(found["scale"], of_images), strict=True)
    return Collection(
        images=[ImageKeypoints(**_with_tuples(image), xy=xy, scale=scale) for image, xy, scale in keypoints],
        edges=_tuple_of(Edges, found),
        warps=found["warps"],
    )


def _with_tuples(image: dict) -> dict:
    """In place of lists, which JSON makes of them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in image.items()}


def _tuple_of(kind: type, found: dict[str, np.ndarray]):
    return kind(**{name: found[name] for name in kind._fields})


def _state(database: Path) -> list[int]:
    """Sizes and times of the files of a database, which change with what is in it."""
    files = [Path(f"{database}{suffix}") for suffix in SQLITE_SUFFIXES if suffix != "-shm"]
    statuses = [file.stat() for file in files if file.exists() and file.stat().st_size]  # those of readers are empty
    return [value for status in statuses for value in (status.st_size, status.st_mtime_ns)]


def _path(folder: Path) -> Path:
    return folder / "plan.npz"
