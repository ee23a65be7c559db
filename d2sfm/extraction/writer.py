"""Features to the store in a thread of its own, as a connection to a database belongs to the thread that opened it."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from typing import NamedTuple

from d2sfm.features.record import Features
from d2sfm.skipped import Skipped

WAITING_BYTES = 64 << 20  # features that wait to be written; there may always be those of one picture

Write = Callable[[str, Features], None]


class _Pending(NamedTuple):
    """Features of one picture on their way to the store."""

    name: str
    keypoints: int
    bytes: int
    done: Future


class Writer(AbstractContextManager):
    """Writes features in one thread of its own, in the order in which they come."""

    def __init__(self, store: Callable[[], AbstractContextManager[Write]], skipped: Skipped):
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
        """Wait for room, then hand over. Raises errors of earlier ones."""
        size = features.keypoints.nbytes + features.descriptors.nbytes
        while self._pending and (self._pending[0].done.done() or self._bytes() + size > WAITING_BYTES):
            self._settle()
        done = self._thread.submit(self._write, name, features)
        self._pending.append(_Pending(name, len(features), size, done))

    def _bytes(self) -> int:
        return sum(pending.bytes for pending in self._pending)

    def _settle(self) -> None:
        """Wait for the first pending one and note its result."""
        pending = self._pending.popleft()
        try:
            with self._skipped.catching(pending.name):
                pending.done.result()
                self.keypoints[pending.name] = pending.keypoints
        except Exception:
            while self._pending:  # the store is broken: the others would fail as well
                self._pending.pop().done.cancel()
            raise

    def __exit__(self, *exception) -> None:
        try:
            while self._pending:
                self._settle()
        finally:
            self._thread.submit(self._left_in_thread.close).result()
            self._thread.shutdown()
