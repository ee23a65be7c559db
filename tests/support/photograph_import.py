"""Photographs with EXIF that are imported into the database db.db beside their folder ``images``."""

from PIL import Image

from d2sfm.database import FeatureStore, import_photographs

FOCAL_35MM, EXIF_IFD, GPS_IFD = 0xA405, 0x8769, 0x8825


def save(folder, *names, size=(64, 48), focal_35mm=None, gps=False, maker=None):
    for name in names:
        exif = Image.Exif()
        if focal_35mm:
            exif[EXIF_IFD] = {FOCAL_35MM: focal_35mm}
        if gps:
            exif[GPS_IFD] = {1: "N", 2: (47.0, 3.0, 2.0), 3: "E", 4: (8.0, 1.0, 2.0), 5: b"\0", 6: 400.0}
        if maker:
            exif[0x10F], exif[0x110] = maker, "One"
        Image.effect_noise(size, 60).convert("RGB").save(folder / "images" / name, exif=exif)


def take(folder, names, options=None):
    return import_photographs(folder / "db.db", folder / "images", names, options)


def cameras(folder):
    """camera_id by name."""
    with FeatureStore(folder / "db.db") as store:
        return {name: image.camera_id for name, image in store.images().items()}
