"""How far models are from their place after ``d2sfm georeference``.

    python benchmarks/georeference.py gps DATABASE MODEL --max-error-m 1 10 100
    python benchmarks/georeference.py demo FOLDER [--draws 3]

gps: by the positions of the photographs in DATABASE, a row for each largest error that a position may have: how many
positions agree, the median and largest distance of these in metres, and how many degrees the cameras' mean down axis is
off down.

demo: FOLDER is what ``d2sfm demo`` made; the exact cameras are known. The model gets its place by the exact positions,
by positions with noise, also with a length between two points beside, and by control points that are clicked with half
a pixel of noise; a row for each, with the range over so many draws of the noise: how far the scale is off, the largest
rotation error of an image in degrees, and the median error of centres in metres.
"""

import argparse
import csv
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pycolmap
from pages import add_update, update

from d2sfm.colmap import placed_images, read_model
from d2sfm.demo.square import CENTRE
from d2sfm.evaluation.poses import compare_with_truth, pose_errors
from d2sfm.georeference.down import mean_down, orientations
from d2sfm.georeference.georeference import georeference_model
from d2sfm.georeference.result import GeoreferenceResult
from d2sfm.options import GeoreferenceOptions
from d2sfm.text import aligned

GPS_HEADER = ("largest error, m", "positions that agree", "median, m", "largest, m", "down is off, degrees")
DEMO_HEADER = ("positions", "scale, % off", "rotation, degrees, largest", "centres, m, median")
DEMO_FORMATS = (".2f", ".2f", ".3f")
SMALL_M, LARGE_M, LARGE_LIMIT_M = 0.02, 10.0, 40.0  # noise of positions, and what --max-error-m then is
CONTROL_POINTS, CLICKS_OF_A_POINT, CLICK_PX, REACH_M = 8, 10, 0.5, 4.0
POSITION_COLUMNS = ("name", "x", "y", "z")
CLICK_COLUMNS, PLACE_COLUMNS = ("point", "name", "x", "y"), ("easting", "northing", "height")


def main() -> None:
    """Georeference and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = parser.add_subparsers(required=True)
    gps = kinds.add_parser("gps")
    gps.add_argument("database", type=Path)
    gps.add_argument("model", type=Path)
    gps.add_argument("--max-error-m", type=float, nargs="+", default=[1, 10, 100], metavar="M")
    gps.set_defaults(rows=gps_rows)
    demo = kinds.add_parser("demo")
    demo.add_argument("folder", type=Path)
    demo.add_argument("--draws", type=int, default=3)
    demo.set_defaults(rows=demo_rows)
    for kind in (gps, demo):
        add_update(kind)
    arguments = parser.parse_args()
    rows = arguments.rows(arguments)
    print(aligned(rows))
    update(arguments.update, rows)


def gps_rows(arguments: argparse.Namespace) -> list[tuple[str, ...]]:
    """The table of a model with GPS positions."""
    rows = [GPS_HEADER]
    for limit_m in arguments.max_error_m:
        options = GeoreferenceOptions(max_error_m=limit_m)
        with tempfile.TemporaryDirectory() as scratch:
            try:
                result = georeference_model(
                    arguments.model, Path(scratch, "out"), database=arguments.database, options=options
                )
            except RuntimeError as error:
                print(f"{limit_m:g} m: {error}")
                rows.append((f"{limit_m:g}", *"0---"))
                continue
            images = placed_images(read_model(result.output))
        sizes = {image.name: (image.camera.width, image.camera.height) for image in images}
        down = mean_down(images, orientations(sizes, arguments.database, None)).axis
        used, left_out = len(result.residuals_m), len(result.left_out_m)
        numbers = (
            f"{result.median_m:.2f}",
            f"{result.largest_m:.2f}",
            f"{np.degrees(np.arccos(np.clip(-down[2], -1, 1))):.1f}",
        )
        rows.append((f"{limit_m:g}", f"{used} of {used + left_out}", *numbers))
    return rows


def demo_rows(arguments: argparse.Namespace) -> list[tuple[str, ...]]:
    """The table of the demonstration's model."""
    model, truth = arguments.folder / "sparse" / "0", read_model(arguments.folder / "truth")
    centres = {image.name: image.projection_center() for image in truth.images.values()}
    scale = compare_with_truth(read_model(model), truth).truth_from_model.scale
    rows = [DEMO_HEADER]

    def add(label: str, place: Callable[[np.random.Generator, Path], GeoreferenceResult], draws: int) -> None:
        found = []
        for draw in range(draws):
            with tempfile.TemporaryDirectory() as scratch:
                result = place(np.random.default_rng(draw), Path(scratch))
                found.append(off_truth(result, scale, truth))
        ranges = [
            sorted({f"{n:{f}}" for n in each}, key=float)
            for each, f in zip(zip(*found, strict=True), DEMO_FORMATS, strict=True)
        ]
        rows.append((label, *(each[0] if len(each) == 1 else f"{each[0]} to {each[-1]}" for each in ranges)))

    def by_positions(generator: np.random.Generator, scratch: Path, noise_m: float, bar: bool = False):
        table = [(name, *(centre + generator.normal(0, noise_m, 3))) for name, centre in centres.items()]
        sources = {"positions": write(scratch / "positions.csv", POSITION_COLUMNS, table)}
        points = control_points(generator)
        if bar:
            sources["control_points"] = clicks(generator, points, truth, scratch, with_places=False)
            sources["scale_bars"] = [("P0", "P1", float(np.linalg.norm(points[0] - points[1])))]
        options = GeoreferenceOptions(max_error_m=LARGE_LIMIT_M if noise_m == LARGE_M else None)
        return georeference_model(model, scratch / "out", **sources, options=options)

    def by_control_points(generator: np.random.Generator, scratch: Path):
        table = clicks(generator, control_points(generator), truth, scratch, with_places=True)
        return georeference_model(model, scratch / "out", control_points=table)

    draws = arguments.draws
    add("exact positions", lambda *given: by_positions(*given, 0.0), 1)
    add("with 2 cm of noise", lambda *given: by_positions(*given, SMALL_M), draws)
    add("with 10 m of noise, --max-error-m 40", lambda *given: by_positions(*given, LARGE_M), draws)
    add("the same and a length", lambda *given: by_positions(*given, LARGE_M, bar=True), draws)
    add("8 control points, 80 clicks", by_control_points, draws)
    return rows


def control_points(generator: np.random.Generator) -> np.ndarray:
    """True places around the middle of the square, [8, 3], metres."""
    return CENTRE + generator.uniform(-REACH_M, REACH_M, (CONTROL_POINTS, 3))


def clicks(
    generator: np.random.Generator,
    points: np.ndarray,
    truth: pycolmap.Reconstruction,
    scratch: Path,
    *,
    with_places: bool,
) -> Path:
    """A table of where points are seen in photographs drawn at random, with noise."""
    rows, images = [], list(truth.images.values())
    for number, point in enumerate(points):
        for index in generator.choice(len(images), CLICKS_OF_A_POINT, replace=False):
            xy = images[index].project_point(point) + generator.normal(0, CLICK_PX, 2)
            rows.append((f"P{number}", images[index].name, *xy, *(point if with_places else ())))
    return write(scratch / "clicks.csv", CLICK_COLUMNS + (PLACE_COLUMNS if with_places else ()), rows)


def write(path: Path, header: tuple[str, ...], rows: list[tuple]) -> Path:
    """A table of text."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def off_truth(result: GeoreferenceResult, scale: float, truth: pycolmap.Reconstruction) -> tuple[float, ...]:
    """The columns of one result. scale: the true one. Without another alignment: the frame is the truth's."""
    model = read_model(result.output)
    model.transform(pycolmap.Sim3d(1.0, pycolmap.Rotation3d(), np.array(result.offset)))
    truths = {image.name: image.cam_from_world() for image in truth.images.values()}
    images = placed_images(model)
    rotation_deg, centre_m = pose_errors(
        [image.cam_from_world() for image in images], [truths[image.name] for image in images]
    )
    return abs(result.scale / scale - 1) * 100, float(rotation_deg.max()), float(np.median(centre_m))


if __name__ == "__main__":
    main()
