"""Files of a georeferenced model beside COLMAP's: its transform, its cameras on a map, its points."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import pycolmap

from d2sfm.georeference.frames import Frame, Projected
from d2sfm.options import Cloud
from d2sfm.preparation.extras import require
from d2sfm.text import counted, printable

TRANSFORM, GEOJSON, KML, POINTS = "georeference.json", "cameras.geojson", "cameras.kml", "points"
GIVEN = "digest_of_given"  # entry of the first
LAS_STEP_M = 0.001
LAS_REACH_M = 2e6  # what 32 bits of steps hold; points further away are of false matches

logger = logging.getLogger(__name__)


def write_transform(path: Path, similarity: pycolmap.Sim3d, frame: dict[str, Any], offset: np.ndarray, rest: dict):
    """The transform from the given model, and the place in the world. rest: further entries."""
    text = {
        "frame": frame,
        "offset": offset.tolist(),
        "world": "coordinates of the model + offset",
        "model_from_given": {
            "text": "scale * rotation * x + translation, x in the given model",
            "scale": float(similarity.scale),
            "rotation": similarity.rotation.matrix().tolist(),
            "translation": np.asarray(similarity.translation).tolist(),
        },
        **rest,
    }
    path.write_text(json.dumps(text, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def write_maps(folder: Path, places: Mapping[str, np.ndarray], off_m: Mapping[str, float]) -> None:
    """``cameras.geojson`` and ``cameras.kml``. places: latitude, longitude, altitude by name; off_m: errors of those
    that had a position."""
    features, placemarks = [], []
    for name, (latitude, longitude, altitude) in places.items():
        place = [round(float(longitude), 9), round(float(latitude), 9), round(float(altitude), 3)]
        properties = {"name": printable(name)} | ({"residual_m": round(off_m[name], 3)} if name in off_m else {})
        point = {"type": "Point", "coordinates": place}
        features.append({"type": "Feature", "geometry": point, "properties": properties})
        placemarks.append(
            f"<Placemark><name>{escape(printable(name))}</name><Point><altitudeMode>absolute</altitudeMode>"
            f"<coordinates>{','.join(map(repr, place))}</coordinates></Point></Placemark>"
        )
    collection = json.dumps({"type": "FeatureCollection", "features": features}, allow_nan=False)
    (folder / GEOJSON).write_text(collection + "\n", encoding="utf-8")
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<kml xmlns="http://www.opengis.net/kml/2.2"><Document>']
    (folder / KML).write_text("\n".join([*lines, *placemarks, "</Document></kml>", ""]), encoding="utf-8")


def require_cloud(cloud: Cloud) -> None:
    """ValueError if a library for such a file is missing."""
    if cloud is not Cloud.NONE:
        require("laspy", "geo")
    if cloud is Cloud.LAZ:
        require("lazrs", "geo")


def write_cloud(folder: Path, cloud: Cloud, model: pycolmap.Reconstruction, frame: Frame, offset: np.ndarray) -> None:
    """The points in the world with their colours, as ``points.las`` or ``points.laz``."""
    import laspy

    points = list(model.points3D.values())
    places = np.array([point.xyz for point in points]).reshape(-1, 3) + offset
    colours = np.array([point.color for point in points], np.uint16).reshape(-1, 3)
    finite = places[np.isfinite(places).all(axis=1)]
    centre = np.floor(np.median(finite, axis=0)) if len(finite) else np.zeros(3)
    near = (np.abs(places - centre) < LAS_REACH_M).all(axis=1)
    if not near.all():
        far = counted(np.count_nonzero(~near), "point")
        logger.warning("not in %s.%s, as no numbers or beyond %g km: %s", POINTS, cloud, LAS_REACH_M / 1000, far)
    header = laspy.LasHeader(point_format=7, version="1.4")
    header.offsets, header.scales = centre, np.full(3, LAS_STEP_M)
    if isinstance(frame, Projected):
        header.add_crs(frame.crs)
    las = laspy.LasData(header)
    las.x, las.y, las.z = places[near].T
    las.red, las.green, las.blue = 257 * colours[near].T  # of 16 bits
    las.write(str(folder / f"{POINTS}.{cloud}"))
