"""One page that shows how good a reconstruction is.

d2sfm report sparse/0
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from d2sfm.files import replacing
from d2sfm.report import charts
from d2sfm.report.cameras import Camera
from d2sfm.report.facts import Facts, gather
from d2sfm.report.findings import findings, summary, verdict
from d2sfm.report.models import find_models
from d2sfm.report.names import shown, shown_name
from d2sfm.report.observations import angles_deg
from d2sfm.report.page import REPORT, photograph_data, render
from d2sfm.report.pairs import Pairs
from d2sfm.report.pictures import Picture, photographs_folder, read_pictures
from d2sfm.report.scene import inline_scene
from d2sfm.text import counted

MOST_FIELDS = 8  # cameras of which residuals are drawn
FEWEST_FOCAL = 3  # focal lengths that make a chart


@dataclass(frozen=True, kw_only=True)
class ReportResult:
    """The page that was written."""

    output: Path
    verdict: str
    images: int  # registered in the first model
    total: int  # photographs
    bytes: int
    seconds: float

    def __str__(self) -> str:
        text = f"report: {self.output}, {self.bytes / 1e6:.1f} MB, to be opened in a browser: {self.verdict.lower()}, "
        return f"{text}{self.images} of {counted(self.total, 'photograph')} placed, {self.seconds:.1f} s"


class Drawn(NamedTuple):
    """The charts of a model."""

    tracks: Markup
    errors: Markup
    angles: Markup
    fields: list[tuple[str, Markup]]  # titles and residuals over the picture
    fields_left: int  # cameras that are not drawn
    focal: Markup | None
    plan: Markup
    off: Markup | None
    off_rows: list[tuple[str, float, str]]  # of positions: name, metres, a note


def write_report(
    model: Path | str | None,
    output: Path | str,
    *,
    database: Path | str | None = None,
    images: Path | str | None = None,
    thumbnails: bool = True,
    locations: bool = True,
    progress: bool = False,
) -> ReportResult:
    """Write the page about a model, and those beside it (see ``models.find_models``), and their database.

    images: the folder of the photographs (default: the one that the database names). thumbnails: whether small pictures
    of the photographs are in it, locations: whether it tells where on Earth they were taken. Raises FileNotFoundError
    if something is missing, ValueError for a folder that holds no model or an output that can't be, RuntimeError if the
    model or the database can't be read.
    """
    started = time.perf_counter()
    output = Path(output)
    require_page(output)
    folders = find_models(None if model is None else Path(model))
    facts = gather(folders, None if database is None else Path(database), locations=locations)
    if not facts.photographs:
        raise ValueError("nothing to report: found neither a model nor a database with photographs")
    pictures = read_pictures(photographs_folder(images, database), list(facts.rows), thumbnails, progress)
    page = _page(facts, pictures, locations)
    data = page.encode()
    with replacing(output) as stream:
        stream.write(data)
    return ReportResult(
        output=output,
        verdict=verdict(facts, findings(facts))[1],
        images=facts.models[0].statistics.images if facts.models else 0,
        total=len(facts.photographs),
        bytes=len(data),
        seconds=time.perf_counter() - started,
    )


def require_page(output: Path) -> None:
    """ValueError or FileNotFoundError if no page can be written there."""
    if output.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"pages are written as .html, found {output.name}")
    if output.is_dir() or not output.parent.is_dir():
        raise FileNotFoundError(
            f"{output} can't be written: {output.parent} is not a folder, or {output.name} is a folder"
        )


def _page(facts: Facts, pictures: dict[str, Picture], locations: bool) -> str:
    first = facts.models[0] if facts.models else None
    found = findings(facts)
    data = {
        "photographs": photograph_data(facts.photographs, pictures),
        "models": [inline_scene(model, facts.rows) for model in facts.models],
        "pairs": facts.pairs and _pairs(facts.pairs, len(facts.photographs)),
    }
    return render(
        "report.html",
        REPORT,
        title=facts.history.title or (f"Model {shown(first.label)}" if first else "No model"),
        facts=facts,
        first=first,
        models=facts.models,
        labels=[model.label for model in facts.models],
        verdict=verdict(facts, found),
        summary=summary(facts),
        findings=found,
        drawn=[_drawn(facts, number, locations) for number in range(len(facts.models))],
        median_angle=_median(angles_deg(first.observations)) if first else None,
        has_locations=locations,
        connects=False,
        data=data,
    )


def _pairs(pairs: Pairs, count: int) -> dict:
    """Data of the matrix."""
    return {
        "a": pairs.a.tolist(),
        "b": pairs.b.tolist(),
        "matches": pairs.matches.tolist(),
        "verified": pairs.verified.tolist(),
        "refused": {str(row): shown(why) for row, why in pairs.refused.items()},
        "order": pairs.grouped(count),
    }


def _drawn(facts: Facts, number: int, locations: bool) -> Drawn:
    model, cameras = facts.models[number], facts.cameras[number]
    seen, place = model.observations, model.place
    errors = seen.error_px[np.isfinite(seen.error_px)]
    angles, lengths = angles_deg(seen), seen.track_lengths
    fields, left = _fields(facts, number)
    ratios = [(each.focal_px / each.began_px, each.began_by == "guess") for each in cameras if each.began_px]
    off = [(name, metres, "") for name, metres in place.residuals_m.items()] if place else []
    off += [(name, metres, "left out") for name, metres in place.left_out_m.items()] if place else []
    bars = [(f"scale bar {name}", metres, "longer") for name, metres in place.scale_bars_m.items()] if place else []
    return Drawn(
        tracks=charts.histogram(lengths, "photographs that see a point", "points", charts.track_bins(lengths)),
        errors=charts.histogram(errors, "residual, px", "observations", charts.error_bins(errors), _median(errors)),
        angles=charts.histogram(angles, "angle, degrees", "points", charts.angle_bins(angles), _median(angles)),
        fields=fields,
        fields_left=left,
        focal=charts.focal_chart(*zip(*ratios, strict=True)) if len(ratios) >= FEWEST_FOCAL else None,
        plan=charts.plan(model, facts.rows, number, locations),
        off=charts.off_chart(place.residuals_m, place.left_out_m) if off else None,
        off_rows=[(shown_name(name), *rest) for name, *rest in sorted(off, key=lambda row: -row[1]) + bars],
    )


def _fields(facts: Facts, number: int) -> tuple[list[tuple[str, Markup]], int]:
    """Residuals over the picture, first of all cameras, then of those with the largest; and the number of others."""
    cameras: list[Camera] = [each for each in facts.cameras[number] if len(each.lens.means)]
    cameras.sort(key=lambda each: -each.lens.systematic_px)
    pooled, left = facts.pooled[number], max(0, len(cameras) - MOST_FIELDS)
    chosen = [("all cameras", pooled)] if pooled is not None and len(pooled.means) else []
    chosen += [(f"camera {each.camera_id} ({each.kind})", each.lens) for each in cameras[:MOST_FIELDS]]
    return [(title, charts.residual_field(lens)) for title, lens in chosen], left


def _median(values: np.ndarray) -> float | None:
    return float(np.median(values)) if len(values) else None
