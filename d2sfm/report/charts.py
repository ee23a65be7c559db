"""The charts of a page: SVG by Matplotlib in the page's colours, light or dark by the reader's system."""

import io
import re
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from d2sfm.report.lens import CELLS, MOST_SHARE, LensResiduals
from d2sfm.report.models import Model

# Matplotlib draws with these, and the page's variables take their place.
INK, QUIET, LINE, ACCENT, WARM = "#010203", "#010204", "#010205", "#010206", "#010207"
_VARIABLES = {INK: "--ink", QUIET: "--quiet", LINE: "--line", ACCENT: "--accent", WARM: "--warm"}
_OWN_ID = re.compile(r' id="(?:figure|axes|patch|text|xtick|ytick|line2d|matplotlib\.axis|QuiverKey|Quiver)[\w.]*"')
_SETTINGS = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": LINE,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "grid.color": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
WIDE, SMALL = (10.0, 5.4), (4.2, 2.5)  # inches
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
MOST_OFF_SHOWN = 40
PLAN_POINTS = 30_000


def histogram(values: np.ndarray, label: str, of: str, bins: np.ndarray, mark: float | None = None) -> Markup:
    """Histogram of values; mark: a value drawn as a line with its number."""
    with rc_context(_SETTINGS):
        figure, axes = _new(SMALL)
        counts, edges = np.histogram(np.clip(values, bins[0], bins[-1]), bins)
        axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=ACCENT, edgecolor="none", alpha=0.85, lw=0)
        axes.set(xlabel=label, ylabel=of, xlim=(bins[0], bins[-1]))
        axes.locator_params(axis="both", integer=bins[0] % 1 == 0.5, nbins=6)
        if mark is not None:
            axes.axvline(mark, color=WARM, lw=1.5)
            axes.annotate(
                f"median {mark:.3g}", (mark, 1), (4, -2), ("data", "axes fraction"), textcoords="offset points",
                va="top", color=WARM, fontsize=9,
            )  # fmt: skip
        return _svg(figure)


def error_bins(errors_px: np.ndarray) -> np.ndarray:
    """Edges for all but the largest of 200 values, which the last bin includes."""
    highest = float(np.quantile(errors_px, 0.995)) if len(errors_px) else 1.0
    return np.linspace(0, max(highest, 1e-3), 41)


def angle_bins(angles_deg: np.ndarray) -> np.ndarray:
    """Edges that show all."""
    return np.linspace(0, 10 * max(1, np.ceil(angles_deg.max(initial=0.0) / 10)), 37)


def track_bins(lengths: np.ndarray) -> np.ndarray:
    """Edges between whole numbers, to the length that 99 of 100 do not exceed."""
    highest = int(np.quantile(lengths, 0.99)) if len(lengths) else 2
    step = max(1, (highest + 1) // 40)
    return np.arange(1.5, max(highest, 5) + step + 0.5, step)


def residual_field(lens: LensResiduals) -> Markup:
    """Mean residuals over the image plane as arrows, scaled so that the largest can be seen."""
    width, height = lens.size
    with rc_context(_SETTINGS):
        figure, axes = _new((4.6, max(2.0, min(5.5, 4.3 * height / width))))
        lengths = np.hypot(*lens.means.T)
        typical = max(float(np.quantile(lengths, 0.9)), 1e-6)
        cell = max(lens.size) / CELLS
        drawn = lens.means * np.minimum(cell / typical, 1.6 * cell / np.maximum(lengths, 1e-9))[:, None]
        colour = WARM if lens.share > MOST_SHARE else ACCENT
        axes.quiver(*lens.centres.T, *drawn.T, angles="xy", scale_units="xy", scale=1, color=colour, width=0.006)
        axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal", xlabel="x, px", ylabel="y, px")
        for side in ("top", "right"):
            axes.spines[side].set_visible(True)
        axes.set_title(
            f"mean residuals: median {np.median(lengths):.2g} px, largest {lengths.max():.2g} px",
            fontsize=10,
            color=INK,
        )
        return _svg(figure)


def focal_chart(ratios: Sequence[float], marks: Sequence[bool]) -> Markup:
    """Focal lengths in the model divided by the initial ones; marks: of guessed ones."""
    with rc_context(_SETTINGS):
        figure, axes = _new(SMALL)
        index, guessed = np.arange(1, len(ratios) + 1), np.array(marks, bool)
        values = np.array(ratios)
        axes.axhline(1, color=LINE, lw=1.5, zorder=0)
        for chosen, colour, marker, label in ((~guessed, ACCENT, "o", "EXIF or given"), (guessed, WARM, "^", "guess")):
            if chosen.any():
                axes.plot(index[chosen], values[chosen], marker, color=colour, ms=5, label=label)
        axes.set(xlabel="camera", ylabel="in the model / at the start", xlim=(0.3, len(ratios) + 0.7))
        axes.legend(frameon=False, fontsize=9, labelcolor=INK)
        return _svg(figure)


def off_chart(used: Mapping[str, float], left_out: Mapping[str, float]) -> Markup:
    """Errors of positions, largest first, in metres; names are in the table beside it."""
    values = sorted([(off, name in left_out) for name, off in {**used, **left_out}.items()], reverse=True)
    shown = values[:MOST_OFF_SHOWN]
    with rc_context(_SETTINGS):
        figure, axes = _new(SMALL)
        colours = [WARM if is_out else ACCENT for _, is_out in shown]
        axes.bar(np.arange(1, len(shown) + 1), [off for off, _ in shown], color=colours, lw=0)
        axes.set(xlabel="position, largest first", ylabel="off by, m")
        return _svg(figure)


def plan(model: Model, rows: Mapping[str, int], key: int, has_locations: bool) -> Markup:
    """Cameras and points from above. Dots have ids plan-<key>-<row of the photograph>."""
    seen, place = model.observations, model.place
    offset = np.array(place.offset if place and has_locations else (0, 0, 0))
    finite = seen.xyz[np.isfinite(seen.xyz).all(axis=1)]
    points, centres = (each @ model.level.T + offset for each in (finite, seen.centres))
    ahead = np.reshape([model.level @ image.viewing_direction() for image in model.images.values()], (-1, 3))
    low, high = _bounds(points[:, :2], centres[:, :2])
    unit = f", {model.unit}" if model.unit else ", units of the model"
    axes_names = place.axes if place and place.is_metric else ("x", "y")
    with rc_context(_SETTINGS):
        figure, axes = _new(WIDE)
        chosen = np.random.default_rng(0).permutation(len(points))[:PLAN_POINTS]
        axes.scatter(*points[chosen, :2].T, s=2.5, color="#808894", lw=0, alpha=0.7, rasterized=True, zorder=1)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
        axes.set(xlabel=f"{axes_names[0]}{unit}", ylabel=f"{axes_names[1]}{unit}")
        axes.ticklabel_format(useOffset=False, style="plain")
        axes.grid(lw=0.7, zorder=0)
        tip = 0.045 * (high - low).max()
        for name, centre, way in zip(model.images, centres, ahead, strict=True):
            flat = way[:2] / max(np.linalg.norm(way), 1e-9) * tip
            axes.plot(*np.stack([centre[:2], centre[:2] + flat]).T, color=ACCENT, lw=1.2, zorder=2)
            axes.plot(*centre[:2], "o", ms=5, color=ACCENT, zorder=3, gid=f"plan-{key}-{rows[name]}")
        return _svg(figure, dpi=150)


def _bounds(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    framed = centres
    if len(points):
        framed = np.concatenate([centres, np.quantile(points, (0.02, 0.98), axis=0)])
    low, high = framed.min(axis=0), framed.max(axis=0)
    margin = 0.06 * max((high - low).max(), 1e-6)
    return low - margin, high + margin


def _new(size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, facecolor="none")
    FigureCanvasSVG(figure)
    width, height = size
    # Room for the texts; Matplotlib's own layouts take as long as drawing.
    return figure, figure.add_axes((0.72 / width, 0.5 / height, 1 - 0.88 / width, 1 - 0.8 / height), facecolor="none")


def _svg(figure: Figure, dpi: int = 72) -> Markup:
    text = io.StringIO()
    with rc_context({"svg.hashsalt": "d2sfm"}):
        figure.savefig(text, format="svg", dpi=dpi, metadata=_NO_METADATA)
    svg = text.getvalue()
    svg = _OWN_ID.sub("", svg[svg.index("<svg") :])
    for drawn, variable in _VARIABLES.items():
        svg = svg.replace(drawn, f"var({variable})")
    return Markup(svg.replace("DejaVu Sans", "system-ui").replace("<svg ", '<svg role="img" ', 1))
