"""Photographs to stored features: decoding ahead, the network and writing at the same time.

Photographs are decoded and resized in threads (Pillow lets go of Python's lock), the network runs in the caller's
thread, and a third keeps the store, as a connection to a database belongs to the thread that opened it. What is decoded
ahead and what waits to be written are bounded in bytes.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from itertools import islice
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from d2sfm.coordinates import Size
from d2sfm.features.extractor import Extractor
from d2sfm.features.record import Features
from d2sfm.network.early_maps import FeatureMaps
from d2sfm.network.input import Prepared
from d2sfm.options import DescriptorDtype
from d2sfm.system import processors

AHEAD_BYTES = 256 << 20  # decoded pictures that wait for the network; there is always one
WAITING_BYTES = 64 << 20  # features that wait to be written; there may always be those of one picture
WINDOW = 64  # photographs among which equal sizes are looked for

Load = Callable[[str], np.ndarray]
Write = Callable[[str, Features], None]


def extract_all(
    sizes: Mapping[str, Size],
    extractor: Extractor,
    load: Load,
    store: Callable[[], AbstractContextManager[Write]],
    descriptor_dtype: DescriptorDtype,
    skipped: dict[str, str],
    progress: bool = False,
    on_maps: Callable[[str, Prepared, FeatureMaps], None] | None = None,
    mask: Callable[[str, Size], np.ndarray | None] = lambda name, size: None,
) -> dict[str, int]:
    """Extract and write the features of photographs.

    sizes: (width, height) in pixels by name, in the order of the work.
    load: from a name to the pixels, [H, W, 3] uint8 of that size, in any thread. ValueError or OSError: it is skipped.
    store: opens what features are written to, and gives the function that writes those of one name, whole or not at
        all. Entered, called and left in one thread, not the caller's; in the function ValueError and OSError again
        mean that a photograph is skipped.
    descriptor_dtype: the type that is stored. progress: whether to show a bar.
    on_maps: see ``Extractor.extract_batch``; given the name, too.
    mask: from a name and a size to what is in, see ``Masks``; called and failing as ``load``.
    skipped: gets the reason by name of what was skipped, also where the work ends with an error.

    Pictures of equal size are given to the network together, as many as it asks for. Returns the number of keypoints
    by name, in the given order. Any other error of any thread, and Ctrl-C, end it and are raised; what the network has
    done by then is written, and no thread is left.
    """
    batches = plan_batches(sizes, extractor.batch_size)

    def prepared(name: str) -> Prepared:
        pixels = load(name)
        return extractor.prepare(pixels, mask(name, (pixels.shape[1], pixels.shape[0])))

    decoders = 1 if extractor.device.type == "cpu" else processors()  # the network takes all cores
    writer = _Writer(store, skipped)
    with writer, ThreadPoolExecutor(decoders, "decode") as pool:
        try:
            with tqdm(total=len(sizes), desc="extract", unit="image", disable=not progress) as bar:
                for names, futures in _decoded(batches, sizes, prepared, pool):
                    pictures = _whole(names, futures, sizes, skipped)
                    _extract(pictures, extractor, descriptor_dtype, writer, on_maps)
                    bar.update(len(names))
        finally:
            pool.shutdown(cancel_futures=True)
    return {name: writer.keypoints[name] for name in sizes if name in writer.keypoints}


def plan_batches(
    sizes: Mapping[str, Size], batch_size: Callable[[Size], int], window: int = WINDOW
) -> Iterator[list[str]]:
    """Names of equal size together, at most ``batch_size(size)`` of them and half of what may be decoded ahead.

    The first that is left always comes next, with others of its size from among the next ``window`` names: each comes
    at most a window early, and batches of one keep the order.
    """
    names = iter(sizes)
    waiting = list(islice(names, window))
    while waiting:
        size = sizes[waiting[0]]
        most = max(1, min(batch_size(size), AHEAD_BYTES // 2 // _picture_bytes(size)))
        batch = [name for name in waiting if sizes[name] == size][:most]
        yield batch
        waiting = [name for name in waiting if name not in batch]
        waiting += islice(names, len(batch))


def _decoded(
    batches: Iterable[list[str]],
    sizes: Mapping[str, Size],
    prepared: Callable[[str], Prepared],
    pool: ThreadPoolExecutor,
) -> Iterator[tuple[list[str], list[Future]]]:
    """Each batch with the futures of its pictures, while the pictures of the next ones are decoded.

    Pictures live as long as their futures: who takes them has to take them out of the list.
    """
    batches, ahead, ahead_bytes = iter(batches), deque(), 0
    upcoming = next(batches, None)  # no further: batches become smaller where a GPU's memory runs out

    def fill() -> None:
        nonlocal ahead_bytes, upcoming
        while upcoming and (not ahead or ahead_bytes + _batch_bytes(upcoming, sizes) <= AHEAD_BYTES):
            ahead.append((upcoming, [pool.submit(prepared, name) for name in upcoming]))
            ahead_bytes += _batch_bytes(upcoming, sizes)
            upcoming = next(batches, None)

    fill()
    while ahead:
        names, futures = ahead.popleft()
        ahead_bytes -= _batch_bytes(names, sizes)
        fill()
        yield names, futures


def _picture_bytes(size: Size) -> int:
    return 3 * size[0] * size[1]


def _batch_bytes(names: list[str], sizes: Mapping[str, Size]) -> int:
    return sum(_picture_bytes(sizes[name]) for name in names)


def _whole(
    names: list[str], futures: list[Future], sizes: Mapping[str, Size], skipped: dict[str, str]
) -> dict[str, Prepared]:
    """The pictures by name; those that can't be had enter ``skipped`` with their reason."""
    pictures = {}
    for name in names:
        try:
            picture = futures.pop(0).result()
        except (ValueError, OSError) as error:
            skipped[name] = reason(error)
            continue
        found, expected = picture.image_size, sizes[name]
        if found == tuple(expected):
            pictures[name] = picture
        else:  # the file changed since its header was read, or since its camera was made
            skipped[name] = f"is {found[0]} x {found[1]} px, expected {expected[0]} x {expected[1]} px"
    return pictures


def _extract(
    pictures: dict[str, Prepared],
    extractor: Extractor,
    descriptor_dtype: DescriptorDtype,
    writer: "_Writer",
    on_maps: Callable[[str, Prepared, FeatureMaps], None] | None,
) -> None:
    """Features of pictures of one size to the writer. Pictures, and then features, go as soon as they are used."""
    if not pictures:
        return
    names, batch = list(pictures), list(pictures.values())
    pictures.clear()
    if on_maps is None:
        found = extractor.extract_batch(batch, descriptor_dtype)
    else:
        waiting = iter(names)
        found = extractor.extract_batch(batch, descriptor_dtype, lambda *of_next: on_maps(next(waiting), *of_next))
    batch.clear()
    for name in names:
        writer.put(name, found.pop(0))


def reason(error: Exception) -> str:
    """Why a photograph is skipped, in words: of an OSError only those of the system, without the path."""
    return getattr(error, "strerror", None) or str(error)


class _Pending(NamedTuple):
    """Features of one picture on their way to the store."""

    name: str
    keypoints: int
    bytes: int
    done: Future


class _Writer:
    """Writes features in one thread of its own, in the order in which they come."""

    def __init__(self, store: Callable[[], AbstractContextManager[Write]], skipped: dict[str, str]):
        self.keypoints: dict[str, int] = {}
        self._skipped = skipped
        self._pending: deque[_Pending] = deque()
        self._thread = ThreadPoolExecutor(1, "write")
        self._left_in_thread = ExitStack()
        try:
            self._write = self._thread.submit(lambda: self._left_in_thread.enter_context(store())).result()
        except BaseException:
            self._thread.shutdown()
            raise

    def put(self, name: str, features: Features) -> None:
        """Wait until there is room, and hand over. Raises what went wrong with earlier ones."""
        size = features.keypoints.nbytes + features.descriptors.nbytes
        while self._pending and (self._pending[0].done.done() or self._bytes() + size > WAITING_BYTES):
            self._settle()
        done = self._thread.submit(self._write, name, features)
        self._pending.append(_Pending(name, len(features), size, done))

    def _bytes(self) -> int:
        return sum(pending.bytes for pending in self._pending)

    def _settle(self) -> None:
        """Wait for the first that is pending and note what became of it."""
        pending = self._pending.popleft()
        try:
            pending.done.result()
            self.keypoints[pending.name] = pending.keypoints
        except (ValueError, OSError) as error:
            self._skipped[pending.name] = reason(error)
        except Exception:
            while self._pending:  # the store is broken: the others would fail as well
                self._pending.pop().done.cancel()
            raise

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *exception) -> None:
        try:
            while self._pending:
                self._settle()
        finally:
            self._thread.submit(self._left_in_thread.close).result()
            self._thread.shutdown()
