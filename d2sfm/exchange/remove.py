"""Removal of photographs from a database and a model, with everything that depends on them.

d2sfm remove blurred.jpg --database db.db --model sparse/0
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from d2sfm.database import FeatureStore, exclusive, remove_photographs, require_database
from d2sfm.database.migration import bring_up_to_date
from d2sfm.mapping.model_removal import remove_from_models
from d2sfm.photographs.photograph import gone_photographs
from d2sfm.photographs.reading import read_image_list
from d2sfm.text import counted, first_of


@dataclass(frozen=True, kw_only=True)
class RemovalSummary:
    """What was removed, or would be (``is_dry``): names in the database, and the number of images of the model(s)."""

    removed: tuple[str, ...]
    of_model: int | None  # None without a model
    left: int
    is_dry: bool

    def __str__(self) -> str:
        what = f"{counted(len(self.removed), 'image')}"
        what += f", {self.of_model} of the model" if self.of_model is not None else ""
        if self.is_dry:
            return "\n".join([*self.removed, f"remove: would take out {what}, {self.left} left"])
        return f"remove: took out {what}, {self.left} left"


def remove_images(
    database: Path | str,
    names: Sequence[str] = (),
    *,
    image_list: Path | str | None = None,
    missing: bool = False,
    images: Path | str | None = None,
    model: Path | str | None = None,
    dry_run: bool = False,
) -> RemovalSummary:
    """Remove images from a database: features, pairs, frames, GPS position, cameras that no other image has.

    names: as the database has them; image_list: text file with more of them, one a line. Or missing: those whose
    photographs are not in the folder ``images`` (default: the one that extraction recorded). model: folder of a COLMAP
    model, or of numbered models, from which they are removed with the points that fewer than two other images see.
    dry_run: change nothing. All else stays as it is.

    Raises FileNotFoundError if the database, the model, the list or the folder is missing, ValueError if a name is not
    in the database, none is given, or the folder holds no model, RuntimeError if more than half of the photographs are
    missing, or the database is in use.
    """
    listed = [] if image_list is None else read_image_list(image_list)
    database, names = Path(database), list(dict.fromkeys([*names, *listed]))
    if bool(names) == missing:
        raise ValueError("expected names of images or --image-list, or --missing alone")
    require_database(database)
    with exclusive(database):
        with FeatureStore(database) as store:
            known = list(store.images())
            chosen = names if names else gone_photographs(store.notes.find_images_folder(images), known)
        _require_known(names, known, database)
        if not dry_run:
            bring_up_to_date(database)  # before the model changes, as it may fail
        of_model = remove_from_models(Path(model), chosen, dry_run=dry_run) if model is not None else None
        if not dry_run:
            remove_photographs(database, chosen)
    return RemovalSummary(removed=tuple(chosen), of_model=of_model, left=len(known) - len(chosen), is_dry=dry_run)


def _require_known(names: list[str], known: list[str], database: Path) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(f"{database} has no image of that name: {first_of(unknown, 'name')}")
