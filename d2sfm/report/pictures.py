"""Upright thumbnails of the photographs for a page, and what the camera wrote into them."""

import io
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from PIL import ExifTags, Image, ImageOps

from d2sfm.coordinates import ORIENTATIONS
from d2sfm.database import FeatureStore
from d2sfm.photographs.headers import named_damage, opened, pillow_settings
from d2sfm.photographs.reading import load_photograph
from d2sfm.progress import Bar
from d2sfm.text import one_line

LONGEST_PX = 208
MOST_BYTES = 8000
QUALITIES = (72, 60, 48, 36, 24, 12)
LONGEST_TEXT = 80


class Picture(NamedTuple):
    """Of a photograph, as far as it could be read."""

    jpeg: bytes | None = None  # upright, at most MOST_BYTES
    orientation: int = 1  # EXIF's
    camera: str = ""  # maker and model by EXIF


def photographs_folder(images: Path | str | None, database: Path | str | None) -> Path | None:
    """The given folder of photographs, else the one that the database names."""
    if images is None and database is not None:
        with FeatureStore(Path(database)) as features:
            return features.notes.images_folder()
    return None if images is None else Path(images)


def read_pictures(
    folder: Path | None, names: Collection[str], with_thumbnails: bool, progress: bool = False
) -> dict[str, Picture]:
    """By name; photographs that are missing or can't be read are left out, which are all without a folder."""
    found = {}
    if folder is None or not folder.is_dir():
        return found
    for name in Bar(names, desc="thumbnails", unit="photograph", disable=not progress, leave=False):
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()) and not path.is_symlink():
            continue  # the name of another program's model, which leads out of the folder
        try:
            found[name] = _read(path, with_thumbnails)
        except (ValueError, OSError):
            continue
    return found


def _read(path: Path, with_thumbnail: bool) -> Picture:
    with opened(path) as picture:
        try:
            with pillow_settings():
                exif = picture.getexif()
        except Exception:  # damaged EXIF, for which Pillow's reader raises what it likes
            exif = {}
        told = exif.get(ExifTags.Base.Orientation, 1)
        orientation = told if told in ORIENTATIONS else 1
        camera = " ".join(filter(None, (_text(exif.get(tag)) for tag in (ExifTags.Base.Make, ExifTags.Base.Model))))
        if not with_thumbnail:
            return Picture(orientation=orientation, camera=camera)
        if picture.format in ("JPEG", "MPO"):  # which are decoded at a fraction of their size
            with named_damage():
                picture.draft("RGB", (2 * LONGEST_PX, 2 * LONGEST_PX))
                small = picture.convert("RGB")
        else:
            small = Image.fromarray(load_photograph(path))
    small.thumbnail((LONGEST_PX, LONGEST_PX))
    small.getexif()[ExifTags.Base.Orientation] = orientation
    return Picture(_jpeg(ImageOps.exif_transpose(small)), orientation, camera)


def _jpeg(picture: Image.Image) -> bytes | None:
    """A file of at most MOST_BYTES, without any metadata; None if no version is that small."""
    picture.info.clear()
    for quality in QUALITIES:
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=quality, optimize=True, exif=b"")
        if stream.tell() <= MOST_BYTES:
            return stream.getvalue()
    return None


def _text(value: object) -> str:
    return one_line(value.replace("\x00", " "), LONGEST_TEXT) if isinstance(value, str) and value.strip("\x00 ") else ""
