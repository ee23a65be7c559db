"""Size, time to load and time of a picture while the view is turned, of the report of a large model.

    python benchmarks/report.py --images 1000 --points 500

Writes a synthetic database and its true model with points (``synthetic.py``) and photographs of noise, of which small
pictures are as large as they get; makes the report, and turns the view in a headless Chromium that draws in software.
Needs selenium, chromium and chromedriver.
"""

import argparse
import os
import sys
import tempfile
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pycolmap
from child import d2sfm
from PIL import Image
from synthetic import HEIGHT, WIDTH, Settings, World, make_world, write_synthetic

from d2sfm.models import write_model

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.browser import browser, opened

TURNED = 60  # pictures
TURN = """
const done = arguments[1], times = [];
let last = null, left = arguments[0];
viewer.moving = true;
const step = (now) => {
  if (last !== null) times.push(now - last);
  last = now;
  if (left-- === 0) { viewer.moving = false; done(times); return; }
  viewer.turn(0.05, 0);
  viewer.controls.update();
  viewer.draw();
  requestAnimationFrame(step);
};
requestAnimationFrame(step);
"""
DRAWN = "const gl = viewer.renderer.getContext(); viewer.renderer.render(viewer.scene, viewer.eye); gl.finish(); "
DRAWN += "gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4)); return viewer.model.first.count"

LEFT = "return Math.min(viewer.cloud.first.geometry.drawRange.count, viewer.model.first.count)"


def main() -> None:
    """Write, report, look."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--points", type=int, default=500, help="for each image")
    parser.add_argument("--page", type=Path, default=Path("report.html"), help="to write, or to look at if it is there")
    arguments = parser.parse_args()
    if not arguments.page.exists():
        with tempfile.TemporaryDirectory() as folder:
            report(Path(folder), Settings(images=arguments.images, points=arguments.points), arguments.page)
    look(arguments.page)


def report(work: Path, settings: Settings, page: Path) -> None:
    """Write the inputs into a folder, and the page."""
    truth = write_synthetic(work / "db.db", settings)
    add_points(truth, make_world(settings, np.random.default_rng(settings.seed)))
    (work / "model").mkdir()
    write_model(truth, work / "model")
    write_photographs(work / "photos", [image.name for image in truth.images.values()])
    print(f"{len(truth.images)} images, {truth.num_points3D()} points", flush=True)
    given = {"database": work / "db.db", "images": work / "photos", "output": page}
    run = d2sfm("report", work / "model", *(part for name, path in given.items() for part in (f"--{name}", path)))
    print(f"report: {run.cpu_seconds:.0f} CPU s, {run.seconds:.0f} s, peak {run.peak_bytes / 1e9:.1f} GB")


def look(page: Path) -> None:
    """Load it and turn the view."""
    print(f"page: {page.stat().st_size / 1e6:.1f} MB")
    with browser() as driver:
        driver.set_script_timeout(300)
        root = driver.service.process.pid
        begun, cpu = time.perf_counter(), cpu_seconds(root)
        opened(driver, page)
        drawn = driver.execute_script(DRAWN)
        taken = cpu_seconds(root) - cpu
        print(f"loaded and drawn, {drawn} points: {time.perf_counter() - begun:.1f} s, {taken:.1f} CPU s")
        cpu = cpu_seconds(root)
        times = driver.execute_async_script(TURN, TURNED)
        taken = (cpu_seconds(root) - cpu) / TURNED
        print(f"a picture while turning: median {np.median(times):.0f} ms, longest {max(times):.0f} ms", end="")
        print(f", {1000 * taken:.0f} CPU ms, at the end of {driver.execute_script(LEFT)} points")


def cpu_seconds(root: int) -> float:
    """Processor time of a process and all below it, as far as they are there."""
    parents, ticks = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            numbers = path.read_text().rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(numbers[1])
            ticks[int(path.parent.name)] = int(numbers[11]) + int(numbers[12])
    below, new = set(), {root}
    while new:
        below |= new
        new = {pid for pid, parent in parents.items() if parent in new} - below
    return sum(ticks.get(pid, 0) for pid in below) / os.sysconf("SC_CLK_TCK")


def add_points(model: pycolmap.Reconstruction, world: World) -> None:
    """The points where the rays of their observations meet best."""
    rays = np.column_stack(
        [(world.pixels - (WIDTH / 2, HEIGHT / 2)) / world.focals[world.image, None], np.ones(len(world.image))]
    )
    rays = np.einsum("kji,kj->ki", world.rotations[world.image], rays)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    across = np.eye(3) - rays[:, :, None] * rays[:, None]
    points, row = np.unique(world.point, return_inverse=True)
    normal, right = np.zeros((len(points), 3, 3)), np.zeros((len(points), 3))
    np.add.at(normal, row, across)
    np.add.at(right, row, np.einsum("kij,kj->ki", across, world.centres[world.image]))
    xyz = np.linalg.solve(normal, right[..., None])[..., 0]
    bounds, ids = np.searchsorted(world.image, np.arange(len(world.centres) + 1)), sorted(model.images)
    for image_id, (start, end) in zip(ids, pairwise(bounds), strict=True):
        model.images[image_id].points2D = pycolmap.Point2DList([pycolmap.Point2D(xy) for xy in world.pixels[start:end]])
    index = np.arange(len(world.image)) - bounds[world.image]
    order = np.argsort(row, kind="stable")
    colours = np.random.default_rng(0).integers(0, 256, (len(points), 3), np.uint8)
    for number, (start, end) in enumerate(pairwise(np.searchsorted(row[order], np.arange(len(points) + 1)))):
        track = pycolmap.Track()
        for seen in order[start:end].tolist():
            track.add_element(ids[world.image[seen]], int(index[seen]))
        point = pycolmap.Point3D(xyz=xyz[number], track=track, color=colours[number])
        model.add_point3D_with_id(number + 1, point)
    model.update_point_3d_errors()


def write_photographs(folder: Path, names: list[str]) -> None:
    """One picture of noise, under all names."""
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    Image.fromarray(noise).resize((WIDTH, HEIGHT)).save(folder / names[0])
    for name in names[1:]:
        os.link(folder / names[0], folder / name)


if __name__ == "__main__":
    main()
