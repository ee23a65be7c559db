"""What users mean: images by name or file, and photographs that are not in a database."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from d2sfm.database import MatchStore
from d2sfm.extraction.extract import extract_to_database
from d2sfm.georeference.positions import images_meant
from d2sfm.matching.match import match_database
from d2sfm.options import ExtractionOptions, VerificationOptions
from d2sfm.parts import scratch_folder
from d2sfm.spelling import did_you_mean
from d2sfm.text import printable

DATABASE = Path("db.db")  # if none is given

logger = logging.getLogger(__name__)


def meant(word: str, names: Sequence[str], where: str, images: Path | None = None) -> str:
    """The image that a word names: by its name, without its folders, or as the path of its photograph.

    where: what has these names, in words. images: the folder of the photographs, if it is known: of a word that is a
    file, only the image of that very file is meant. Raises ValueError for an unknown name, with the nearest one.
    """
    if word in names:
        return word
    found = images_meant([word], names)
    as_path = [name for name in names if Path(word).as_posix().endswith(f"/{name}")]
    if found or len(as_path) == 1:
        name = found.get(word) or as_path[0]
        if _is_another_file(Path(word), images, name):
            raise ValueError(f"{where} has no image of the file {printable(word)}: its {printable(name)} is another")
        return name
    raise ValueError(f"{where} has no image {printable(word)}{did_you_mean(word, names)}")


def _is_another_file(path: Path, images: Path | None, name: str) -> bool:
    """Whether a path is that of a file, and the photograph of that name is there and is another one."""
    if images is None or not path.is_file() or not (images / name).is_file():
        return False
    return not path.samefile(images / name)


def known_names(
    words: Sequence[str], database: Path | None, images: Path | None, options: ExtractionOptions | None
) -> tuple[Path, list[str]] | None:
    """The database and the chosen images; None if it was not given and the words are files.

    images: the folder of the photographs (default: the one that extract recorded). options: of extraction; with these,
    words are files. Raises FileNotFoundError or ValueError if they are neither.
    """
    are_files = all(Path(word).is_file() for word in words)
    if database is None and are_files and (options is not None or not DATABASE.exists()):
        return None
    if database is None and not DATABASE.exists():
        missing = next(word for word in words if not Path(word).is_file())
        raise FileNotFoundError(f"no file {printable(missing)}, and no {DATABASE} that has an image of that name")
    if options is not None:
        raise ValueError(
            f"{printable(words[0])} was extracted into {database or DATABASE}: options of extraction are for "
            "photographs given as files, without --database"
        )
    given, database = database, database or DATABASE
    with MatchStore(database) as store:
        names, images = list(store.image_ids()), images or store.notes.images_folder()
    try:
        return database, [meant(word, names, str(database), images) for word in words]
    except ValueError:
        if given is None and are_files:
            return None
        raise


@contextmanager
def database_of(
    files: Sequence[Path], options: ExtractionOptions | None, progress: bool
) -> Iterator[tuple[Path, Path, list[str]]]:
    """A database of photographs, with features and verified matches, for the block: its path, the folder, the names.

    Raises ValueError if one of them can't be used.
    """
    with scratch_folder() as folder:
        photographs, names = folder / "photographs", []
        for number, path in enumerate(files, start=1):
            names.append(f"{number}/{path.name.lstrip('.') or path.name}")
            (photographs / str(number)).mkdir(parents=True)
            os.symlink(path.resolve(), photographs / names[-1])
        database = folder / "db.db"
        summary = extract_to_database(database, photographs, options=options, progress=progress)
        for name, path in zip(names, files, strict=True):
            if name in summary.skipped:
                raise ValueError(f"{path} can't be used: {summary.skipped[name]}")
        logger.info("%s", summary)
        if len(files) > 1:
            logger.info("%s", match_database(database, verification=VerificationOptions(), progress=progress))
        yield database, photographs, names
