"""Photographs into the database with their cameras, as COLMAP imports them, and out of it again."""

from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path, PurePosixPath

import pycolmap

from d2sfm.colmap import quiet_pycolmap
from d2sfm.database.camera_rules import by_rule
from d2sfm.database.connection import Connection, sole_use
from d2sfm.database.feature_store import FeatureStore
from d2sfm.database.file import unfinished
from d2sfm.database.given_camera import given_camera, mark_given, require_camera, require_given
from d2sfm.database.lock import held_or_exclusive
from d2sfm.database.mapping_copy import copy_tables
from d2sfm.database.migration import CAMERA_SENSOR, bring_up_to_date, complete_frames
from d2sfm.database.patience import named_errors
from d2sfm.database.removal import remove_features
from d2sfm.database.tables import PAIR_TABLES, columns
from d2sfm.options import CameraMode, CameraOptions
from d2sfm.parts import scratch_folder
from d2sfm.photographs.blank_copies import write_blank_copy
from d2sfm.system import require_room

# In the order that foreign keys ask for.
IMPORTED = ("cameras", "images", "rigs", "rig_sensors", "frames", "frame_data", "pose_priors")
IMPORT_BYTES, IMAGE_BYTES = 8_000_000, 4_000  # SQLite's log while photographs are imported, and the rows of one


def import_photographs(
    path: Path, images_dir: Path, names: list[str], options: CameraOptions | None = None
) -> list[str]:
    """Import the photographs that the database lacks: image, camera, rig, frame and GPS position.

    names are relative to images_dir, with '/' between parts. Only their headers are looked at, so damaged pixels
    are not noticed. In the modes ``single`` and ``per-folder`` new photographs share the camera that the
    database has for them (that of most images); with ``existing_camera`` all share that one. Cameras with the
    parameters that options give are marked as given. With a file of cameras or rigs, photographs share
    cameras within one rule of it, see ``camera_rules``.

    Returns the names that COLMAP did not take, sorted: it can't read them, or their size differs from that of the
    shared camera. Raises ValueError for an unknown camera model, wrong parameters or a name that leads out of the
    folder, FileNotFoundError if the database or the folder is missing, RuntimeError if the shared camera differs from
    the given one, or is missing.
    """
    path, options = Path(path), options or CameraOptions()
    if not Path(images_dir).is_dir():
        raise FileNotFoundError(f"no folder of photographs {images_dir}")
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError(f"expected a path below {images_dir} and relative to it, found {name}")
    known = _camera_ids(path)
    new = sorted(set(names) - known.keys())
    rules = [(rule.options, of_rule) for rule, of_rule in by_rule(options, sorted({*names, *known}))]
    groups = [group for of_rule, members in rules for group in _groups(path, of_rule, members, known)]
    if new:
        with held_or_exclusive(path), unfinished(path) as part:
            bring_up_to_date(path)
            require_room(path, IMPORT_BYTES + IMAGE_BYTES * len(new))
            copy_tables(path, part, {"keypoints", "descriptors", *PAIR_TABLES})
            with quiet_pycolmap(), named_errors(part, RuntimeError, ValueError):
                for members, mode, reader in groups:
                    _import_group(part, images_dir, members, mode, reader)
            _take_over(part, path)
    complete_frames(path)
    cameras, wanted = _camera_ids(path), set(names)
    for of_rule, members in rules:
        if (given := given_camera(of_rule)) is not None:
            mark_given(path, given, [cameras[name] for name in members if name in wanted and name in cameras])
    return [name for name in new if name not in cameras]


def _groups(
    path: Path, options: CameraOptions, names: list[str], known: dict[str, int]
) -> list[tuple[list[str], CameraMode, pycolmap.ImageReaderOptions]]:
    """The new names of the same options, in groups of one call of pycolmap with its arguments.

    known: camera_id by name of all photographs in the database. Raises as ``require_camera`` and ``require_given``.
    """
    new = [name for name in names if name not in known]
    if options.existing_camera is None:
        there = {name: known[name] for name in names if name in known}
        mode, shared = options.camera_mode, _cameras_to_share(there, options.camera_mode)
    else:
        require_camera(path, options.existing_camera)
        mode, shared = CameraMode.SINGLE, {_camera_group("", CameraMode.SINGLE): options.existing_camera}
    groups = by_camera_group(new, mode)
    if (given := given_camera(options)) is not None:
        require_given(path, given, [shared[group] for group in groups if group in shared])
    return [(members, mode, _reader(options, shared.get(group))) for group, members in groups.items()]


def _camera_ids(path: Path) -> dict[str, int]:
    with FeatureStore(path) as store:
        return {name: image.camera_id for name, image in store.images().items()}


def estimated_cameras(path: Path) -> list[tuple[int, int, int]]:
    """Sizes of three or more pictures without a known focal length or a common camera.

    Returns (number of pictures, width, height) with sizes in pixels, the most pictures first.
    """
    with Connection(path) as connection:
        return connection.rows(
            "SELECT count(*), width, height FROM cameras WHERE prior_focal_length = 0 "
            "AND camera_id IN (SELECT camera_id FROM images GROUP BY camera_id HAVING count(*) = 1) "
            "GROUP BY width, height HAVING count(*) >= 3 ORDER BY count(*) DESC, width, height"
        )


def remove_photographs(path: Path, names: list[str]) -> None:
    """Remove photographs with all that the database holds of them, in one transaction; unknown names are ignored.

    Features, pairs and GPS position go; cameras, rigs and frames only if nothing else uses them.
    """
    with FeatureStore(path) as store:
        images = store.images()
    with Connection(path) as connection, connection.transaction():
        for name in sorted(images.keys() & set(names)):
            image = images[name]
            remove_features(connection, image.image_id)
            _remove_frame(connection, image.image_id)
            connection.rows("DELETE FROM images WHERE image_id = ?", (image.image_id,))
            _remove_unused_camera(connection, image.camera_id)


def by_camera_group(names: list[str], mode: CameraMode) -> dict[str, list[str]]:
    """Names grouped by what photographs with a shared camera have in common: the folder, or nothing."""
    groups = defaultdict(list)
    for name in names:
        groups[_camera_group(name, mode)].append(name)
    return dict(groups)


def _camera_group(name: str, mode: CameraMode) -> str:
    """What photographs that share a camera have in common."""
    return PurePosixPath(name).parent.as_posix() if mode is CameraMode.PER_FOLDER else ""


def _cameras_to_share(known: dict[str, int], mode: CameraMode) -> dict[str, int]:
    """The camera_id that new photographs of each group share: that of most images, then the lowest."""
    if mode not in (CameraMode.SINGLE, CameraMode.PER_FOLDER):
        return {}
    counts = defaultdict(Counter)
    for name, camera_id in known.items():
        counts[_camera_group(name, mode)][camera_id] += 1
    return {
        group: max(counter, key=lambda camera_id: (counter[camera_id], -camera_id)) for group, counter in counts.items()
    }


def _reader(options: CameraOptions, shared: int | None) -> pycolmap.ImageReaderOptions:
    names = ("camera_model", "camera_params", "default_focal_length_factor")
    existing = {} if shared is None else {"existing_camera_id": shared}
    return pycolmap.ImageReaderOptions(**{name: getattr(options, name) for name in names}, **existing)


def _import_group(
    path: Path, images_dir: Path, names: list[str], mode: CameraMode, reader: pycolmap.ImageReaderOptions
) -> None:
    # COLMAP's own mode for folders gives a picture the camera of another folder where names of folders and files
    # mix ("a.jpg", "sub/b.jpg", "z.jpg"), and starts again in a second run: each folder is a group with one camera.
    theirs = {CameraMode.AUTO: pycolmap.CameraMode.AUTO, CameraMode.PER_IMAGE: pycolmap.CameraMode.PER_IMAGE}
    with scratch_folder() as folder:
        for name in names:
            Path(folder, name).parent.mkdir(parents=True, exist_ok=True)
            with suppress(ValueError, FileNotFoundError):  # reported as not taken
                write_blank_copy(Path(images_dir, name), Path(folder, name))
        of_mode = theirs.get(mode, pycolmap.CameraMode.SINGLE)
        pycolmap.import_images(path, folder, of_mode, names, reader)


def _take_over(imported: Path, path: Path) -> None:
    """Add the rows that pycolmap added to a copy, in one transaction. pycolmap syncs nothing: in the database itself, a
    power cut during its work could damage everything."""
    with sole_use(imported), Connection(path) as connection:
        connection.attach(imported, "imported")
        with connection.transaction():
            for table in IMPORTED:
                names = ", ".join(columns(connection, table, "imported"))
                connection.rows(
                    f"INSERT INTO main.{table} ({names}) "
                    f"SELECT {names} FROM imported.{table} EXCEPT SELECT {names} FROM main.{table}"
                )


def _remove_frame(connection: Connection, image_id: int) -> None:
    """Remove an image from its frame, and its position; the frame goes if no other sensor is left in it."""
    of_image = "data_id = ? AND sensor_type = ?"
    frames = connection.rows(f"SELECT frame_id FROM frame_data WHERE {of_image}", (image_id, CAMERA_SENSOR))
    connection.rows(f"DELETE FROM frame_data WHERE {of_image}", (image_id, CAMERA_SENSOR))
    for frame in frames:
        connection.rows(
            "DELETE FROM frames WHERE frame_id = ? AND frame_id NOT IN (SELECT frame_id FROM frame_data)", frame
        )
    connection.rows(
        "DELETE FROM pose_priors WHERE corr_data_id = ? AND corr_sensor_type = ?", (image_id, CAMERA_SENSOR)
    )


def _remove_unused_camera(connection: Connection, camera_id: int) -> None:
    """Remove a camera and the rig of it alone, if no image has the camera and no frame needs the rig."""
    connection.rows(
        "DELETE FROM rigs WHERE ref_sensor_id = ? AND ref_sensor_type = ? "
        "AND rig_id NOT IN (SELECT rig_id FROM frames) AND rig_id NOT IN (SELECT rig_id FROM rig_sensors)",
        (camera_id, CAMERA_SENSOR),
    )
    in_rigs = (
        "SELECT ref_sensor_id FROM rigs WHERE ref_sensor_type = ? "
        "UNION SELECT sensor_id FROM rig_sensors WHERE sensor_type = ?"
    )
    connection.rows(
        "DELETE FROM cameras WHERE camera_id = ? AND camera_id NOT IN (SELECT camera_id FROM images) "
        f"AND camera_id NOT IN ({in_rigs})",
        (camera_id, CAMERA_SENSOR, CAMERA_SENSOR),
    )
