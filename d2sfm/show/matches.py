"""Matches of two images of a database, or of two photographs.

d2sfm show matches a.jpg b.jpg
"""

from pathlib import Path

import numpy as np

from d2sfm.database import MatchStore
from d2sfm.database.bridge_store import BridgeStore
from d2sfm.database.pair_ids import pair_ids
from d2sfm.options import ExtractionOptions
from d2sfm.plots.captions import Key, captioned
from d2sfm.plots.keypoints import draw_matches
from d2sfm.plots.palette import INLIER, OTHER_KIND, OUTLIER, Theme
from d2sfm.show.given import database_of, known_names
from d2sfm.show.photographs import Photographs
from d2sfm.show.picture import Picture
from d2sfm.text import counted

LONGEST_PX = 1000  # edge of either photograph
MOST = 200  # lines


def show_matches(
    image_a: Path | str,
    image_b: Path | str,
    database: Path | str | None = None,
    *,
    images: Path | str | None = None,
    most: int = MOST,
    options: ExtractionOptions | None = None,
    progress: bool = False,
) -> Picture:
    """Two photographs beside each other with lines between their matches, by whether these are verified.

    image_a, image_b: names in the database (default: db.db, if it exists), or else photographs, which are extracted and
    matched. most: number of lines, a sample of all; 0 for all. images, options and errors: as for ``show_keypoints``;
    also ValueError for two equal images.
    """
    words = [str(image_a), str(image_b)]
    if most < 0:
        raise ValueError(f"the number of lines must be 0 (all) or more, found {most}")
    images = Path(images) if images else None
    known = known_names(words, Path(database) if database else None, images, options)
    if known:
        database, names = known
        if names[0] == names[1]:
            raise ValueError(f"{names[0]} has no matches with itself: give two images")
        photographs = Photographs.of_database(database, images)
        return _picture(database, photographs, names, names, most)
    files = [Path(word) for word in words]
    with database_of(files, options, progress) as (database, folder, names):
        photographs = Photographs.of_database(database, folder)
        return _picture(database, photographs, names, [path.name for path in files], most)


def _picture(database: Path, photographs: Photographs, names: list[str], shown: list[str], most: int) -> Picture:
    with BridgeStore(database) as store:
        bridged = store.images().get(names[0])
    with MatchStore(database) as store:
        ids = [store.image_ids()[name] for name in names]
        matches, inliers = store.told_matches(*ids)
        xy = [store.keypoints(image_id)[rows] for image_id, rows in zip(ids, matches.T, strict=True)]
        refused = store.refusals().get(int(pair_ids(*ids)))
        is_matched = int(pair_ids(*ids)) in store.done_pairs(verified=False)
    views = [photographs.view(name, LONGEST_PX) for name in names]
    of_others = np.zeros(len(matches), bool) if bridged is None else matches[:, 0] < bridged.first
    placed = [view.place(each) for view, each in zip(views, xy, strict=True)]
    lines = {"stroke": 1, "most": most or len(matches), "of_others": of_others}
    counts = f"{inliers.sum():,} of {counted(len(matches), 'match', ',')} verified" if is_matched else "not matched"
    title = f"{shown[0]} - {shown[1]}: {counts}"
    drawn = min(len(matches), lines["most"])
    keys = [Key("verified", INLIER), Key("not verified", OUTLIER)]
    if bridged is not None:
        keys = [Key("verified, of D2-Net", INLIER), Key("verified, of the other extractor", OTHER_KIND), keys[1]]
    keys += [Key(f"{drawn} of {len(matches):,} drawn")] if drawn < len(matches) else []
    facts = {"not verified, because": refused} if refused else {}

    def draw(theme: Theme) -> np.ndarray:
        pixels = (view.pixels for view in views)
        canvas = draw_matches(*pixels, *placed, inliers, background=theme.background, **lines)
        return captioned(canvas, title, keys, theme)

    return Picture(name=f"matches-{'-'.join(shown)}", title=title, facts=facts, draw=draw)
