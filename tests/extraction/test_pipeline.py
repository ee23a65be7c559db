"""Decoding ahead, the network and writing together give what one after the other gives, within bounds."""

import threading
import time
import weakref
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.pipeline_ends import StandIn, Store

from d2sfm.extraction import pipeline, writer
from d2sfm.extraction.pipeline import extract_all, plan_batches
from d2sfm.photographs.photograph import Photograph
from d2sfm.skipped import Skipped

pytestmark = pytest.mark.usefixtures("narrow_network")

SIZES = {f"{index}.jpg": (8 + 4 * (index % 3), 10) for index in range(12)}


def picture(path: Path) -> np.ndarray:
    width, height = SIZES[path.name]
    return np.full((height, width, 3), int(path.stem), np.uint8)


def photographs_of(sizes):
    return [Photograph(name, Path("photographs", name), size) for name, size in sizes.items()]


@pytest.fixture
def run(monkeypatch):
    """Runs the pipeline on photographs of these sizes, with ``load`` in place of the decoder."""

    def run(extractor, store, load=picture, sizes=SIZES, **options):
        def load_of_size(path, size, *_):
            pixels = load(path)
            if (found := pixels.shape[1::-1]) != size:
                raise ValueError(f"is {found[0]} x {found[1]} px, expected {size[0]} x {size[1]} px")
            return pixels, None

        monkeypatch.setattr(pipeline, "load_with_alpha", load_of_size)
        skipped = Skipped()
        return extract_all(photographs_of(sizes), extractor, store, skipped, **options), skipped

    return run


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("decode", "write"))]


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_results_are_those_of_one_after_the_other(run, batch):
    extractor, store = StandIn(batch), Store()
    keypoints, skipped = run(extractor, store)
    assert list(keypoints.items()) == [(name, int(name.removesuffix(".jpg"))) for name in SIZES]
    assert skipped == {}
    for name in SIZES:
        expected = StandIn.features(picture(Path(name)))
        assert np.array_equal(store.written[name].keypoints, expected.keypoints)
        assert store.written[name].descriptors.dtype == np.float16
    assert extractor.batches == {1: [1] * 12, 3: [3, 3, 3, 1, 1, 1], 100: [4, 4, 4]}[batch]
    assert list(store.written) == list(SIZES) if batch == 1 else sorted(store.written) == sorted(SIZES)


def test_the_store_belongs_to_one_thread_and_the_network_to_the_caller(run):
    store, callers, loaders = Store(), set(), set()

    def load(path):
        loaders.add(threading.current_thread())
        return picture(path)

    run(StandIn(then=lambda images: callers.add(threading.current_thread())), store, load)
    assert store.closed
    assert len(store.threads) == 1
    assert callers == {threading.main_thread()}
    assert not (store.threads | callers) & loaders


def test_no_photographs_open_and_close_the_store(run):
    store = Store()
    assert run(StandIn(), store, sizes={}) == ({}, {})
    assert store.closed


@pytest.mark.parametrize("batch", [1, 3])
def test_what_cannot_be_used_is_skipped_with_its_reason(run, batch):
    def load(path):
        if path.name == "2.jpg":
            raise ValueError("is damaged")
        if path.name == "5.jpg":
            raise FileNotFoundError(2, "No such file or directory", path)
        return picture(Path("0.jpg")) if path.name == "7.jpg" else picture(path)

    store = Store(refuse={"1.jpg": ValueError("has too many keypoints")})
    keypoints, skipped = run(StandIn(batch), store, load)
    assert sorted(skipped.items()) == [
        ("1.jpg", "has too many keypoints"),
        ("2.jpg", "is damaged"),
        ("5.jpg", "No such file or directory"),
        ("7.jpg", "is 8 x 10 px, expected 12 x 10 px"),
    ]
    assert list(keypoints) == list(store.written) if batch == 1 else sorted(keypoints) == sorted(store.written)
    assert keypoints.keys() == SIZES.keys() - skipped.keys()


def test_an_error_of_the_store_ends_the_run(run):
    store = Store(refuse={"3.jpg": RuntimeError("db.db can't be written: the disk is full")})
    with pytest.raises(RuntimeError, match="the disk is full"):
        run(StandIn(), store)
    assert list(store.written)[:3] == ["0.jpg", "1.jpg", "2.jpg"]
    assert store.closed


def test_a_store_that_cannot_be_opened_ends_the_run(run):
    @contextmanager
    def store():
        raise RuntimeError("db.db is held by another process")
        yield

    extractor = StandIn()
    with pytest.raises(RuntimeError, match="held by another"):
        run(extractor, store)
    assert extractor.batches == []


def test_any_other_error_of_decoding_is_raised(run):
    def load(path):
        raise MemoryError

    with pytest.raises(MemoryError):
        run(StandIn(), Store(), load)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_was_extracted_before_an_interrupt_is_written_and_the_rest_is_not_decoded(run, error):
    loaded = []

    def load(path):
        loaded.append(path)
        return np.full((500, 500, 3), 3, np.uint8)

    def stop_at_third(images):
        if len(extractor.batches) == 3:
            raise error

    sizes = {f"{index}.jpg": (500, 500) for index in range(1000)}
    extractor, store = StandIn(then=stop_at_third), Store()
    with pytest.raises(error):
        run(extractor, store, load, sizes)
    assert list(store.written) == ["0.jpg", "1.jpg"]
    assert store.closed
    assert len(loaded) < 1000


def test_pictures_decoded_ahead_are_bounded_and_gone_when_features_are_written(run, monkeypatch):
    width, height = 100, 10
    monkeypatch.setattr(pipeline, "AHEAD_BYTES", 4 * 3 * width * height)
    alive, most, at_write = weakref.WeakValueDictionary(), [], []

    def load(path):
        alive[path.name] = loaded = np.full((height, width, 3), 1, np.uint8)
        return loaded

    class Watching(Store):
        def write(self, name, features):
            at_write.append(name in alive)

    sizes = {f"{index}.jpg": (width, height) for index in range(40)}
    run(StandIn(then=lambda images: most.append(len(alive))), Watching(), load, sizes)
    assert max(most) <= 4 + 1  # those ahead, and the one in the network
    assert at_write == [False] * 40


def test_a_picture_larger_than_the_bound_is_decoded_ahead_alone(run, monkeypatch):
    monkeypatch.setattr(pipeline, "AHEAD_BYTES", 1)
    started = threading.Semaphore(0)

    def load(path):
        started.release()
        return picture(path)

    def wait_for_the_next(images):
        # The picture in the network, and the next, have been started by the time the network runs.
        assert started.acquire(timeout=60)

    run(StandIn(then=wait_for_the_next), Store(), load)
    assert not started.acquire(blocking=False)


def test_features_that_wait_to_be_written_are_bounded(run, monkeypatch):
    of_one = StandIn.features(np.full((1, 1, 3), 5, np.uint8))
    size = of_one.keypoints.nbytes + of_one.descriptors.nbytes
    monkeypatch.setattr(writer, "WAITING_BYTES", 2 * size)
    alive, most = weakref.WeakValueDictionary(), []

    class Slow(Store):
        def write(self, name, features):
            time.sleep(0.005)

    class Watching(StandIn):
        def extract_batch(self, images, on_maps=None):
            most.append(len(alive))
            [features] = super().extract_batch(images)
            alive[len(self.batches)] = features.descriptors
            return [features]

    run(Watching(), Slow(), lambda path: np.full(picture(path).shape, 5, np.uint8))
    assert 1 <= max(most) <= 2


@settings(max_examples=examples(60))
@given(st.lists(st.sampled_from([(8, 8), (16, 8), (8, 16)]), max_size=40), st.integers(1, 5), st.integers(1, 12))
def test_batches_hold_each_photograph_once_in_a_bounded_order(sizes, most, window):
    sizes = {str(index): size for index, size in enumerate(sizes)}
    planned = plan_batches(photographs_of(sizes), lambda size: most, window)
    batches = [[photograph.name for photograph in batch] for batch in planned]
    order = [name for batch in batches for name in batch]
    assert sorted(order, key=int) == list(sizes)
    for batch in batches:
        assert 1 <= len(batch) <= most
        assert len({sizes[name] for name in batch}) == 1
    for place, name in enumerate(order):  # those that come before it, but were behind it, are of its window
        assert int(name) - place < window
    if most == 1:
        assert order == list(sizes)
    assert batches == plain_batches(list(sizes), sizes, most, window)


def plain_batches(names, sizes, most, window):
    """The rule, said without iterators."""
    if not names:
        return []
    near = names[:window]
    batch = [name for name in near if sizes[name] == sizes[names[0]]][:most]
    return [batch, *plain_batches([name for name in names if name not in batch], sizes, most, window)]


def test_a_batch_takes_half_of_what_may_be_ahead():
    large = {f"{index}.jpg": (8000, 2000) for index in range(4)}  # 48 MB each
    assert [len(batch) for batch in plan_batches(photographs_of(large), lambda size: 16)] == [2, 2]
    assert [len(batch) for batch in plan_batches(photographs_of({"a.jpg": (20000, 20000)}), lambda size: 16)] == [1]


def test_masks_come_with_their_pictures_and_bad_ones_skip_theirs(run):
    seen = {}

    class Masked(StandIn):
        def extract_batch(self, pictures, on_maps=None):
            seen.update({picture.image_size: picture.mask for picture in pictures})
            return super().extract_batch(pictures)

    def mask(name, size, orientation):
        if name == "1.jpg":
            raise ValueError("bad mask")
        return None if name == "2.jpg" else np.zeros(size[::-1], bool)

    sizes = {name: SIZES[name] for name in ("0.jpg", "1.jpg", "2.jpg")}
    found, skipped = run(Masked(), Store(), sizes=sizes, mask=mask)
    assert list(found) == ["0.jpg", "2.jpg"]
    assert skipped == {"1.jpg": "bad mask"}
    assert not seen[SIZES["0.jpg"]].any()
    assert seen[SIZES["2.jpg"]] is None
