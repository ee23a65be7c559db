"""Decoding ahead, the network and writing together give what one after the other gives, within bounds."""

import threading
import time
import weakref
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from d2sfm.extraction import pipeline
from d2sfm.extraction.pipeline import extract_all, plan_batches
from d2sfm.features.record import Features
from d2sfm.network.input import Prepared
from d2sfm.options import Convention, DescriptorDtype

SIZES = {f"{index}.jpg": (8 + 4 * (index % 3), 10) for index in range(12)}


class StandIn:
    """An extractor whose keypoints are as many as the value of the first pixel."""

    device = torch.device("cpu")

    def __init__(self, batch: int = 1, then=None):
        self.batch, self.then, self.batches = batch, then, []

    def batch_size(self, image_size):
        return self.batch

    def prepare(self, image, mask):
        return Prepared(image, (image.shape[1], image.shape[0]), mask)

    def extract_batch(self, pictures, descriptor_dtype):
        self.batches.append(len(pictures))
        if self.then:
            self.then([picture.pixels for picture in pictures])
        return [self.features(picture.pixels, descriptor_dtype) for picture in pictures]

    @staticmethod
    def features(image, descriptor_dtype):
        count = int(image[0, 0, 0])
        return Features(
            keypoints=np.full((count, 4), image.mean(), np.float32),
            descriptors=np.full((count, 512), 0.5, str(descriptor_dtype)),
            image_size=(image.shape[1], image.shape[0]),
            input_size=(image.shape[1], image.shape[0]),
            convention=Convention.COLMAP,
            scales=(1.0,),
        )


class Store:
    """Keeps what is written, and who opened, wrote and closed."""

    def __init__(self, refuse=None):
        self.written, self.threads, self.closed, self.refuse = {}, set(), False, refuse or {}

    @contextmanager
    def __call__(self):
        self.threads.add(threading.current_thread())
        try:
            yield self.write
        finally:
            self.threads.add(threading.current_thread())
            self.closed = True

    def write(self, name, features):
        self.threads.add(threading.current_thread())
        if name in self.refuse:
            raise self.refuse[name]
        self.written[name] = features


def picture(name: str) -> np.ndarray:
    width, height = SIZES[name]
    return np.full((height, width, 3), int(name.removesuffix(".jpg")), np.uint8)


def run(extractor, store, load=picture, sizes=SIZES):
    skipped = {}
    return extract_all(sizes, extractor, load, store, DescriptorDtype.FLOAT16, skipped), skipped


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("decode", "write"))]


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_results_are_those_of_one_after_the_other(batch):
    extractor, store = StandIn(batch), Store()
    keypoints, skipped = run(extractor, store)
    assert list(keypoints.items()) == [(name, int(name.removesuffix(".jpg"))) for name in SIZES]
    assert skipped == {}
    for name in SIZES:
        expected = StandIn.features(picture(name), "float16")
        assert np.array_equal(store.written[name].keypoints, expected.keypoints)
        assert store.written[name].descriptors.dtype == np.float16
    assert extractor.batches == {1: [1] * 12, 3: [3, 3, 3, 1, 1, 1], 100: [4, 4, 4]}[batch]
    assert list(store.written) == list(SIZES) if batch == 1 else sorted(store.written) == sorted(SIZES)


def test_the_store_belongs_to_one_thread_and_the_network_to_the_caller():
    store, callers, loaders = Store(), set(), set()

    def load(name):
        loaders.add(threading.current_thread())
        return picture(name)

    run(StandIn(then=lambda images: callers.add(threading.current_thread())), store, load)
    assert store.closed
    assert len(store.threads) == 1
    assert callers == {threading.main_thread()}
    assert not (store.threads | callers) & loaders


def test_no_photographs_open_and_close_the_store():
    store = Store()
    assert run(StandIn(), store, sizes={}) == ({}, {})
    assert store.closed


@pytest.mark.parametrize("batch", [1, 3])
def test_what_cannot_be_used_is_skipped_with_its_reason(batch):
    def load(name):
        if name == "2.jpg":
            raise ValueError("is damaged")
        if name == "5.jpg":
            raise FileNotFoundError(2, "No such file or directory", name)
        return picture("0.jpg") if name == "7.jpg" else picture(name)

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


def test_an_error_of_the_store_ends_the_run():
    store = Store(refuse={"3.jpg": RuntimeError("db.db can't be written: the disk is full")})
    with pytest.raises(RuntimeError, match="the disk is full"):
        run(StandIn(), store)
    assert list(store.written)[:3] == ["0.jpg", "1.jpg", "2.jpg"]
    assert store.closed


def test_a_store_that_cannot_be_opened_ends_the_run():
    @contextmanager
    def store():
        raise RuntimeError("db.db is held by another process")
        yield

    extractor = StandIn()
    with pytest.raises(RuntimeError, match="held by another"):
        run(extractor, store)
    assert extractor.batches == []


def test_any_other_error_of_decoding_is_raised():
    def load(name):
        raise MemoryError

    with pytest.raises(MemoryError):
        run(StandIn(), Store(), load)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_was_extracted_before_an_interrupt_is_written_and_the_rest_is_not_decoded(error):
    loaded = []

    def load(name):
        loaded.append(name)
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


def test_pictures_decoded_ahead_are_bounded_and_gone_when_features_are_written(monkeypatch):
    width, height = 100, 10
    monkeypatch.setattr(pipeline, "AHEAD_BYTES", 4 * 3 * width * height)
    alive, most, at_write = weakref.WeakValueDictionary(), [], []

    def load(name):
        alive[name] = loaded = np.full((height, width, 3), 1, np.uint8)
        return loaded

    class Watching(Store):
        def write(self, name, features):
            at_write.append(name in alive)

    sizes = {f"{index}.jpg": (width, height) for index in range(40)}
    run(StandIn(then=lambda images: most.append(len(alive))), Watching(), load, sizes)
    assert max(most) <= 4 + 1  # those ahead, and the one in the network
    assert at_write == [False] * 40


def test_a_picture_larger_than_the_bound_is_decoded_ahead_alone(monkeypatch):
    monkeypatch.setattr(pipeline, "AHEAD_BYTES", 1)
    started = threading.Semaphore(0)

    def load(name):
        started.release()
        return picture(name)

    def wait_for_the_next(images):
        # The picture in the network, and the next, have been started by the time the network runs.
        assert started.acquire(timeout=60)

    run(StandIn(then=wait_for_the_next), Store(), load)
    assert not started.acquire(blocking=False)


def test_features_that_wait_to_be_written_are_bounded(monkeypatch):
    of_one = StandIn.features(np.full((1, 1, 3), 5, np.uint8), "float16")
    size = of_one.keypoints.nbytes + of_one.descriptors.nbytes
    monkeypatch.setattr(pipeline, "WAITING_BYTES", 2 * size)
    alive, most = weakref.WeakValueDictionary(), []

    class Slow(Store):
        def write(self, name, features):
            time.sleep(0.005)

    class Watching(StandIn):
        def extract_batch(self, images, descriptor_dtype):
            most.append(len(alive))
            [features] = super().extract_batch(images, descriptor_dtype)
            alive[len(self.batches)] = features.descriptors
            return [features]

    run(Watching(), Slow(), lambda name: np.full(picture(name).shape, 5, np.uint8))
    assert 1 <= max(most) <= 2


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from([(8, 8), (16, 8), (8, 16)]), max_size=40),
    st.integers(1, 5),
    st.integers(1, 12),
)
def test_batches_hold_each_photograph_once_in_a_bounded_order(sizes, most, window):
    sizes = {str(index): size for index, size in enumerate(sizes)}
    batches = list(plan_batches(sizes, lambda size: most, window))
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
    assert [len(batch) for batch in plan_batches(large, lambda size: 16)] == [2, 2]
    assert [len(batch) for batch in plan_batches({"a.jpg": (20000, 20000)}, lambda size: 16)] == [1]


def test_masks_come_with_their_pictures_and_bad_ones_skip_theirs():
    seen, skipped = {}, {}

    class Masked(StandIn):
        def extract_batch(self, pictures, descriptor_dtype):
            seen.update({picture.image_size: picture.mask for picture in pictures})
            return super().extract_batch(pictures, descriptor_dtype)

    def mask(name, size):
        if name == "1.jpg":
            raise ValueError("bad mask")
        return None if name == "2.jpg" else np.zeros(size[::-1], bool)

    sizes = {name: SIZES[name] for name in ("0.jpg", "1.jpg", "2.jpg")}
    found = extract_all(sizes, Masked(), picture, Store(), DescriptorDtype.FLOAT16, skipped, mask=mask)
    assert list(found) == ["0.jpg", "2.jpg"]
    assert skipped == {"1.jpg": "bad mask"}
    assert not seen[SIZES["0.jpg"]].any()
    assert seen[SIZES["2.jpg"]] is None
