"""HDF5 files of others, read with care: damage, and links to other files, give a ValueError of one line.

A link or a dataset in such a file may lead into another file, and a declared shape may have any size: h5py follows the
former and allocates the latter without a check.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import h5py
import numpy as np

from d2sfm.files import check_dataset, open_hdf5, replacing_file
from d2sfm.system import named_shortage, reserve
from d2sfm.text import counted, first_line

FLOATS, INTEGERS = "f", "iu"  # kinds of NumPy's types
FILE_BYTES, GROUP_BYTES, LETTER_BYTES = 10_000, 2_000, 8  # that HDF5 adds at the most: of a name, for each letter
LONGEST_NAME = 4096  # no path is longer; names of groups in groups add up


@contextmanager
def opened(path: Path | str) -> Iterator[h5py.File]:
    """An HDF5 file to read. FileNotFoundError if it is missing, ValueError if it is damaged or something else."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    with _named(path):
        file = open_hdf5(path, "r")
    try:
        yield file
    finally:
        file.close()


class Reader(AbstractContextManager):
    """An HDF5 file that is open until the block ends. Errors as ``opened``."""

    def __init__(self, path: Path | str):
        self.path, self._stack = Path(path), ExitStack()
        self._file = self._stack.enter_context(opened(self.path))

    def __exit__(self, *exception) -> None:
        self._stack.close()


@contextmanager
def created(path: Path | str, size: int) -> Iterator[h5py.File]:
    """An HDF5 file to write, which replaces ``path`` when the block ends, and is deleted if the block fails.

    size: its largest size in bytes. The disk must have these before: HDF5 ends the process on a full disk.

    Raises FileNotFoundError if the folder is missing, RuntimeError if it can't be written.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no folder {path.parent} for {path.name}")
    try:
        with replacing_file(path) as part:
            with part.open("wb") as stream, named_shortage(path, size):
                stream.write(_empty_file())
                stream.flush()
                reserve(stream, size)
            with open_hdf5(part, "r+") as file:  # when it is closed, HDF5 gives back what it did not need
                yield file
    except OSError as error:
        cause = os.strerror(error.errno) if error.errno else first_line(error)
        raise RuntimeError(cause if cause.startswith(f"{path} ") else f"{path} can't be written: {cause}") from error


def _empty_file() -> bytes:
    """An HDF5 file without content, made in memory."""
    with h5py.File("empty", "w", driver="core", backing_store=False) as file:
        file.flush()
        return file.id.get_file_image()


def links(group: h5py.Group) -> list[str]:
    """Names of the members of a group, without opening them. Names that are not UTF-8 are left out.

    Raises ValueError if one is longer than any photograph's.
    """
    with _named(group.file.filename):
        names = [name for name in group if isinstance(name, str)]
    if names and len(longest := max(names, key=len)) > LONGEST_NAME:
        raise ValueError(f"{group.file.filename} has a name of {len(longest)} characters, {longest[:40]}...")
    return names


def member(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """The member of a group by name, with '/' between the names of nested groups; None if it is missing.

    Raises ValueError if a link on the way leads elsewhere (soft and external links), or the file is damaged.
    """
    path, found = group.file.filename, group
    for part in name.split("/"):
        with _named(path):
            if not isinstance(found, h5py.Group) or not found.id.links.exists(part.encode()):
                return None
            is_hard = _is_hard(found, part)
        if not is_hard:
            raise ValueError(f"{path}: {name} is a link to another place, which is not read")
        with _named(path):
            found = found[part]
    return found


def groups_with(file: h5py.File, dataset: str) -> list[str]:
    """Sorted names of the groups that hold a dataset of this name, and of links to other places.

    Groups below such a group are not searched. Each group is visited once, however many links lead to it.
    """
    found, waiting, visited = [], [("", file)], set()
    with _named(file.filename):
        while waiting:
            prefix, group = waiting.pop()
            address = h5py.h5o.get_info(group.id).addr
            if address in visited:
                continue
            visited.add(address)
            if len(prefix) > LONGEST_NAME:
                raise ValueError(f"nested groups with names of {len(prefix)} characters, {prefix[:40]}...")
            names = links(group)
            if prefix and dataset in names and _is_hard(group, dataset) and isinstance(group[dataset], h5py.Dataset):
                found.append(prefix.rstrip("/"))
                continue
            hard = [name for name in names if _is_hard(group, name)]
            found += [prefix + name for name in set(names).difference(hard)]
            children = ((f"{prefix}{name}/", group[name]) for name in hard)
            waiting += [child for child in children if isinstance(child[1], h5py.Group)]
    return sorted(found)


def _is_hard(group: h5py.Group, name: str) -> bool:
    return group.id.links.get_info(name.encode()).type == h5py.h5l.TYPE_HARD


def declared_shape(group: h5py.Group, name: str) -> tuple[int, ...] | None:
    """The shape that a dataset of a group declares; None if there is no such dataset. Raises as ``member``."""
    dataset = member(group, name)
    with _named(group.file.filename):
        return dataset.shape if isinstance(dataset, h5py.Dataset) else None


def array(group: h5py.Group, name: str, shape: tuple[int | None, ...], kinds: str, most: int) -> np.ndarray:
    """The values of a dataset of a group.

    shape: the expected one, None for any length up to ``most``; kinds: allowed kinds of NumPy's types. Raises
    ValueError if there is no such dataset, it is of another shape or type, or holds less than it declares.
    """
    path, where = group.file.filename, f"{group.name.lstrip('/')}/{name}"
    dataset = member(group, name)
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{path} has no dataset {where}")
    with _named(path):
        found, dtype, is_elsewhere = dataset.shape, dataset.dtype, dataset.is_virtual or bool(dataset.external)
        stored = dataset.id.get_storage_size()
    if dtype.kind not in kinds or dtype.itemsize > 8:
        raise ValueError(f"{path}: {where} holds {dtype}, expected {'integers' if kinds == INTEGERS else 'floats'}")
    expected = str(tuple("N" if length is None else length for length in shape)).replace("'", "")
    if found is None or len(found) != len(shape):
        raise ValueError(f"{path}: {where} has shape {found}, expected {expected}")
    if any(length not in (None, has) for length, has in zip(shape, found, strict=True)) or max(found) > most:
        raise ValueError(f"{path}: {where} has shape {found}, expected {expected} with {most} or fewer of each")
    if is_elsewhere:
        raise ValueError(f"{path}: {where} has its values in another file, which is not read")
    if dataset.size and not stored:
        raise ValueError(f"{path}: {where} declares {counted(dataset.size, 'value')} but holds none")
    with _named(path):
        check_dataset(dataset)
        return dataset[()]


def text_attribute(owner: h5py.Group | h5py.Dataset, name: str) -> str | None:
    """A text attribute of fixed length; None if there is none. ValueError if it is not such a text."""
    found = _attribute(owner, name, "S", "text of fixed length")
    with _named(owner.file.filename):
        return None if found is None else found.decode()


def number_attribute(owner: h5py.Group | h5py.Dataset, name: str) -> float | None:
    """A numeric attribute; None if there is none. ValueError if it is not a finite number above 0."""
    found = _attribute(owner, name, FLOATS + INTEGERS, "number")
    if found is not None and not 0 < float(found) < np.inf:
        raise ValueError(f"{owner.file.filename}: the attribute {name} of {owner.name.lstrip('/')} is {found}")
    return None if found is None else float(found)


def _attribute(owner: h5py.Group | h5py.Dataset, name: str, kinds: str, expected: str) -> np.generic | None:
    """A scalar attribute of one of the kinds; not texts of variable length, as HDF5 may hang on a damaged one."""
    path = owner.file.filename
    with _named(path):
        if name not in owner.attrs:
            return None
        attribute = owner.attrs.get_id(name)
        kind, shape = attribute.dtype.kind, attribute.shape
    if kind not in kinds or shape != ():
        raise ValueError(f"{path}: the attribute {name} of {owner.name.lstrip('/')} is not a {expected}")
    with _named(path):
        return owner.attrs[name]


@contextmanager
def _named(path: Path | str) -> Iterator[None]:
    """h5py raises many kinds of errors on damaged files: all become a ValueError that names the file."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{path} is not an HDF5 file, or is damaged: {first_line(error)}") from error
