"""Rigs of the database: a configuration applied to its images, and reading them."""

import logging
from pathlib import Path

import pycolmap

from d2sfm.colmap import quiet_pycolmap
from d2sfm.database.connection import Connection, open_pycolmap, sole_use
from d2sfm.database.feature_store import FeatureStore
from d2sfm.database.file import create_database
from d2sfm.database.patience import named_errors
from d2sfm.database.rig_config import RigCamera, read_rig_config
from d2sfm.database.stored import ImageRow
from d2sfm.database.tables import columns
from d2sfm.parts import scratch_folder
from d2sfm.text import counted, first_of

logger = logging.getLogger(__name__)

_READ = {
    "cameras": "camera_id, model, width, height, params, prior_focal_length",
    "images": "image_id, name, camera_id",
}
_WRITTEN = ("rigs", "rig_sensors", "frames", "frame_data")  # in the order that foreign keys ask for


def apply_rig_config(path: Path, config: Path) -> None:
    """Make the rigs of a configuration and frames of all images, which replace the earlier rigs and frames.

    Images of a frame have the same name behind the prefixes of their cameras. Others get a frame of their own. All is
    written in one transaction. The same images get the same rigs and frames again.

    Raises as ``read_rig_config``, and RuntimeError if a prefix has no image or images with several cameras, or two
    prefixes share an image or a camera.
    """
    rigs = read_rig_config(config)
    if passed_over := sorted({key for rig in rigs for camera in rig for key in camera.passed_over}):
        logger.warning("%s: ignored, as COLMAP does not know them: %s", config, ", ".join(passed_over))
    with FeatureStore(path) as store:
        images = list(store.images().values())
    _require_fitting([camera for rig in rigs for camera in rig], images, config)
    before = sum(bool(rig.non_ref_sensors) for rig in read_rigs(path).values())
    with scratch_folder() as folder:
        # pycolmap clears rigs before it finds what is wrong, and copies the whole file when it closes a database of
        # which it deleted anything.
        scratch = folder / "rigs.db"
        create_database(scratch)
        with sole_use(scratch), Connection(path) as connection:
            connection.attach(scratch, "scratch")
            with connection.transaction():
                for table, names in _READ.items():
                    connection.rows(f"INSERT INTO scratch.{table} ({names}) SELECT {names} FROM main.{table}")
        with open_pycolmap(scratch) as database, named_errors(path, ValueError, RuntimeError), quiet_pycolmap():
            pycolmap.apply_rig_config([_as_pycolmap(rig) for rig in rigs], database)
        _replace(path, scratch)
    after = sum(bool(rig.non_ref_sensors) for rig in read_rigs(path).values())
    if after < before:
        logger.warning(
            "%s had %s of several cameras, now replaced by the %d of %s", path, counted(before, "rig"), after, config
        )
    _tell_frames(path, rigs, images)


def read_rigs(path: Path) -> dict[int, pycolmap.Rig]:
    """The rigs by rig_id. Raises RuntimeError if pycolmap can't open the database."""
    with open_pycolmap(path) as database:
        return {rig.rig_id: rig for rig in database.read_all_rigs()}


def read_frames(path: Path) -> list[list[int]]:
    """The frames as ids of their images. Raises RuntimeError if pycolmap can't open the database."""
    with open_pycolmap(path) as database:
        return [[data.id for data in frame.image_ids] for frame in database.read_all_frames()]


def _require_fitting(cameras: list[RigCamera], images: list[ImageRow], config: Path) -> None:
    """RuntimeError if COLMAP would stop in the middle, or give an image two frames."""
    prefix_of: dict[int, str] = {}
    seen: dict[str, str] = {}
    for camera in cameras:
        of_camera = [image for image in images if camera.has(image.name)]
        ids = sorted({image.camera_id for image in of_camera})
        if not of_camera:
            raise RuntimeError(f"{config}: no image name begins with {camera.prefix!r}, expected one or more")
        if len(ids) > 1:
            raise RuntimeError(
                f"{config}: the {len(of_camera)} images of {camera.prefix!r} have {len(ids)} cameras, expected one: "
                "extract into a new database with --rig-config"
            )
        for image in of_camera:
            if image.name in seen:
                raise RuntimeError(
                    f"{config}: {image.name} begins with {seen[image.name]!r} and {camera.prefix!r}, expected one"
                )
            seen[image.name] = camera.prefix
        if ids[0] in prefix_of:
            raise RuntimeError(
                f"{config}: {prefix_of[ids[0]]!r} and {camera.prefix!r} share camera {ids[0]}, expected one each: "
                "extract into a new database with --rig-config"
            )
        prefix_of[ids[0]] = camera.prefix


def _as_pycolmap(rig: list[RigCamera]) -> pycolmap.RigConfig:
    """Without intrinsics, which images got when they were imported."""
    return pycolmap.RigConfig(
        cameras=[
            pycolmap.RigConfigCamera(
                image_prefix=camera.prefix, ref_sensor=camera.is_reference, cam_from_rig=camera.cam_from_rig
            )
            for camera in rig
        ]
    )


def _replace(path: Path, scratch: Path) -> None:
    """Replace the rigs and frames by those of another database."""
    with sole_use(scratch), Connection(path) as connection:
        connection.attach(scratch, "scratch")
        with connection.transaction():
            for table in reversed(_WRITTEN):
                connection.rows(f"DELETE FROM main.{table}")
            for table in _WRITTEN:
                names = ", ".join(columns(connection, table, "scratch"))
                connection.rows(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM scratch.{table}")


def _tell_frames(path: Path, rigs: list[list[RigCamera]], images: list[ImageRow]) -> None:
    """Log how many frames the rigs have, and warn of those whose cameras never took one together."""
    for number, rig in enumerate(rigs, start=1):
        frames: dict[str, int] = {}
        for camera in rig:
            for image in filter(lambda image: camera.has(image.name), images):
                of_frame = image.name.removeprefix(camera.prefix)
                frames[of_frame] = frames.get(of_frame, 0) + 1
        whole = sum(count == len(rig) for count in frames.values())
        logger.info(
            "rig %d: %s (%d of them complete) of %s",
            number,
            counted(len(frames), "frame"),
            whole,
            counted(len(rig), "camera"),
        )
        if len(rig) > 1 and max(frames.values()) == 1:
            logger.warning(
                "rig %d has no frame with images of two cameras: expected equal names after the prefixes, found %s",
                number,
                first_of(sorted(frames), "name"),
            )
