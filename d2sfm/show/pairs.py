"""Which pairs of a database are verified, as a matrix.

d2sfm show pairs
"""

from pathlib import Path

import numpy as np

from d2sfm.database import MatchStore
from d2sfm.database.pair_ids import image_pairs
from d2sfm.plots.captions import Key, Ramp, captioned
from d2sfm.plots.pair_matrix import draw_pair_matrix
from d2sfm.plots.palette import OUTLIER
from d2sfm.show.given import DATABASE
from d2sfm.show.picture import Picture
from d2sfm.text import counted, first_few, natural_order

LISTED = 12  # names


def show_pairs(database: Path | str | None = None) -> Picture:
    """The matrix of the pairs of a database (default: db.db), images by name, frame_9 before frame_10.

    Raises FileNotFoundError if the database is missing, RuntimeError if the file is not a COLMAP database or has no
    images.
    """
    database = Path(database or DATABASE)
    with MatchStore(database) as store:
        by_id, counts, refused = store.image_names(), store.pair_counts(), store.refusals()
    if not by_id:
        raise RuntimeError(f"{database} has no images: d2sfm extract --images DIR --database {database} adds some")
    names = sorted(by_id.values(), key=natural_order)
    place = {image_id: names.index(name) for image_id, name in by_id.items()}
    inliers, pairs = np.full((len(names), len(names)), -1), image_pairs(counts["pair_id"])
    rows = np.array([[place[a], place[b]] for a, b in pairs.tolist()], int).reshape(-1, 2)
    for first, second in (rows.T, rows.T[::-1]):
        inliers[first, second] = counts["inliers"]
    verified = int((counts["inliers"] > 0).sum())
    title = f"{verified:,} of {counted(len(counts), 'matched pair', ',')} verified, {counted(len(names), 'image', ',')}"
    found = inliers[inliers > 0]
    keys = [Ramp(f"{found.min():,}", f"{counted(found.max(), 'verified match', ',')}")] if verified else []
    keys += [Key("matched, not verified", OUTLIER)] if verified < len(counts) else []
    keys += [Key("plain: not matched")] if (np.triu(inliers < 0, 1)).any() else []
    alone = [name for name, row in zip(names, inliers, strict=True) if not (row > 0).any()]
    return Picture(
        name="pairs",
        title=title,
        facts={"in no verified pair": first_few(alone, LISTED)} if alone else {},
        table=_table(names, rows, counts, refused),
        is_photograph=False,
        draw=lambda theme: captioned(draw_pair_matrix(names, inliers, theme), title, keys, theme),
    )


def _table(names: list[str], rows: np.ndarray, counts: np.ndarray, refused: dict[int, str]) -> list[tuple[str, ...]]:
    """Pairs, most inliers first."""
    lines = [("image", "image", "matches", "verified", "not verified, because")]
    for index in np.lexsort((rows[:, 1], rows[:, 0], -counts["inliers"])):
        (a, b), (pair_id, matches, inliers) = rows[index], counts[index].tolist()
        lines.append((names[a], names[b], f"{matches:,}", f"{inliers:,}", refused.get(pair_id, "")))
    return lines if len(lines) > 1 else []
