"""A reconstruction: cameras, recovered and true, and points, at a slant and from above. Drawn with Matplotlib."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox
from mpl_toolkits.mplot3d import Axes3D, proj3d
from mpl_toolkits.mplot3d.art3d import Line3DCollection

from d2sfm.plots.figure import new_figure, pt, rendered
from d2sfm.plots.palette import BY_NIGHT, DARK, RECOVERED, TRUE, Colour, Theme, ink
from d2sfm.text import counted

SLANTED = 0.58  # share of the picture's width that shows the scene at a slant
MARGIN_PX = 40
LOOK = {"elev": 34, "azim": -58}  # from behind the cameras; degrees
FOCAL_LENGTH = 0.17  # of the look at a slant; the viewer is 9 times as many diameters of the scene away


class Poses(NamedTuple):
    """Cameras in a world of any unit."""

    centres: np.ndarray  # [N, 3]
    rotations: np.ndarray  # [N, 3, 3], cam_from_world


def draw_cameras(
    recovered: Poses,
    points: np.ndarray,
    colours: np.ndarray,
    true: Poses | None = None,
    by_night: np.ndarray | None = None,
    size: tuple[int, int] = (1600, 760),
    theme: Theme = DARK,
) -> np.ndarray:
    """A reconstruction, seen at a slant and from above: cameras as small pyramids, points in their colours.

    Which way is up is taken from the cameras, that are held upright as a rule. points: [P, 3], colours: [P, 3] uint8.
    true: the true cameras, in the same world. by_night: bool [N], which of the recovered cameras get a colour of their
    own, as their pictures were taken at night. size: (width, height) of the picture. Returns [height, width, 3] uint8
    RGB.
    """
    groups = [(RECOVERED, "recovered cameras", 2.5, *recovered)]
    if by_night is not None:
        parts = (RECOVERED, "cameras by day", ~by_night), (BY_NIGHT, "cameras by night", by_night)
        groups = [(colour, name, 2.5, *(each[chosen] for each in recovered)) for colour, name, chosen in parts]
    if true is not None:
        groups.insert(0, (TRUE, "true cameras", 7, *true))
    level = level_axes(np.concatenate([rotations for *_, rotations in groups]).reshape(-1, 3, 3)).T
    points = np.reshape(points, (-1, 3)) @ level
    framed = _framed(points, np.concatenate([np.reshape(centres, (-1, 3)) for *_, centres, _ in groups]) @ level)
    low, high = framed.min(axis=0), framed.max(axis=0)
    extent = float(np.linalg.norm(high - low))
    wires = [(_pyramids(c, r, 0.033 * extent) @ level, ink(colour), width) for colour, _, width, c, r in groups]

    figure = new_figure(size, theme)
    across, ahead, upward = np.stack([low + high - extent, low + high + extent], axis=1) / 2  # limits of a cube
    look = {"box_aspect": (1, 1, 1), "computed_zorder": False, "facecolor": "none", **LOOK}
    slanted = figure.add_axes((0, 0, 1, 1), projection="3d", **look)
    slanted.set_proj_type("persp", FOCAL_LENGTH)
    slanted.set(xlim=across, ylim=ahead, zlim=upward)
    plan = figure.add_axes((0, 0, 1, 1), xlim=across, ylim=ahead)
    seam = round(SLANTED * size[0])
    near = (np.abs(points - (low + high) / 2) < extent).all(axis=1)  # strays can lie beyond what can be projected
    for axes, left, right in ((slanted, 0, seam), (plan, seam, size[0])):
        axes.set_axis_off()
        panel = Bbox([[left, 0], [right, size[1]]])
        _fit(axes, framed, panel)
        _draw(axes, points[near], colours[near], [(_floor(framed), ink(theme.grid), 1.5), *wires], panel)
    entries = [(colour, f"{name} ({len(centres)})") for colour, name, _, centres, _ in reversed(groups)]
    _draw_legend(figure, [*entries, (theme.text, f"{counted(len(points), 'point', ',')}")], theme)
    return rendered(figure)


def level_axes(rotations: np.ndarray) -> np.ndarray:
    """Right, forward and up of a world in which cameras look about level and are held upright, [3, 3] rows."""
    if not len(rotations):
        return np.eye(3)
    across, down, ahead = np.moveaxis(rotations, 1, 0)
    # Up is what the x axes of all cameras are most nearly perpendicular to; where they leave a choice, y axes decide.
    up = np.linalg.eigh(across.T @ across - 0.05 * down.T @ down)[1][:, 0]
    up = up if up @ down.sum(axis=0) < 0 else -up
    right = np.cross(ahead.sum(axis=0), up)
    if np.linalg.norm(right) < 0.1 * len(rotations):  # cameras all around, or straight down: no common direction
        right = across[0] - (across[0] @ up) * up
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(up, right), up])


def _framed(points: np.ndarray, spots: np.ndarray) -> np.ndarray:
    """What has to be in the picture, [F, 3]: all spots, and the points but for the outermost 2 per cent each way."""
    if len(points):
        low, high = np.quantile(points, (0.02, 0.98), axis=0)
        points = points[((points >= low) & (points <= high)).all(axis=1)]
    framed = np.concatenate([points, spots])
    if len(framed) and np.ptp(framed, axis=0).any():
        return framed
    return framed[:1].sum(axis=0) + np.array([[-1.0], [1.0]])  # one place or none gets some room


def _pyramids(centres: np.ndarray, rotations: np.ndarray, depth: float) -> np.ndarray:
    """Each camera's pyramid as one line in the world, over all edges, [N, 10, 3]."""
    corners = np.array([[0, 0, 0], [-0.8, -0.6, 1], [0.8, -0.6, 1], [0.8, 0.6, 1], [-0.8, 0.6, 1]]) * depth
    line = corners[[1, 2, 3, 4, 1, 0, 2, 3, 0, 4]]
    return np.reshape(centres, (-1, 1, 3)) + line @ np.reshape(rotations, (-1, 3, 3))


def _floor(framed: np.ndarray) -> np.ndarray:
    """Lines of a grid of squares under the scene, [L, 2, 3], with a spacing of 1, 2 or 5 times a power of ten."""
    target = float(np.linalg.norm(np.ptp(framed, axis=0))) / 14
    power = 10.0 ** np.floor(np.log10(target))
    spacing = power * min((1, 2, 5, 10), key=lambda step: abs(step * power - target))
    low = np.append(np.floor(framed[:, :2].min(axis=0) / spacing) * spacing, framed[:, 2].min())
    high = np.append(np.ceil(framed[:, :2].max(axis=0) / spacing) * spacing, framed[:, 2].min())
    lines = []
    for axis in (0, 1):
        for value in np.arange(low[axis], high[axis] + spacing / 2, spacing):
            line = np.stack([low, high])
            line[:, axis] = value
            lines.append(line)
    return np.array(lines)


def _fit(axes: Axes, framed: np.ndarray, panel: Bbox) -> None:
    """Place square axes such that all of ``framed`` lies in the middle of the panel, which is in pixels."""
    flat = proj3d.proj_transform(*framed.T, axes.get_proj())[:2] if isinstance(axes, Axes3D) else framed.T[:2]
    flat = axes.transLimits.transform(np.transpose(flat))
    low, high = flat.min(axis=0), flat.max(axis=0)
    side = ((panel.size - 2 * MARGIN_PX) / np.maximum(high - low, 1e-9)).min()
    origin = (panel.p0 + panel.p1 - (low + high) * side) / 2
    axes.set_position(Bbox([origin, origin + side]).transformed(axes.figure.transFigure.inverted()))


def _draw(axes: Axes, points: np.ndarray, colours: np.ndarray, wires: list[tuple], panel: Bbox) -> None:
    """The floor, points and cameras, in this order; wires: lines [L, n, 3], colour and width in pixels of each."""
    dimensions, collection = (3, Line3DCollection) if isinstance(axes, Axes3D) else (2, LineCollection)
    for order, (lines, colour, width) in enumerate(wires):
        axes.add_collection(collection(lines[..., :dimensions], colors=colour, lw=pt(width), zorder=2 * order))
    by_height = np.argsort(points[:, 2], kind="stable")  # the highest come last, as seen from above
    inks = np.clip(colours[by_height] * (1.1 / 255) + 0.055, 0, 1)
    dots = points[by_height, :dimensions].T
    axes.scatter(*dots, c=inks, s=pt(6.5) ** 2, lw=0, zorder=1, **({"depthshade": False} if dimensions == 3 else {}))
    for drawn in axes.collections:
        drawn.set_clip_box(panel)


def _draw_legend(figure: Figure, entries: list[tuple[Colour, str]], theme: Theme) -> None:
    """A line of text for each entry, with a disc of its colour, in the lower left corner."""
    discs = [Line2D([], [], ls="", marker="o", ms=pt(13), color=ink(colour), label=text) for colour, text in entries]
    look = {"fontsize": pt(20), "labelcolor": ink(theme.text), "frameon": False, "handletextpad": 0, "borderpad": 0}
    figure.legend(handles=discs, loc="lower left", **look)
