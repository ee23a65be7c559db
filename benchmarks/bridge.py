"""What SIFT alone gives, and what with D2 features beside it: ``python benchmarks/bridge.py FOLDER [OPTIONS]``.

FOLDER holds ``images/`` and ``ground_truth/`` (a COLMAP model, whose camera --known-cameras gives to SIFT). The first
photographs by name, made smaller on request, get SIFT features, matched in all pairs. The last of them are set apart:
their pairs with the others, and among each other, are taken out. ``d2sfm bridge`` goes to work on what is left; with
--all none is apart, and it adds D2 matches to every pair. With --night-like every second photograph is made so
(``night_like.py``), and none is set apart: what SIFT does not join is. Prints a row for each database and each seed of
SIFT's verification and mapping, and their medians: images and points of the first model, rotation and centre errors
(median and largest; centres in the truth's unit) of the images that are not apart, and medians of those that are. D2
features are the same for all seeds.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pycolmap
from exactness import known_camera
from night_like import write_night_like
from pages import add_update, update
from sift import extract_sift, match_sift, verify_sift

from d2sfm.bridge.bridge import bridge_database
from d2sfm.bridge.work import layer_file
from d2sfm.colmap import read_model
from d2sfm.database import MatchStore, layer_of
from d2sfm.database.connection import Connection
from d2sfm.database.pair_ids import pair_ids
from d2sfm.evaluation.poses import compare_with_truth
from d2sfm.mapping.extend import extend_model
from d2sfm.mapping.reconstruct import reconstruct
from d2sfm.options import BridgeOptions, CameraOptions, ExtractionOptions, Precision, ReconstructionOptions
from d2sfm.photographs.reading import list_photographs
from d2sfm.text import aligned

# Columns of the table, and the decimals of their numbers.
COLUMNS = {
    "images": 0,
    "points": 0,
    "rotation deg": 3,
    "max deg": 3,
    "centre": 4,
    "max": 4,
    "apart deg": 3,
    "apart centre": 4,
}


def write_photographs(source: Path, target: Path, names: list[str], edge: int | None) -> float:
    """Write photographs, no longer than that; returns by how much they are smaller."""
    target.mkdir(exist_ok=True)
    for name in names:
        picture = cv2.imread(str(source / name))
        scale = min(1.0, edge / max(picture.shape[:2])) if edge else 1.0
        smaller = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(target / name), smaller, [cv2.IMWRITE_JPEG_QUALITY, 98])
    return scale


def set_apart(database: Path, names: list[str]) -> None:
    """Take out all pairs of these images."""
    with MatchStore(database) as store:
        ids = store.image_ids()
    pairs = [(int(pair_ids(ids[name], other)),) for name in names for other in ids.values() if other != ids[name]]
    with Connection(database) as connection, connection.transaction():
        for table in ("matches", "two_view_geometries"):
            connection.run_many(f"DELETE FROM {table} WHERE pair_id = ?", pairs)


def mapped(database: Path, seed: int) -> Path | None:
    """The folder of the first model; None if there is none."""
    found = reconstruct(database, database.with_suffix(""), options=ReconstructionOptions(seed=seed, num_threads=1))
    return found.models[0] if found.models else None


def extended(database: Path, model: Path | None, seed: int, adjust: bool) -> Path | None:
    """The model with what could be placed in it."""
    options, output = ReconstructionOptions(seed=seed, num_threads=1), database.with_suffix(f".extended{adjust}")
    return model and extend_model(database, model, output, adjust=adjust, options=options).model


def row(folder: Path | None, truth: pycolmap.Reconstruction, apart: list[str]) -> list[float]:
    """The numbers of COLUMNS."""
    if folder is None:
        return [0, 0, *[np.nan] * 6]
    model = pycolmap.Reconstruction(folder)
    errors = compare_with_truth(model, truth)
    is_apart = np.isin(errors.names, apart)
    numbers = [model.num_reg_images(), model.num_points3D()]
    for values in (errors.rotation_deg[~is_apart], errors.centre[~is_apart]):
        numbers += [np.median(values), values.max()]
    both = [
        np.median(values[is_apart]) if is_apart.any() else np.nan for values in (errors.rotation_deg, errors.centre)
    ]
    return [*numbers, *both]


def _cell(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if np.isfinite(value) else "-"


def arguments_given() -> argparse.Namespace:
    """Those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--known-cameras", action="store_true", help="give the ground truth's camera to SIFT's database"
    )
    parser.add_argument("--photographs", type=int, help="the first by name (default: all)")
    parser.add_argument("--apart", type=int, default=2, help="how many of these, the last by name, are set apart")
    parser.add_argument("--max-edge", type=int, help="longest edge of the photographs (default: as they are)")
    parser.add_argument("--all", action="store_true", help="set none apart, and add D2 matches to every pair")
    parser.add_argument("--night-like", action="store_true", help="make every second photograph night-like")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--precision", type=Precision, default=Precision.AUTO)
    parser.add_argument(
        "--work",
        type=Path,
        help="folder that keeps databases, and continues from them, but for bridged.db, the first seed's",
    )
    add_update(parser)
    return parser.parse_args()


def main() -> None:
    """The command line."""
    arguments = arguments_given()
    with tempfile.TemporaryDirectory() as scratch:
        work = arguments.work or Path(scratch)
        work.mkdir(exist_ok=True)
        source, truth = arguments.folder / "images", read_model(arguments.folder / "ground_truth")
        names = list_photographs(source)[: arguments.photographs]
        if arguments.night_like:
            apart, source = write_night_like(source, work / "by_night"), work / "by_night"
        else:
            apart = [] if arguments.all else names[len(names) - arguments.apart :]
        scale = write_photographs(source, work / "images", names, arguments.max_edge)
        matched, layer = work / "matched.db", work / "layer.db"
        if not matched.exists():
            cameras = known_camera(truth, scale) if arguments.known_cameras else CameraOptions()
            extract_sift(matched, work / "images", cameras)
            match_sift(matched)
        options = BridgeOptions(all_=arguments.all), ExtractionOptions(precision=arguments.precision)
        found = {}
        for seed in arguments.seeds:
            sift = Path(shutil.copy(matched, Path(scratch) / f"sift_{seed}.db"))
            verify_sift(sift, seed)
            alone = Path(shutil.copy(sift, Path(scratch) / f"alone_{seed}.db"))
            if not arguments.night_like:
                set_apart(alone, apart)
            bridged = Path(shutil.copy(alone, Path(scratch) / f"bridged_{seed}.db"))
            if layer.exists():
                shutil.copy(layer, layer_file(bridged))  # as if a stopped run had made it
            print(bridge_database(bridged, options=options[0], features=options[1]))
            if not layer.exists():
                with layer_of(bridged) as made:
                    shutil.copy(made, layer)
            if seed == arguments.seeds[0]:
                shutil.copy(bridged, work / "bridged.db")
            models = {"SIFT, all pairs": mapped(sift, seed), "bridged": mapped(bridged, seed)}
            if apart:
                models["SIFT, apart"] = before = mapped(alone, seed)
                for way, adjust in {"extended": False, "extended, adjusted": True}.items():
                    models[f"SIFT, apart, {way}"] = extended(bridged, before, seed, adjust)
            for label, model in models.items():
                found.setdefault(label, []).append(row(model, truth, apart))
        rows = [("", "seed", *COLUMNS)]
        for label, numbers in found.items():
            medians = np.median(numbers, axis=0)
            for seed, values in zip([*arguments.seeds, "median"], [*numbers, medians], strict=True):
                rows.append((label, str(seed), *map(_cell, values, COLUMNS.values())))
        print(aligned(rows))
    update(arguments.update, rows)


if __name__ == "__main__":
    main()
