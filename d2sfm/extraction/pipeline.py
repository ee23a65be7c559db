"""Photographs to stored features: decoding ahead, the network and writing at the same time.

Photographs are decoded and resized in threads (Pillow lets go of Python's lock), the network runs in the caller's
thread, and a third keeps the store. What is decoded ahead and what waits to be written are bounded in bytes.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import islice

import numpy as np

from d2sfm.coordinates import Size
from d2sfm.estimate import Estimate
from d2sfm.extraction.writer import Write, Writer
from d2sfm.features.extractor import Extractor
from d2sfm.network.early_maps import FeatureMaps
from d2sfm.network.input import Prepared
from d2sfm.photographs.masks import joined
from d2sfm.photographs.photograph import Photograph
from d2sfm.photographs.reading import load_with_alpha
from d2sfm.progress import Bar
from d2sfm.skipped import Skipped
from d2sfm.system import processors
from d2sfm.text import first_of

logger = logging.getLogger(__name__)

AHEAD_BYTES = 256 << 20  # decoded pictures that wait for the network; there is always one
SHORTER = "a smaller --max-edge, or d2sfm run --quality low, shortens this"
WINDOW = 64  # photographs among which equal sizes are looked for

OnMaps = Callable[[Photograph, Prepared, FeatureMaps], None]


def extract_all(
    photographs: Sequence[Photograph],
    extractor: Extractor,
    store: Callable[[], AbstractContextManager[Write]],
    skipped: Skipped,
    *,
    on_maps: OnMaps | None = None,
    mask: Callable[[str, Size, int], np.ndarray | None] = lambda name, size, orientation: None,
    progress: bool = False,
) -> dict[str, int]:
    """Extract and write the features of photographs.

    store: a context that gives the function that writes the features of one name, whole or not at all. It is entered,
        called and left in one thread, not the caller's; ValueError and OSError of the function skip a photograph.
    skipped: gets the photographs that can't be decoded or written, have another size than their record, or an unusable
        mask, also if the work ends with an error.
    on_maps: see ``Extractor.extract_batch``; also gets the photograph.
    mask: gives the pixels to use, from name, size and EXIF's orientation, see ``Masks``; called in any thread.
        Transparent pixels are left out, too.
    progress: whether to show a bar.

    Pictures of equal size are given to the network in batches of the number that it asks for. Returns the number of
    keypoints by name, in the given order. Any other error of any thread, and Ctrl-C, end it and are raised; finished
    features are written before, and no thread is left.
    """
    batches, transparent = plan_batches(photographs, extractor.batch_size), []

    def prepared(photograph: Photograph) -> Prepared:
        # Another size: the file changed since its header was read, or since its camera was made.
        pixels, seen = load_with_alpha(photograph.path, photograph.size, photograph.grey_range)
        if seen is not None:
            transparent.append(photograph.name)
        visible = joined(seen, mask(photograph.name, photograph.size, photograph.exif_orientation))
        return extractor.prepare(pixels, visible, photograph.orientation, photograph.grey_range)

    decoders = 1 if extractor.device.type == "cpu" else processors()  # the network takes all cores
    writer = Writer(store, skipped)
    with writer, ThreadPoolExecutor(decoders, "decode") as pool:
        try:
            left = Estimate("extract", len(photographs), "photographs", SHORTER)
            with Bar(total=len(photographs), desc="extract", unit="image", disable=not progress) as bar:
                for batch, futures in _decoded(batches, prepared, pool):
                    _extract(_whole(batch, futures, skipped), extractor, writer, on_maps)
                    bar.update(len(batch))
                    left.update(len(batch))
        finally:
            pool.shutdown(cancel_futures=True)
    if transparent:
        logger.info("transparent pixels (alpha 0) get no keypoints: %s", first_of(sorted(transparent), "photograph"))
    return {each.name: writer.keypoints[each.name] for each in photographs if each.name in writer.keypoints}


def plan_batches(
    photographs: Iterable[Photograph], batch_size: Callable[[Size], int], window: int = WINDOW
) -> Iterator[list[Photograph]]:
    """Those of equal upright size together, at most ``batch_size(size)`` of them and half of what may be decoded ahead.

    The first remaining photograph always comes next, with others of its size among the next ``window``: each comes at
    most a window early, and batches of one keep the order.
    """
    coming = iter(photographs)
    waiting = list(islice(coming, window))
    while waiting:
        first = waiting[0]
        size = first.upright_size
        most = max(1, min(batch_size(size), AHEAD_BYTES // 2 // _bytes([first])))
        batch = [each for each in waiting if each.upright_size == size][:most]
        yield batch
        waiting = [each for each in waiting if each not in batch]
        waiting += islice(coming, len(batch))


def _decoded(
    batches: Iterator[list[Photograph]], prepared: Callable[[Photograph], Prepared], pool: ThreadPoolExecutor
) -> Iterator[tuple[list[Photograph], list[Future]]]:
    """Each batch with the futures of its pictures, while the pictures of the next ones are decoded.

    Pictures live as long as their futures, so the receiver removes them from the list.
    """
    ahead, ahead_bytes = deque(), 0
    upcoming = next(batches, None)  # no further: batches become smaller where a GPU's memory runs out

    def fill() -> None:
        nonlocal ahead_bytes, upcoming
        while upcoming and (not ahead or ahead_bytes + _bytes(upcoming) <= AHEAD_BYTES):
            ahead.append((upcoming, [pool.submit(prepared, photograph) for photograph in upcoming]))
            ahead_bytes += _bytes(upcoming)
            upcoming = next(batches, None)

    fill()
    while ahead:
        batch, futures = ahead.popleft()
        ahead_bytes -= _bytes(batch)
        fill()
        yield batch, futures


def _bytes(photographs: list[Photograph]) -> int:
    """Of their pixels."""
    return sum(3 * width * height for width, height in (photograph.size for photograph in photographs))


def _whole(batch: list[Photograph], futures: list[Future], skipped: Skipped) -> dict[Photograph, Prepared]:
    """The pictures that were decoded; the others enter ``skipped``."""
    pictures = {}
    for photograph in batch:
        with skipped.catching(photograph.name):
            pictures[photograph] = futures.pop(0).result()
    return pictures


def _extract(
    pictures: dict[Photograph, Prepared], extractor: Extractor, writer: Writer, on_maps: OnMaps | None
) -> None:
    """Hand features of pictures of one size to the writer. Pictures, then features, are freed as soon as they are
    used."""
    if not pictures:
        return
    photographs, batch = list(pictures), list(pictures.values())
    pictures.clear()
    waiting = iter(photographs)
    found = extractor.extract_batch(batch, on_maps and (lambda *of_next: on_maps(next(waiting), *of_next)))
    batch.clear()
    for photograph in photographs:
        writer.put(photograph.name, found.pop(0))
